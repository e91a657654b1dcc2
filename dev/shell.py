"""``make shell``: an interactive Odoo shell on the database of ``make run``."""

import subprocess

from dev.common import entry_point
from dev.environment import virtualenv
from dev.run import database_name, prepare, server_arguments
from dev.servers import postgres
from dev.servers.odoo_command import check_addon, command, environment


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
