"""``make bench ROWS=findings``: 5,000 integrations with a week of 1,000,000 attempts.

Every screen is opened as an administrator and as an owner of ten integrations. The fields and
filters are read from the views themselves, so additions to them are measured too. The time is that
of the server, without HTTP.
"""

import os
from statistics import median

from benchmarks.checks.copies import COPY, TIME_EACH
from benchmarks.checks.registry import Finding, check
from dev.common import say
from dev.servers import postgres

INTEGRATIONS = 5_000
ATTEMPTS = 1_000_000
PROMISE_MS = 150

# The ORM creates one of each record, and the others are copies of its row. Some copies have a
# problem: there are a few hundred for each kind of finding.
GENERATE = COPY + r"""
    from odoo import fields
    admin = env.ref("base.user_admin")
    owner = env["res.users"].create({"name": "Olivia", "login": "olivia"})
    former = env["res.users"].create({"name": "Former", "login": "former"})
    first = env["auth.integration"].create(
        {"name": "System 0", "code": "system_0", "owner_ids": [(6, 0, owner.ids)]})
    _secret, key = env["auth.integration.key"]._issue(first, "System 0")
    env.flush_all()

    number = integrations - 1
    day = "interval '1 day'"
    copy("res_partner", first.user_id.partner_id.id, 1000000, number, name="'System ' || n",
         complete_name="'System ' || n")
    copy("res_users", first.user_id.id, 1000000, number, login="'system_' || n",
         partner_id="1000000 + n", active="n % 20 <> 1",
         password="CASE WHEN n % 50 = 2 THEN 'x' END")
    cr.execute("INSERT INTO res_groups_users_rel (gid, uid) SELECT gid, 1000000 + n"
               " FROM res_groups_users_rel, generate_series(1, %s) n WHERE uid = %s",
               [number, first.user_id.id])
    cr.execute("INSERT INTO res_groups_users_rel (gid, uid) SELECT %s, 1000000 + n"
               " FROM generate_series(1, %s) n WHERE n %% 100 = 3",
               [env.ref("base.group_erp_manager").id, number])
    cr.execute("INSERT INTO res_company_users_rel (cid, user_id) SELECT cid, 1000000 + n"
               " FROM res_company_users_rel, generate_series(1, %s) n WHERE user_id = %s",
               [number, first.user_id.id])
    copy("auth_integration", first.id, 1000000, number, name="'System ' || n",
         code="'system_' || n",
         user_id="1000000 + n")
    cr.execute("INSERT INTO auth_integration_owner_rel (integration_id, user_id)"
               " SELECT 1000000 + n, CASE WHEN n < 10 THEN %s WHEN n %% 20 = 4 THEN %s ELSE %s END"
               " FROM generate_series(1, %s) n WHERE n %% 50 <> 5",
               [owner.id, former.id, admin.id, number])
    # Five keys each: two that have ended, two of former rotations, and the present one.
    for place in range(5):
        base = 1000000 * (place + 1)
        ended = place < 4
        if not ended:  # core's vacuum has removed the others
            copy("res_users_apikeys", key.apikey_id.id, base, number, user_id="1000000 + n",
                 name="'System ' || n", index="substr(md5(n::text), 1, 8)",
                 expiration_date="now() + interval '60 days'")
        copy("auth_integration_key", key.id, base, number,
             name="'System ' || n", login="'system_' || n", prefix="substr(md5(n::text), 1, 8)",
             digest="NULL", apikey_id=f"{base} + n", user_id="1000000 + n",
             integration_id="1000000 + n",
             issued_at=f"now() - {day} * (n % 60 + 100 * {4 - place} + 1)",
             **dict.fromkeys(
                 ("replace_by", "expires_at"),
                 "now() - interval '60 days'" if ended else
                 f"CASE WHEN n % 20 = 6 THEN now() - {day} WHEN n % 10 = 7 THEN now() + {day} * 15"
                 f" WHEN n % 50 = 8 THEN NULL ELSE now() + {day} * (31 + n % 60) END",
             ),
             ended_at=f"now() - {day} * 70" if ended else "NULL",
             end_kind="'superseded'" if ended else "NULL",
             first_used_at=f"now() - {day} * 50", use_count="1000",
             last_used_at=f"now() - {day} * (CASE WHEN n % 10 = 9 THEN 50 ELSE 0 END)",
             last_used_address="'10.0.0.1'")
    cr.execute(
        "INSERT INTO auth_integration_key_address (key_id, address, first_seen, last_seen)"
        " SELECT 5000000 + n, format('10.%%s.%%s.%%s', a, n / 250, n %% 250), now(), now()"
        " FROM generate_series(1, %s) n, generate_series(1, 8) a WHERE a < 3 OR n %% 50 = 10",
        [number])
    # What the present keys call: three operations, or thirty. Some of them have never written.
    cr.execute(
        "INSERT INTO auth_integration_key_operation"
        " (key_id, model, method, use_count, write_count, first_used_at, last_used_at)"
        " SELECT 5000000 + n, 'res.partner', 'method_' || o, 1000, n %% 10,"
        " now() - interval '50 days', now()"
        " FROM generate_series(1, %s) n, generate_series(1, 30) o WHERE o <= 3 OR n %% 4 = 0",
        [number])
    cr.execute(
        "UPDATE auth_integration_key SET operations_since = now() - interval '50 days',"
        " last_write_at = CASE WHEN id % 10 <> 0 THEN now() END,"
        " operation_count = CASE WHEN id % 4 = 0 THEN 30 ELSE 3 END WHERE id > 5000000")
    cr.execute(
        "INSERT INTO auth_integration_rpc_use (user_id, channel, user_agent, last_seen)"
        " SELECT 1000000 + n, 'xmlrpc', 'agent/' || a, now() - interval '1 day' * (n %% 60)"
        " FROM generate_series(1, %s) n, generate_series(1, 5) a WHERE n %% 3 = 0", [number])
    former.active = False
    env.invalidate_all()
    due = env["auth.integration.key"].browse(range(5000011, 5000211))
    for due in due.filtered(lambda key: key.state == "active" and key.user_id.active):
        due.action_rotate_now()
    result = {"first": first.id, "key": key.id, "owner": owner.id}
"""
# Each integration calls hourly. One sixth of the rows are rejected calls, some of them from the
# last hour.
ATTEMPTS_OF_A_WEEK = """
    INSERT INTO auth_attempt (bucket, outcome, cause, channel, login, user_id, integration_id,
        attribution, key_id, remote_addr, user_agent, database, reference, count, first_seen,
        last_seen)
    SELECT decode(md5(n::text), 'hex'),
        CASE WHEN refused THEN 'failure' ELSE 'success' END,
        CASE WHEN NOT refused THEN NULL
             WHEN i.number %% 20 = 1 THEN 'user_archived'
             WHEN i.number %% 20 = 6 THEN (ARRAY['key_expired', 'key_superseded'])[1 + h %% 2]
             ELSE (ARRAY['key_unknown', 'address_not_allowed', 'authenticate_skipped',
                         'user_unknown'])[1 + h %% 4] END,
        (ARRAY['xmlrpc', 'jsonrpc', 'json2'])[1 + h %% 3], i.code, i.user_id, i.id, 'key',
        5000000 + i.number, format('10.1.%%s.%%s', i.number / 250, i.number %% 250),
        'agent/' || h %% 50, current_database(),
        CASE WHEN refused THEN substr(md5(h::text), 1, 10) END, 1 + h %% 9, seen, seen
    FROM (
        SELECT n, n %% 6 = 0 AS refused, abs(hashint8(n)::bigint) AS h,
            localtimestamp - interval '8 days' * n / %(rows)s AS seen
        FROM generate_series(1, %(rows)s) n
    ) numbered
    JOIN (SELECT id, code, user_id, id - 1000000 AS number FROM auth_integration
          WHERE id > 1000000) i ON i.number = 1 + h %% (%(integrations)s - 1)
"""
# Runs in an Odoo process. `result` is [name, milliseconds of each run].
OPEN_EVERYTHING = r"""
    import ast, time
    from lxml import etree
    from odoo.tools.safe_eval import safe_eval

    todo = {}

    def fields_of(node):
        for child in node:
            if child.tag == "field":
                yield child
            elif child.tag not in ("groupby", "searchpanel"):
                yield from fields_of(child)

    def specification(model, arch):
        wanted = {}
        for node in fields_of(arch):
            field = model._fields[node.get("name")]
            if field.type in ("many2one", "reference"):
                wanted[field.name] = {"fields": {"display_name": {}}}
            elif field.type in ("one2many", "many2many"):
                lists = [child for child in node if child.tag in ("list", "kanban")]
                inner = env[field.comodel_name].with_user(model.env.user)
                wanted[field.name] = {"limit": 40, "fields": (
                    specification(inner, lists[0]) if lists else {"display_name": {}})}
            else:
                wanted[field.name] = {}
        return wanted

    def listed(model, domain, columns, order=None):
        return lambda: model.web_search_read(
            domain, columns, limit=80, order=order, count_limit=10001)

    def screens(xml_id, who, user):
        action = env.ref(xml_id)
        model = env[action.res_model].with_user(user)
        title = f"{action.name} ({who})"
        modes = [mode for mode in action.view_mode.split(",") if mode != "activity"]
        views = model.get_views([(False, mode) for mode in (*modes, "search")])["views"]
        arch = {mode: etree.fromstring(view["arch"]) for mode, view in views.items()}
        values = {"uid": user.id, "context_today": lambda: None}
        filters, groups = {}, {}
        for node in arch["search"].iter("filter"):
            if node.get("domain"):
                filters[node.get("name")] = safe_eval(node.get("domain"), values)
            if node.get("context"):
                groups[node.get("name")] = safe_eval(node.get("context"))["group_by"]
        default = []
        for name, value in safe_eval(action.context or "{}").items():
            if name.startswith("search_default_") and value:
                default += filters.get(name[15:], [])
        for mode in modes:
            columns = specification(model, arch[mode])
            if mode == "form":
                record = model.search(default, limit=1)
                if record:
                    todo[f"{title}: form"] = (
                        lambda record=record, columns=columns: record.web_read(columns))
            elif mode in ("list", "kanban"):
                todo[f"{title}: {mode}, as opened"] = listed(model, default, columns)
                todo[f"{title}: {mode}, no filter"] = listed(model, [], columns)
        shown = specification(model, arch["list"])
        for name, domain in filters.items():
            todo[f"{title}: filter {name}"] = listed(model, domain, shown)
        for name, by in groups.items():
            todo[f"{title}: group {name}"] = (lambda model=model, by=by, default=default:
                model.web_read_group(default, [by], ["__count"], limit=80))

    attempts = env["auth.attempt"]
    for who, user in (("administrator", env.ref("base.user_admin")),
                      ("owner", env["res.users"].browse(owner))):
        for name in ("auth_integration_action", "auth_integration_finding_action",
                     "auth_integration_key_action", "auth_integration_rotation_action",
                     "auth_integration_diagnosis_action"):
            screens(f"auth_integration.{name}", who, user)
        log = attempts.with_user(user)
        arch = etree.fromstring(log.get_views([(False, "form")])["views"]["form"]["arch"])
        columns = specification(log, arch)
        for cause in ("key_expired", "key_superseded", "user_archived", "address_not_allowed",
                      "authenticate_skipped", "key_unknown", "user_unknown"):
            row = log.search([("cause", "=", cause)], limit=1)
            if row:
                todo[f"Attempt ({who}): form, {cause}"] = (
                    lambda row=row, columns=columns: row.web_read(columns))
    screens("base.action_res_users", "administrator", env.ref("base.user_admin"))

    diagnosis = env["auth.integration.diagnosis"].create(
        {"integration_id": env["auth.integration"].search([], limit=1, order="id desc").id,
         "requested_by": 2})

    def checks_inside():
        for check in ("user", "keys", "rules", "attempts"):
            getattr(diagnosis, f"_check_{check}")()
        env.flush_all()

    todo["Diagnose: all checks in Odoo"] = checks_inside
""" + TIME_EACH + "    cr.rollback()\n"


@check("findings")
def many_integrations(side):
    """Create the integrations and their attempts, and open every screen."""
    rows = int(os.environ.get("LOG_ROWS") or ATTEMPTS)
    server = side.server
    say(f"making {INTEGRATIONS:,} integrations and {rows:,} attempts")
    postgres.durable(False)  # nothing is measured yet
    made = server.shell(GENERATE, integrations=INTEGRATIONS)
    server.sql(ATTEMPTS_OF_A_WEEK, {"rows": rows, "integrations": INTEGRATIONS})
    server.sql("VACUUM (ANALYZE)")
    postgres.durable(True)
    for row in server.sql(
        "SELECT code, count(*) AS number FROM auth_integration_finding GROUP BY code ORDER BY code"
    ):
        yield Finding(f"findings there are: {row['code']}", row["number"], "")
    say("opening every screen")
    for name, spent in server.shell(
        OPEN_EVERYTHING, runs=4, promise=PROMISE_MS, owner=made["owner"]
    ):
        # The first run has cold caches, in PostgreSQL and in Odoo.
        yield Finding(name, median(spent[1:] or spent), "ms", PROMISE_MS)
