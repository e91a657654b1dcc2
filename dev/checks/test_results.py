"""The results of a test run, read from the reports and logs of the test runners."""

import re
import sys
from dataclasses import dataclass, field

from dev.common import say
from dev.servers import server_log

ODOO_RESULT = re.compile(
    r"odoo\.tests\.result: (\d+) failed, (\d+) error\(s\) of (\d+) tests when loading"
)
ODOO_SKIP = re.compile(r"odoo\.addons\.\w+\.tests\.\S+: skipped (\S+) : (.*)$", re.M)


@dataclass
class Result:
    """The result of one test suite."""

    suite: str
    passed: int = 0
    failed: int = 0
    skips: dict = field(default_factory=dict)  # test: reason
    complaints: list = field(default_factory=list)  # unexpected entries of server logs


def odoo_result(suite, log, code, core=False):
    """Read the result of a run of Odoo's test runner from its log.

    :param code: the exit code
    :param core: whether these were Odoo's own tests, which provoke errors without announcing them
    """
    text = log.read_text(errors="replace")
    result = Result(suite, skips={} if core else dict(ODOO_SKIP.findall(text)))
    for failures, errors, total in ODOO_RESULT.findall(text):
        result.failed += int(failures) + int(errors)
        result.passed += int(total) - int(failures) - int(errors)
    result.passed -= len(result.skips)
    result.complaints = [] if core else server_log.complaints(text)
    if code and not result.failed:
        result.failed = 1  # it failed before any test ran
    if result.failed:
        _print_failures(text)
    return result


def _print_failures(text):
    for record in server_log.records(text):
        if record.level in ("ERROR", "CRITICAL"):
            print(record.text, file=sys.stderr)


def report(results, problems):
    """Print the summary and return the exit code."""
    print(file=sys.stderr)
    for result in results:
        skipped = f", {len(result.skips)} skipped" if result.skips else ""
        say(f"{result.suite}: {result.passed} passed, {result.failed} failed{skipped}")
        for entry in result.complaints:
            problems.append(f"unexpected in the server log of suite {result.suite}: {entry}")
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    failed = sum(result.failed for result in results) + len(problems)
    sys.stderr.flush()
    print(f"{sum(result.passed for result in results)} passed, {failed} failed", flush=True)
    return 1 if failed else 0
