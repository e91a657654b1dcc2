"""The process behind ``LiveServer.shell``: runs code in an Odoo environment, one request at a time.

It reads one JSON object per line from stdin, ``{"code": ..., "values": {...}}``, and writes one per
line to stdout, ``{"result": ...}`` or ``{"error": traceback}``. Each request has its own
transaction. Like any Odoo process, it notifies the others, through the database, of invalidated
caches.
"""

import json
import os
import sys
import traceback

import odoo.init  # noqa: F401, I001  must come before anything else of Odoo
from odoo import SUPERUSER_ID, api
from odoo.modules import initialize_sys_path
from odoo.modules.registry import Registry
from odoo.service.model import PG_CONCURRENCY_EXCEPTIONS_TO_RETRY
from odoo.tools import config


def main():
    """Serve requests until stdin is closed."""
    # Only answers may reach stdout; what the code prints goes to stderr.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    configuration, database = sys.argv[1:]
    config.parse_config(["--config", configuration, "--no-http"], setup_logging=True)
    initialize_sys_path()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"result": _run(database, request["code"], request["values"])}
        except BaseException:
            answer = {"error": traceback.format_exc()}
        answers.write(json.dumps(answer, default=str) + "\n")


def _run(database, code, values):
    """Run code in a transaction, retried after concurrency errors as a server does."""
    for _further_try in range(4):
        try:
            return _run_once(database, code, values)
        except PG_CONCURRENCY_EXCEPTIONS_TO_RETRY:
            pass
    return _run_once(database, code, values)


def _run_once(database, code, values):
    registry = Registry(database).check_signaling()
    with registry.cursor() as cr:
        env = api.Environment(cr, SUPERUSER_ID, {})
        names = {**values, "env": env, "cr": cr, "registry": registry, "result": None}
        exec(compile(code, "<shell>", "exec"), names)
        # Fail here, inside the transaction, if the result cannot be sent.
        result = json.loads(json.dumps(names["result"], default=str))
        env.flush_all()
    registry.signal_changes()
    return result


if __name__ == "__main__":
    main()
