"""Start Odoo processes: command line, environment, and a run to its end with progress shown."""

import os
import re
import subprocess
import sys

from dev.common import ADDON, CACHE, ROOT, addons_dir, die, say, tail
from dev.environment.fetch_odoo import odoo_tree

_tree = None


def tree():
    """Return the Odoo tree in use, which is looked up once per process."""
    global _tree
    if _tree is None:
        _tree = odoo_tree()
    return _tree


def command(*arguments):
    """Return the command line that runs Odoo with these arguments."""
    return [sys.executable, str(tree() / "odoo-bin"), *map(str, arguments)]


def environment(**extra):
    """Return the environment variables for Odoo."""
    environ = {
        **os.environ,
        "PYTHONPATH": str(tree()),
        # Write compiled files neither into the checkout nor into a given ODOO_PATH.
        "PYTHONPYCACHEPREFIX": str(CACHE / "pycache"),
        "PYTHONUNBUFFERED": "1",
        # The user's ~/.odoorc must not affect what is run or tested here.
        "ODOO_RC": os.devnull,
        **extra,
    }
    # This would override the database named on the command line.
    environ.pop("PGDATABASE", None)
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    return environ


def addons_path(*extra, with_addon=True):
    """Return the value for ``--addons-path``; Odoo adds its own folders itself."""
    own = [addons_dir()] if with_addon else []
    # A source checkout has most add-ons beside the package instead of inside it.
    community = [tree() / "addons"] if (tree() / "addons").is_dir() else []
    return ",".join(map(str, [tree() / "odoo/addons", *community, *own, *extra]))


def make_importable():
    """Make the add-on importable in this process, as ``odoo.addons.auth_integration``."""
    sys.path.insert(0, str(tree()))
    import odoo.init  # noqa: F401
    from odoo.modules import initialize_sys_path
    from odoo.tools import config

    config["addons_path"] = [str(tree() / "odoo/addons"), str(addons_dir())]
    initialize_sys_path()


def check_addon():
    """Exit with a clear message if the checkout contains no add-on."""
    if not (ROOT / "__manifest__.py").exists():
        die(f"{ROOT} holds no __manifest__.py", f"run this in a checkout of {ADDON}")


def run_to_end(arguments, log_path, **extra):
    """Run Odoo until it exits, with its output in a file and its progress on the terminal.

    :return: the exit code
    """
    log_path.parent.mkdir(parents=True, exist_ok=True)
    with open(log_path, "w") as log:
        process = subprocess.Popen(
            command(*arguments),
            env=environment(**extra),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        try:
            for line in process.stdout:
                log.write(line)
                log.flush()
                _show_progress(line)
        except BaseException:
            process.kill()
            raise
        finally:
            process.wait()
    return process.returncode


def run_or_die(arguments, log_path, purpose):
    """Run Odoo until it exits; if it failed, print the end of its log and exit."""
    if run_to_end(arguments, log_path):
        print(tail(log_path), file=sys.stderr)
        die(f"{purpose} failed", f"the whole log is {log_path}")


def _show_progress(line):
    loading = re.search(r"Loading module (\w+) \((\d+)/(\d+)\)", line)
    if loading and (loading[1] == ADDON or int(loading[2]) % 5 == 1 or loading[2] == loading[3]):
        say(f"    {loading[2]}/{loading[3]} {loading[1]}")
    starting = re.search(r"odoo\.addons\.\w+\.tests\.(\S+): Starting (\S+) \.\.\.", line)
    if starting:
        say(f"    test {starting[2]}")
