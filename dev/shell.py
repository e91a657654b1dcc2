"""``make shell``: an interactive Odoo shell on the database of ``make run``."""

import subprocess

import postgres
import virtualenv
from common import entry_point
from odoo_command import check_addon, command, environment
from run import database_name, prepare, server_arguments


def main():
    """Open the shell."""
    check_addon()
    with postgres.running():
        database = database_name()
        prepare(database)
        arguments = ("shell", *server_arguments(database), "--no-http", "--log-level", "warn")
        subprocess.run(command(*arguments), env=environment())


if __name__ == "__main__":
    virtualenv.enter()
    entry_point(main)
