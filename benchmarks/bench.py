"""``make bench``: a stock server and one with the add-on, the same calls in turn, and promises.

Prints a table, stores all figures in ``.dev/bench/<date>.json``, and exits with 1 when a promise is
missed. In the environment: ``ROWS`` (rows whose name contains this text), ``WORKERS`` (0).
"""

import json
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "dev"))

import virtualenv  # noqa: E402

if __name__ == "__main__":
    virtualenv.enter()

import harness  # noqa: E402
import postgres  # noqa: E402
import report  # noqa: E402
from common import die, say, state_dir  # noqa: E402
from odoo_command import check_addon  # noqa: E402
from rows import ROWS  # noqa: E402


def chosen_rows(text):
    """Return the rows whose name contains a text."""
    rows = [row for row in ROWS if text.lower() in row.name.lower()]
    if not rows:
        die(f"no row has {text!r} in its name", "rows: " + "; ".join(row.name for row in ROWS))
    return rows


def warn_of_load():
    """Say so when others keep the machine busy: figures are still right, and less sharp."""
    load, cores = os.getloadavg()[0], os.cpu_count()
    if load > cores:
        say(f"warning: the load average is {load:.1f} on {cores} cores; the spread will be wide")


def store(document):
    """Write everything to a file of its own, and return its path."""
    path = state_dir("bench") / f"{datetime.now():%Y-%m-%dT%H-%M-%S}.json"
    path.write_text(json.dumps(document, indent=1))
    return path


def commit():
    """Return which code was measured."""
    told = subprocess.run(
        ["git", "-C", str(ROOT), "describe", "--always", "--dirty"], capture_output=True, text=True
    )
    return told.stdout.strip()


def main():
    """Measure what the environment selects; return the exit code."""
    check_addon()
    rows = chosen_rows(os.environ.get("ROWS", ""))
    warn_of_load()
    results, lines = [], []
    with postgres.running(), harness.durable_postgres():
        with harness.both_sides(int(os.environ.get("WORKERS") or 0)) as sides:
            settings = harness.configuration(sides)
            for row in rows:
                say(row.name)
                results.append(report.summary(harness.measure(row, sides)))
            connects = {side.name: (side.connects, side.calls) for side in sides}
            complaints = sides[1].server.unexpected_log_lines()
            lines += report.same_configuration(settings, connects)
    lines += ["", *report.table([report.cells(figures) for figures in results]), ""]
    for figures in results:
        lines += report.tries(figures)
    lines += report.missed(results)
    lines += [f"unexpected in our server log: {entry}" for entry in complaints]
    document = {
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        "commit": commit(),
        "cores": os.cpu_count(),
        "settings": settings,
        "rows": results,
    }
    print("\n".join(lines))
    say(f"all figures: {store(document)}")
    return 1 if report.missed(results) or complaints else 0


if __name__ == "__main__":
    sys.exit(main())
