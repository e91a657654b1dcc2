"""``make bench ROWS=jobs``: the cron jobs with 1,000, 10,000 and 50,000 integration keys.

First with nothing to do, then with much to do: 20,000 keys for the sync to find, 10,000 ended keys
to delete, and 16,000 keys of one owner due at the same time, which the server's own cron rotates. A
transaction is timed from its first write to its commit.
"""

import os
import time

from benchmarks.checks.copies import COPY
from benchmarks.checks.registry import Finding, check
from dev.common import say
from dev.servers import postgres

SIZES = [int(n) for n in (os.environ.get("JOBS_KEYS") or "1000,10000,50000").split(",")]
DUE = min(16_000, SIZES[-1])
NEW, ENDED = 20_000, 10_000
PROMISE_IDLE, PROMISE_TRANSACTION = 1, 1
PROMISE_OPENED, PROMISE_DONE = 5 * 60, 7 * 60
PROMISE_MAIL_KB = 100

# Integrations `first` to `last`, each with a user and a used key; no key is due.
GENERATE = COPY + r"""
    integrations = env["auth.integration"].with_context(tracking_disable=True)
    model = integrations.search([("code", "=", "system_0")])
    if not model:
        owner = env["res.users"].create(
            {"name": "Olivia", "login": "olivia", "email": "olivia@example.com"})
        model = integrations.create(
            {"name": "System 0", "code": "system_0", "owner_ids": [(6, 0, owner.ids)]})
        env["auth.integration.key"]._issue(model, "System 0")
        env.flush_all()
    key, number, base = model.key_ids[:1], last - first, 1000000 + first
    named = {"name": f"'System ' || n + {first}"}
    copy("res_partner", model.user_id.partner_id.id, base, number,
         complete_name=named["name"], **named)
    copy("res_users", model.user_id.id, base, number, login=f"'system_' || n + {first}",
         partner_id=f"{base} + n")
    cr.execute("INSERT INTO res_groups_users_rel (gid, uid) SELECT gid, %s + n"
               " FROM res_groups_users_rel, generate_series(1, %s) n WHERE uid = %s",
               [base, number, model.user_id.id])
    cr.execute("INSERT INTO res_company_users_rel (cid, user_id) SELECT cid, %s + n"
               " FROM res_company_users_rel, generate_series(1, %s) n WHERE user_id = %s",
               [base, number, model.user_id.id])
    copy("auth_integration", model.id, base, number, code=f"'system_' || n + {first}",
         user_id=f"{base} + n", **named)
    cr.execute("INSERT INTO auth_integration_owner_rel (integration_id, user_id)"
               " SELECT %s + n, %s FROM generate_series(1, %s) n",
               [base, model.owner_ids.id, number])
    hashed = {"index": f"lpad(to_hex({base} + n), 8, '0')", "key": f"key || {base} + n"}
    end = "localtimestamp + interval '110 days'"
    copy("res_users_apikeys", key.apikey_id.id, base, number, user_id=f"{base} + n",
         expiration_date=end, **hashed, **named)
    copy("auth_integration_key", key.id, base, number, apikey_id=f"{base} + n",
         user_id=f"{base} + n", integration_id=f"{base} + n", login=f"'system_' || n + {first}",
         prefix=hashed["index"], hash=f"hash || {base} + n", digest="NULL", expires_at=end,
         replace_by="localtimestamp + interval '80 days'", first_used_at="localtimestamp",
         last_used_at="localtimestamp", **named)
"""
# Imported keys that the add-on has not recorded yet.
NEW_KEYS = """
    INSERT INTO res_users_apikeys (name, user_id, key, index, create_date)
    SELECT 'new', i.user_id, 'new' || n, lpad(to_hex(n), 8, 'f'), localtimestamp
    FROM generate_series(1, %s) n
    JOIN (SELECT user_id, row_number() OVER (ORDER BY id) - 1 AS place FROM auth_integration) i
        ON i.place = n %% (SELECT count(*) FROM auth_integration)
"""
OLD_KEYS = """
    INSERT INTO auth_integration_key (name, user_id, integration_id, prefix, issued_at, ended_at,
        end_kind, replaced_by_id)
    SELECT k.name, k.user_id, k.integration_id, k.prefix, k.issued_at - interval '600 days',
        localtimestamp - interval '500 days', 'superseded', k.id
    FROM auth_integration_key k, generate_series(1, 20) WHERE k.ended_at IS NULL LIMIT %s
"""
# Runs in an Odoo process; `result` is the seconds of the job and of its longest transaction.
RUN = r"""
    import time
    from odoo.sql_db import Cursor
    writes = ("INSERT", "UPDATE", "DELETE", "WITH")
    commit, execute = Cursor.commit, Cursor.execute
    began, longest = {}, [0]  # by cursor: jobs have some of their own

    def timed_execute(self, query, *args, **kwargs):
        if str(getattr(query, "code", query)).lstrip().upper().startswith(writes):
            began.setdefault(id(self), time.perf_counter())
        return execute(self, query, *args, **kwargs)

    def timed_commit(self):
        commit(self)
        longest[0] = max(longest[0], time.perf_counter() - began.pop(id(self), float("inf")))

    Cursor.execute, Cursor.commit = timed_execute, timed_commit
    try:
        started = time.perf_counter()
        exec(job)
        env.flush_all()
        cr.commit()
        result = [time.perf_counter() - started, longest[0]]
    finally:
        Cursor.execute, Cursor.commit = execute, commit
"""
JOBS = {
    "rotation": "env['auth.integration.rotation']._cron_rotate()",
    "sync": "env['auth.integration.key']._cron_reconcile()",
    "vacuum": """
while env['auth.integration.key']._gc_ended_keys()[1]:
    cr.commit()
env['auth.integration.digest']._gc_digests()
""",
}


