"""``make bench ROWS=log``: every view, filter and group of a log of 10,000,000 rows and its report.

It also measures the overview of integrations, the metrics and the export on this log. What to open
is read from the views themselves, so additions to them are measured too. ``LOG_ROWS`` makes the log
smaller. The time is that of the server, without HTTP.

``make bench ROWS=size`` measures the size of a row and of each of its indexes.
"""

from statistics import median

from benchmarks.checks import filled_log, metrics, overview
from benchmarks.checks.copies import TIME_EACH
from benchmarks.checks.filled_log import ZONE
from benchmarks.checks.registry import Finding, check
from dev.common import say
from dev.servers import postgres

PROMISE_MS = 150
SIZED_ROWS = 300_000

# Runs in an Odoo process, once for each entry of `OPENED`. `result` is [name, milliseconds of each
# run].
OPEN_EVERYTHING = r"""
    import ast, time
    from lxml import etree

    log = env[model].with_user(env.ref("base.user_admin"))
    views = log.get_views([(env.ref(given[kind]).id if kind in given else False, kind)
        for kind in kinds])["views"]
    arch = {kind: etree.fromstring(views[kind]["arch"]) for kind in kinds}
    action = env.ref(action)
    context = ast.literal_eval(action.context) | {"tz": zone}
    always = ast.literal_eval(action.domain or "[]")
    defaults = [name[15:] for name in context if name.startswith("search_default_")]
    log = log.with_context(
        {name: value for name, value in context.items() if name[15:] not in defaults})
    filters = {node.get("name"): ast.literal_eval(node.get("domain"))
        for node in arch["search"].iter("filter") if node.get("domain")}
    groups = {node.get("string"): ast.literal_eval(node.get("context"))["group_by"]
        for node in arch["search"].iter("filter") if node.get("context")}
    default = [leaf for name in defaults for leaf in filters.get(name, [])]

    def specification(kind):
        wanted = {}
        for node in arch[kind].iter("field"):
            relational = log._fields[node.get("name")].type == "many2one"
            wanted[node.get("name")] = {"fields": {"display_name": {}}} if relational else {}
        return wanted

    def grouping(kind):
        names = []
        for node in arch[kind].iter("field"):
            if node.get("type") != "measure":
                interval = node.get("interval")
                names.append(node.get("name") + (f":{interval}" if interval else ""))
        return names

    columns, aggregates = specification("list"), ["count:sum", "__count"]

    def listed(domain, order=None):
        return lambda: log.web_search_read(
            always + domain, columns, limit=80, order=order, count_limit=10001)

    def grouped(domain, by):
        return lambda: log.web_read_group(always + domain, [by], aggregates, limit=80)

    def drawn(domain, by):
        return lambda: log.formatted_read_group(always + domain, by, aggregates)

    def pivoted(domain, by):
        sets = [by[:length] for length in range(len(by) + 1)]
        return lambda: log.formatted_read_grouping_sets(always + domain, sets, aggregates)

    overviews = {kind: show for kind, show in (("graph", drawn), ("pivot", pivoted))
        if kind in kinds}
    todo = {
        "list, as opened": listed(default),
        "list, no filter": listed([]),
    }
    periods = {"as opened": default, "no filter": []} | {
        name: domain for name, domain in filters.items()
        if any(leaf[0] in ("last_seen", "day") for leaf in domain)}
    for name, domain in filters.items():
        todo[f"filter {name}"] = listed(domain)
    for period, domain in periods.items():
        for kind, show in overviews.items():
            todo[f"{kind}, {period}"] = show(domain, grouping(kind))
        for name, by in groups.items():
            todo[f"group {name}, {period}"] = grouped(domain, by)
            for kind, show in overviews.items():
                todo[f"{kind} by {name}, {period}"] = show(domain, [by])
    if "form" in kinds:
        one = log.search([("outcome", "=", "failure")], limit=1)
        todo["form"] = lambda: one.web_read(specification("form"))
    known = log.search(
        [("integration_id", "!=", False), ("outcome", "=", "failure")], limit=1)
    for node in arch["search"].iter("field"):
        name = node.get("name")
        value = known[name].id if log._fields[name].type == "many2one" else known[name]
        todo[f"search {name}, equal"] = listed([(name, "=", value)])
        if log._fields[name].type == "char":
            todo[f"search {name}, prefix"] = listed([(name, "=like", value[:6] + "%")])
""" + TIME_EACH
OPENED = (
    ("log", "auth.attempt", ["search", "list", "form"], "auth_attempt_action"),
    ("report", "auth.attempt.report", ["search", "list", "graph", "pivot"],
     "auth_attempt_report_action"),
    ("hours", "auth.attempt", ["search", "list", "graph", "pivot"], "auth_attempt_hours_action"),
)
VIEWS = {
    "hours": {
        kind: f"auth_integration.auth_attempt_hours_view_{kind}"
        for kind in ("search", "graph", "pivot")
    }
}


@check("log")
def every_view(side):
    """Fill the log and open every view."""
    server, rows = side.server, filled_log.rows()
    first, idle = filled_log.fill_and_roll_up(server)
    size = server.sql(
        "SELECT pg_table_size('auth_attempt') AS heap, pg_indexes_size('auth_attempt') AS indexes"
    )[0]
    say("opening every view")
    for name, model, kinds, action in OPENED:
        for what, spent in server.shell(
            OPEN_EVERYTHING, model=model, kinds=kinds, action=f"auth_integration.{action}",
            given=VIEWS.get(name, {}), zone=ZONE, runs=4, promise=PROMISE_MS,
        ):
            # The first run has cold caches, in PostgreSQL and in Odoo.
            yield Finding(f"{name}: {what}", median(spent[1:] or spent), "ms", PROMISE_MS)
    yield from overview.findings(server)
    yield from metrics.findings(server)
    yield Finding("report: rolled up for the first time, two time zones", first * 1e3, "ms")
    yield Finding("report: the job, nothing to do", idle * 1e3, "ms", 1000)
    yield Finding("log: bytes of a row", size["heap"] / rows, "B")
    yield Finding("log: bytes of a row in all indexes", size["indexes"] / rows, "B")


@check("size")
def size_of_log(side):
    """Fill a smaller log, and measure the size of its rows and of each of its indexes."""
    server, rows = side.server, filled_log.rows(SIZED_ROWS)
    postgres.durable(False)
    filled_log.fill(server, rows)
    [table] = server.sql("SELECT pg_table_size('auth_attempt') AS bytes")
    indexes = server.sql(
        "SELECT indexrelid::regclass::text AS name, pg_relation_size(indexrelid) AS bytes"
        " FROM pg_index WHERE indrelid = 'auth_attempt'::regclass ORDER BY 2 DESC"
    )
    for index in indexes:
        yield Finding(f"size: {index['name']}", index["bytes"] / rows, "B")
    of_indexes = sum(index["bytes"] for index in indexes) / rows
    yield Finding("size: bytes of a row", table["bytes"] / rows, "B")
    yield Finding("size: bytes of a row in all indexes", of_indexes, "B")
