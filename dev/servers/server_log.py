"""Read an Odoo server log: find warnings and errors that are ours and that no test expects."""

import re
from dataclasses import dataclass

from dev.common import ADDON, CACHE, ROOT
from dev.servers.private_postgres import ROOT_HOME

LINE = re.compile(
    r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (?P<pid>\d+) (?P<level>[A-Z]+) (?P<db>\S+)"
    r" (?P<logger>\S+?): (?P<message>.*)$"
)
BAD_LEVELS = {"WARNING", "ERROR", "CRITICAL"}
# Messages of Odoo about models or views that do not name the add-on. Stock Odoo never causes them,
# so they are ours.
LOADING = re.compile(
    r"is deprecated|no longer supported|has no access rules|_sql_constraints|no _description"
    r"|have the same label|unknown parameter|inconsistent '(?:compute_sudo|store)'"
    r"|without rec_name|missing or wrong .* in XML|unaccent",
    re.I,
)


@dataclass
class Record:
    """An entry of a log: a line with its header, and the lines after it, such as a traceback."""

    pid: int
    level: str
    logger: str
    text: str

    def is_complaint(self):
        """Return whether this is a warning or error that the add-on is responsible for."""
        if self.level not in BAD_LEVELS:
            return False
        if self.logger.startswith(f"odoo.addons.{ADDON}"):
            return True
        # A line is not ours just because it names one of our folders.
        text = self.text
        for folder in (CACHE, ROOT, ROOT_HOME):
            text = text.replace(str(folder), "")
        if self.logger == "py.warnings":
            return ADDON in text.partition("\n")[0]  # the file that warned, not its callers
        if ADDON in text:
            return True
        return self.logger.startswith("odoo.") and bool(LOADING.search(text))


def records(text):
    """Return the entries of a log."""
    found = []
    for line in text.splitlines():
        header = LINE.match(line)
        if header:
            found.append(Record(int(header["pid"]), header["level"], header["logger"], line))
        elif found:
            found[-1].text += "\n" + line
    return found


def complaints(text, expected=()):
    """Return the entries that are our warnings or errors and that no pattern expects.

    :param expected: regular expressions, searched for in the whole entry
    """
    return [
        record.text
        for record in records(text)
        if record.is_complaint() and not any(re.search(p, record.text) for p in expected)
    ]
