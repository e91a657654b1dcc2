"""``make test``: unit tests, our tests in Odoo with tours, Odoo's own tests, live-server tests.

Without arguments, all suites run and must pass the gate in ``test-gate.json``: a minimum number of
tests, no skip without a listed reason, and no warning or error of ours in a server log. The
environment variables ``TAGS``, ``UNIT`` and ``LIVE`` select single tests, without the gate.
"""

import json
import os
import shlex
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor

from dev import core_tests, pot
from dev.browser import chromium
from dev.checks.test_results import Result, odoo_result, report
from dev.common import ADDON, CHECKOUT_ID, ROOT, entry_point, free_port, lock, say, state_dir
from dev.environment import virtualenv
from dev.servers import postgres, templates
from dev.servers.odoo_command import addons_path, check_addon, environment, run_to_end

# Each process spends about half of its time waiting for its servers.
LIVE_PROCESSES = max(2, min(4, os.cpu_count() or 1))


def run_pytest(suite, arguments=""):
    """Run a folder of pytest tests and return the result from its report."""
    report = state_dir("test") / f"{suite}.xml"
    report.unlink(missing_ok=True)
    folder = ROOT / "tests" / suite
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "--config-file", folder / "pytest.ini"),
            *("--junitxml", report, "-q", "--tb=short", folder, *shlex.split(arguments)),
        ],
        env=environment(),
        cwd=folder,
    )
    result = Result(suite)
    if not report.exists():
        result.failed = 1
        return result
    for case in ElementTree.parse(report).iter("testcase"):
        skipped = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            result.failed += 1
        elif skipped is not None:
            name = f"{case.get('classname')}.{case.get('name')}"
            result.skips[name] = skipped.get("message", "")
        else:
            result.passed += 1
    # pytest fails without a failed case if it cannot collect the tests; 5: it found no test.
    if done.returncode not in (0, 5) and not result.failed:
        result.failed = 1
    return result


def odoo_database():
    """Return the name of the database for the tests in Odoo, which is kept for the next run."""
    return f"test_{CHECKOUT_ID}"


def run_odoo(tags=None):
    """Run the add-on's tests in Odoo and return the result from its log.

    :param tags: a selection in Odoo's syntax: upgrades and uses the database of the last run.
        Without
        it, all tests run during a fresh installation with demo data.
    """
    chromium.executable()
    database = odoo_database()
    log = state_dir("test") / "odoo.log"
    with lock(state_dir("test") / "odoo.lock"):  # only one run at a time can use the database
        if tags and database in postgres.databases():
            # It is installed first if the last run failed to install it.
            task = ("-i", ADDON, "-u", ADDON, "--with-demo")
        else:
            templates.copy(templates.stock(demo=True), database)
            task = ("-i", ADDON, "--with-demo")
        say(f"Odoo tests {tags or ''} (log: {log})")
        code = _run_odoo(database, task, tags or f"/{ADDON}", log)
    return odoo_result("odoo", log, code)


def _run_odoo(database, task, tags, log):
    return run_to_end(
        [
            *("--database", database, *task, "--stop-after-init", "--test-enable"),
            *("--test-tags", tags, "--addons-path", addons_path(), "--max-cron-threads", "0"),
            *("--data-dir", templates.data_dir(), "--screenshots", state_dir("test", "pictures")),
            *("--http-interface", "127.0.0.1"),
            *("--http-port", free_port(), "--gevent-port", free_port()),
        ],
        log,
    )


def gate(results, limits):
    """Yield what is wrong with a full run even if no test failed.

    :param limits: the content of ``test-gate.json``: ``minimum`` for each suite, and ``skips`` with
        their reasons, by the name of a test or by that of a module and ``.*``
    """
    for result in results:
        ran, minimum = result.passed + result.failed, limits["minimum"][result.suite]
        if ran == 0:
            yield f"suite {result.suite} ran no test"
        elif ran < minimum:
            yield f"suite {result.suite} ran {ran} tests, fewer than the committed {minimum}"
        for test, reason in result.skips.items():
            module = test.partition("[")[0].rpartition(".")[0]
            listed = {test, f"{module}.*"} & limits["skips"].keys()
            if not listed:
                yield f"{test} was skipped without a reason in dev/test-gate.json: {reason}"


def run_everything():
    """Run all suites and return their results.

    The live-server tests mostly wait for their servers, so the other suites run at the same time.
    """
    chromium.executable()  # fail before any test runs if there is no browser
    with ThreadPoolExecutor() as pool:
        live = pool.submit(run_pytest, "live", f"-n {LIVE_PROCESSES} --dist loadfile")
        return [run_pytest("unit"), run_odoo(), core_tests.run(), live.result()]


def run_chosen(UNIT="", TAGS="", LIVE=""):
    """Run the selected tests of the named suites and return their results."""
    results = []
    if UNIT:
        results.append(run_pytest("unit", UNIT))
    if TAGS:
        results.append(run_odoo(TAGS))
    if LIVE:
        results.append(run_pytest("live", LIVE))
    return results


def main():
    """Run what the environment variables select, or everything."""
    check_addon()
    chosen = {name: os.environ.get(name, "") for name in ("UNIT", "TAGS", "LIVE")}
    everything = not any(chosen.values())
    problems = []
    with postgres.running():
        results = run_everything() if everything else run_chosen(**chosen)
        if everything and not any(result.failed for result in results):
            say("checking the translation template")
            if pot.is_stale(odoo_database()):
                problems.append("i18n/auth_integration.pot is stale -> make pot")
    if everything:
        problems += gate(results, json.loads((ROOT / "dev/test-gate.json").read_text()))
    else:
        problems += [f"suite {r.suite} ran no test" for r in results if not r.passed + r.failed]
    return report(results, problems)


if __name__ == "__main__":
    virtualenv.enter()
    entry_point(main)
