"""Integrations to diagnose, and what Diagnose and doctor.py say of them."""

import itertools
import json
import os
import re
import subprocess
import sys
from types import SimpleNamespace

from dev.common import ROOT

SERVER = {"config": {"proxy_mode": True}}
UNKNOWN_KEY = "0123456789abcdef" * 2 + "01234567"
_addresses = itertools.count(1)


def set_base_url(server, url):
    server.shell(
        "env['ir.config_parameter'].set_param('web.base.url', url)"
        "\nenv['ir.config_parameter'].set_param('web.base.url.freeze', 'True')\nresult = 1",
        url=url,
    )


def make(server, code, **values):
    """Create an integration with one key; return its id, login, secret, key and uid."""
    told = server.shell(
        """
        integration = env["auth.integration"].create(
            {"name": login.capitalize(), "code": login, "owner_ids": [2], **values})
        secret, key = env["auth.integration.key"]._issue(integration, login)
        result = [integration.id, integration.login, secret, key.id, integration.user_id.id]
        """,
        login=code,
        values=values,
    )
    return SimpleNamespace(**dict(zip(("id", "login", "secret", "key", "uid"), told, strict=True)))


def diagnose(server, integration):
    """Run a diagnosis in another process, as the cron job does, and return its lines."""
    lines = server.shell(
        """
        admin = env(user=2)
        action = admin["auth.integration"].browse(integration).action_diagnose()
        env.cr.commit()
        env["auth.integration.diagnosis"]._cron_run()
        diagnosis = env["auth.integration.diagnosis"].browse(action["res_id"])
        assert diagnosis.state == "done", diagnosis.state
        result = diagnosis.line_ids.read(
            ["side", "result", "check_name", "cause", "seen", "meaning", "remedy", "res_model",
             "res_id", "fix"])
        for line in result:
            record = line["res_id"] and env[line["res_model"]].browse(line["res_id"])
            line["record_exists"] = bool(record and record.exists())
        """,
        integration=integration.id,
    )
    for line in lines:
        if line["result"] == "failed":
            assert_it_tells_its_source(line)
    return lines


def assert_it_tells_its_source(line):
    """Each ✗ of a diagnosis names the record it is about, or a request and its response."""
    assert line["seen"] and line["meaning"] and line["remedy"], line
    if line["side"] == "inside":
        assert line["record_exists"], line
    else:
        assert re.search(r"\b(GET|POST) \S+ → (\d{3}|no answer|\S+ )", line["seen"]), line


def found(lines, result="failed"):
    return {line["cause"]: line for line in lines if line["result"] == result}


def doctor(server, login, secret, *, database=None, path="", url=None, options=(), session_id=""):
    """Run doctor.py with the failing program's settings; return the step that names the cause."""
    done = subprocess.run(
        [sys.executable, "-I", ROOT / "static" / "doctor.py", (url or server.url) + path, "--json",
         "--source-address", f"127.8.0.{next(_addresses)}", *options],
        env={"PATH": os.environ["PATH"], "ODOO_DB": database or server.db, "ODOO_KEY": secret,
             "ODOO_LOGIN": login, "ODOO_SESSION_ID": session_id},
        capture_output=True,
        text=True,
    )
    for hidden in (secret, session_id):
        assert not hidden or hidden not in done.stdout + done.stderr
    told = json.loads(done.stdout)
    return next(step for step in told["steps"] if step["cause"] == told["cause"])
