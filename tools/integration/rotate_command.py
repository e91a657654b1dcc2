"""The crontab line with which a host fetches its new keys using ``static/rotate.py``."""

import shlex
import zlib

PROGRAM = "/opt/odoo/rotate.py"
FOLDER = "/etc/odoo"
HOUR = 4


def cron_line(url, database, name, second_factor=False):
    """Return the line for one external system, with the options of the program.

    :param name: of the files with its key and its seed; it also spreads the systems over an hour
    :param second_factor: whether it sends a code
    """
    command = ["python3", PROGRAM, url, "--db", database, "--key-file", f"{FOLDER}/{name}.key"]
    if second_factor:
        command += ["--totp-file", f"{FOLDER}/{name}.totp"]
    # A crontab treats an unescaped % as a line break.
    words = shlex.join(command).replace("%", r"\%")
    return f"{zlib.crc32(name.encode()) % 60} {HOUR} * * * {words}"
