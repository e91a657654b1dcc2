"""Options of this server: a section of its own in Odoo's configuration file.

::

    [auth_integration]
    event_log = /var/log/odoo/auth_integration.jsonl
"""

import configparser

from odoo.tools import config

SECTION = "auth_integration"


def option(name: str) -> str:
    """Return an option as it is now; empty where the file does not set it."""
    # Read here: Odoo keeps only its own section, and warns of options there that it does not know.
    path = config["config"]
    parser = configparser.RawConfigParser()
    if path:
        parser.read(path)
    return parser.get(SECTION, name, fallback="")
