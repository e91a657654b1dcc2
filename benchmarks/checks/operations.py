"""``make bench ROWS=operations``: the cost of counting the operation of a call.

It is too small to be seen in the noise of a call. So the counting is repeated many times in one
process, with as many statements as a small call makes, and compared with the time of a call.
"""

import time
from statistics import median

from benchmarks.checks.registry import Finding, check

CALLS = 400
STATEMENTS = 5
TIMES = 20_000
# Percent of a call.
PROMISE = 1

# Runs in an Odoo process. `result` is the seconds that counting adds to a call.
COUNT = r"""
    import threading, time
    from types import SimpleNamespace
    from odoo.addons.auth_integration.tools.access import operations
    from odoo.addons.auth_integration.tools.attempt import request_state
    from odoo.addons.auth_integration.tools.key.authenticated_key import AuthenticatedKey
    from odoo.addons.auth_integration.tools.key.usage_writer import usage_writer

    usage_writer._ensure_thread = lambda: None
    text = 'SELECT "res_users"."id", "res_users"."login" FROM "res_users" WHERE "id" IN %s' * 5
    cursor = SimpleNamespace(_obj=SimpleNamespace(statusmessage="SELECT 1"))
    key = AuthenticatedKey(cr.dbname, 1, 1, "json2", "192.0.2.1")

    thread = threading.current_thread()

    def call(counted):
        state = request_state.current()
        state.authenticated_key, state.operation = key, ("res.users", "context_get")
        if not counted:
            for _ in range(statements):
                for hook in getattr(thread, "query_hooks", ()):
                    hook(cursor, text, None, 0, 0)
            return
        with request_state.counting():
            operations.watch()
            for _ in range(statements):
                for hook in getattr(thread, "query_hooks", ()):
                    hook(cursor, text, None, 0, 0)
            operations.note(False)

    def seconds(counted):
        started = time.perf_counter()
        for _ in range(times):
            call(counted)
        return (time.perf_counter() - started) / times

    seconds(True)
    result = sorted(seconds(True) - seconds(False) for _ in range(5))[2]
    usage_writer.forget()
"""


@check("operations")
def counted_operations(side):
    """Measure a good call, then the counting alone."""
    spent = []
    for number in range(CALLS):
        started = time.perf_counter()
        side.json2(side.bot_key)
        if number >= CALLS // 10:
            spent.append(time.perf_counter() - started)
    cost = side.server.shell(COUNT, statements=STATEMENTS, times=TIMES)
    yield Finding("operations: a /json/2 call of a good key", median(spent) * 1e3, "ms")
    yield Finding("operations: counting it", cost * 1e6, "µs")
    share = 100 * cost / median(spent)
    yield Finding("operations: counting, as a part of the call", share, "%", PROMISE)
