"""``make bench ROWS=overview``: server time of the overview: its cards, totals and forms.

It is measured with the log of ``filled_log``. The fields to read are taken from the views
themselves.
"""

from statistics import median

from benchmarks.checks import filled_log
from benchmarks.checks.copies import TIME_EACH
from benchmarks.checks.registry import Finding, check

PROMISE_MS = 150
# Runs in an Odoo process; `result` is [name, milliseconds of each run].
OPEN = r"""
    import ast, time
    from lxml import etree

    env["auth.integration.incident"]._detect()  # as its job does every few minutes
    cr.commit()
    integrations = env["auth.integration"].with_user(env.ref("base.user_admin"))
    integrations = integrations.with_context(tz=zone)
    views = integrations.get_views([(False, kind) for kind in ("search", "kanban", "list", "form")])
    arch = {kind: etree.fromstring(view["arch"]) for kind, view in views["views"].items()}

    def specification(kind):
        wanted = {}
        for node in arch[kind].iter("field"):
            if any(parent.tag == "field" for parent in node.iterancestors()):
                continue
            relational = integrations._fields[node.get("name")].relational
            wanted[node.get("name")] = {"fields": {"display_name": {}}} if relational else {}
        return wanted

    cards, columns, form = (specification(kind) for kind in ("kanban", "list", "form"))

    def cards_of(domain):
        return lambda: integrations.web_search_read(
            domain, cards, limit=80, order="status, name", count_limit=10001)

    filters = {node.get("name"): node.get("domain") for node in arch["search"].iter("filter")
        if "status" in node.get("domain", "")}
    one = integrations.search([], limit=1)
    todo = {
        "overview: cards": cards_of([]),
        "overview: totals": lambda: integrations.formatted_read_group([], ["status"], ["__count"]),
        "overview: list": lambda: integrations.web_search_read(
            [], columns, limit=80, order="status, name", count_limit=10001),
        "integration: form": lambda: one.web_read(form),
        "integration: waiting for its first call": lambda: one.read(
            ["is_never_called", "last_failure", "live_key_count"]),
    }
    for name, domain in filters.items():
        todo[f"overview: cards, {name}"] = cards_of(ast.literal_eval(domain))
""" + TIME_EACH


def findings(server, runs=5):
    """Yield the findings."""
    for name, spent in server.shell(OPEN, zone=filled_log.ZONE, runs=runs, promise=PROMISE_MS):
        yield Finding(name, median(spent[1:] or spent), "ms", PROMISE_MS)


@check("overview")
def overview_of_integrations(side):
    """Fill the log, and open the overview of integrations."""
    filled_log.fill_and_roll_up(side.server)
    yield from findings(side.server)