@check("jobs", config={"max_cron_threads": 1})
def scheduled_jobs(side):
    """Measure each job with each number of keys, and then with much to do."""
    server = side.server
    # Only the job that is triggered may run.
    server.sql("UPDATE ir_cron SET nextcall = localtimestamp + interval '1 year'")
    there = 0
    for size in SIZES:
        say(f"making {size:,} integrations")
        _make(server, there, size)
        there = size
        for name, job in JOBS.items():
            server.shell(RUN, job=job)  # fills the caches
            seconds, _longest = server.shell(RUN, job=job)
            yield Finding(f"{name}, nothing to do, {size:,} keys", seconds, "s", PROMISE_IDLE)
    yield from _much_to_do(server)
    yield from _all_due(server)


def _make(server, first, last):
    postgres.durable(False)  # nothing is measured yet
    server.shell(GENERATE, first=first, last=last)
    server.sql("VACUUM (ANALYZE)")
    postgres.durable(True)


def _much_to_do(server):
    for name, statement, number in (("sync", NEW_KEYS, NEW), ("vacuum", OLD_KEYS, ENDED)):
        server.sql(statement, [number])
        seconds, longest = server.shell(RUN, job=JOBS[name])
        title = f"{name}, {number:,} keys"
        yield Finding(title, seconds, "s")
        yield Finding(f"{title}: longest transaction", longest, "s", PROMISE_TRANSACTION)


def _all_due(server):
    say(f"{DUE:,} keys are due, and the cron is told")
    server.sql("DELETE FROM res_users_apikeys WHERE name = 'new'")
    server.sql(
        "UPDATE auth_integration_key SET replace_by = localtimestamp + interval '20 days'"
        " WHERE ended_at IS NULL AND integration_id IN"
        " (SELECT id FROM auth_integration ORDER BY id LIMIT %s)", [DUE])
    server.sql("VACUUM (ANALYZE)")
    started = time.perf_counter()
    server.shell("env.ref('auth_integration.ir_cron_rotation')._trigger()")
    opened = _seconds_until(
        server, started, PROMISE_OPENED * 2,
        "SELECT count(*) >= %s AS done FROM auth_integration_rotation", DUE)
    done = _seconds_until(
        server, started, PROMISE_DONE * 2,
        "SELECT count(*) = 0 AS done FROM ir_cron_trigger t JOIN ir_cron c ON c.id = t.cron_id"
        " WHERE c.cron_name LIKE 'API Integrations: rotate%%' AND %s > 0", DUE)
    yield Finding(f"{DUE:,} due at once: opened", opened, "s", PROMISE_OPENED)
    yield Finding(f"{DUE:,} due at once: the job's end", done, "s", PROMISE_DONE)
    (row,) = server.sql(
        "SELECT count(*) AS asked FROM mail_activity WHERE res_model = 'auth.integration'")
    yield Finding(f"{DUE:,} due at once: owners not asked", DUE - row["asked"], "", 0)
    (row,) = server.sql(
        "SELECT coalesce(max(length(body_html)), 0) / 1024.0 AS kb FROM mail_mail")
    yield Finding(f"{DUE:,} due at once: largest mail", float(row["kb"]), "kB", PROMISE_MAIL_KB)


def _seconds_until(server, started, longest, query, *values):
    """Seconds after which the scheduled job was done; it is waited for no longer than so many."""
    while not server.sql(query, values)[0]["done"]:
        if time.perf_counter() - started > longest:
            break
        time.sleep(0.5)
    return time.perf_counter() - started
