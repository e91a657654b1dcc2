"""Options of this server, in their own section of Odoo's configuration file.

::

    [auth_integration]
    event_log = /var/log/odoo/auth_integration.jsonl
"""

import configparser

from odoo.tools import config

SECTION = "auth_integration"


def option(name: str) -> str:
    """Return the current value of an option; empty if the file does not set it."""
    # The file is read here: Odoo reads only its own section, and warns of unknown options in it.
    path = config["config"]
    parser = configparser.RawConfigParser()
    if path:
        parser.read(path)
    return parser.get(SECTION, name, fallback="")
