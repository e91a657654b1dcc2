"""``static/doctor.py`` as an integrator runs it, and what it says."""

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from dev.common import ROOT

DOCTOR = ROOT / "static" / "doctor.py"


def _python_3_8():
    """Return a Python 3.8 that works, or None: a name on PATH may be no more than a signpost."""
    for name in filter(None, (os.environ.get("PYTHON38"), "python3.8")):
        if shutil.which(name) and not subprocess.run([name, "-V"], capture_output=True).returncode:
            return name
    return None


PYTHON = _python_3_8() or sys.executable
_numbers = itertools.count(1)


class Visit:
    """What the doctor said: ``cause``, ``code``, ``steps`` by check, and the whole ``text``."""

    def __init__(self, done):
        self.code, self.text = done.returncode, done.stdout + done.stderr
        told = json.loads(done.stdout)
        self.cause, self.steps = told["cause"], told["steps"]
        assert told["exit_code"] == self.code
        assert told["ok"] == (self.code == 0)

    @property
    def causes(self):
        return {step["cause"] for step in self.steps if step["cause"]}


def consult(url, *options, db, key=None, login=None, authorization=None, secrets=()):
    """Run the doctor as an integrator would, and see that no secret comes out of it."""
    number = next(_numbers)
    environment = {
        "PATH": os.environ["PATH"],
        "ODOO_URL": url,
        "ODOO_DB": db or "",
        "ODOO_LOGIN": login or "",
        **({"ODOO_KEY": key} if key is not None else {}),
        **({"ODOO_AUTHORIZATION": authorization} if authorization else {}),
    }
    # An address of its own for each visit: verify limits how often one address may ask.
    source = ["--source-address", f"127.7.{number // 200}.{number % 200 + 1}"]
    done = subprocess.run(
        [PYTHON, "-I", DOCTOR, "--json", *source, *options],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout, done.stderr
    for secret in (key, authorization, *secrets):
        for form in (secret, secret and secret.strip(), secret and secret.strip().strip("'\"")):
            assert not form or form not in done.stdout + done.stderr
    assert not re.search(r"[0-9a-f]{40}", done.stdout + done.stderr)
    assert "Traceback" not in done.stderr
    return Visit(done)


def at_once(visit, cases):
    """Make all visits, a few at a time; what one of them raises is its own test's."""
    with ThreadPoolExecutor(4) as pool:
        return {case: pool.submit(visit, case) for case in cases}
