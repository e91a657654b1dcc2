"""``make bench``: compare a stock server and one with the add-on, call by call, and check promises.

Prints a table, stores all figures in ``.dev/bench/<date>.json``, and exits with 1 if a promise is
missed. Environment variables: ``ROWS`` selects the rows whose name contains this text, or a check
(``flood``, ``parallel``, ``size``, ``log``, ``metrics``, ``overview``, ``findings``, ``jobs``,
``rotation``, ``guessing``, ``operations`` or ``oracle``); ``WORKERS`` is the number of HTTP workers
(default 0).
"""

import json
import os
import subprocess
from dataclasses import asdict
from datetime import datetime

from benchmarks import checks  # noqa: F401  declares them
from benchmarks.beside_stock import harness, report
from benchmarks.beside_stock.rows import ROWS
from benchmarks.checks.registry import CHECKS
from dev.common import ROOT, die, entry_point, say, state_dir
from dev.environment import virtualenv
from dev.servers import postgres
from dev.servers.odoo_command import check_addon


def chosen_rows(text):
    """Return the rows whose name contains this text."""
    rows = [row for row in ROWS if text.lower() in row.name.lower()]
    if not rows:
        names = [row.name for row in ROWS] + list(CHECKS)
        die(f"no row has {text!r} in its name", "there are: " + "; ".join(names))
    return rows


def warn_of_load():
    """Warn if the machine is busy: the figures are still right, but less precise."""
    load, cores = os.getloadavg()[0], os.cpu_count()
    if load > cores:
        say(f"warning: the load average is {load:.1f} on {cores} cores; the spread will be wide")


def store(document):
    """Write all figures to a new file and return its path."""
    path = state_dir("bench") / f"{datetime.now():%Y-%m-%dT%H-%M-%S}.json"
    path.write_text(json.dumps(document, indent=1))
    return path


def commit():
    """Return the version of the measured code."""
    told = subprocess.run(
        ["git", "-C", str(ROOT), "describe", "--always", "--dirty"], capture_output=True, text=True
    )
    return told.stdout.strip()


def compare(rows, workers):
    """Measure rows on both servers; return lines to print, figures to store and problems."""
    results = []
    with harness.running_sides(workers, "stock", "ours") as sides:
        settings = harness.configuration(sides)
        sides[1].take_nothing_for_a_flood()
        sides[1].limit_no_guesses()
        for row in rows:
            say(row.name)
            results.append(report.summary(harness.measure(row, sides)))
        connects = {side.name: (side.connects, side.calls) for side in sides}
        problems = report.missed(results) + complaints(sides[1])
    lines = report.same_configuration(settings, connects)
    lines += ["", *report.table([report.cells(figures) for figures in results]), ""]
    for figures in results:
        lines += report.tries(figures)
    return lines, {"settings": settings, "rows": results}, problems


def run_check(name, workers):
    """Run a check; return the same as :func:`compare`."""
    check = CHECKS[name]
    with harness.running_sides(workers, *check.sides, **check.server) as sides:
        findings = list(check.run(*sides))
        problems = report.missed_findings(findings) + complaints(sides[-1])
    stored = {"check": name, "findings": [asdict(finding) for finding in findings]}
    return report.findings(findings), stored, problems


def complaints(side):
    """Return our warnings and errors in a server's log, as lines."""
    entries = side.server.unexpected_log_lines()
    return [f"unexpected in our server log: {entry}" for entry in entries]


def main():
    """Measure what the environment variables select and return the exit code."""
    check_addon()
    chosen, workers = os.environ.get("ROWS", ""), int(os.environ.get("WORKERS") or 0)
    warn_of_load()
    with postgres.running(), harness.durable_postgres():
        if chosen in CHECKS:
            lines, figures, problems = run_check(chosen, workers)
        else:
            lines, figures, problems = compare(chosen_rows(chosen), workers)
    document = {
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        "commit": commit(),
        "cores": os.cpu_count(),
        **figures,
        "problems": problems,
    }
    print("\n".join([*lines, *problems]), flush=True)
    say(f"all figures: {store(document)}")
    return 1 if problems else 0


if __name__ == "__main__":
    virtualenv.enter()
    entry_point(main)
