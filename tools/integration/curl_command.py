"""A shell command that makes the first call with a key, ready to paste.

It calls ``whoami``, which every key may call, and prints the response headers too: they contain the
reference of a rejected call.
"""

import json
import shlex
from xmlrpc.client import dumps

from .code_samples import WHOAMI

MODEL, METHOD = "auth.integration.key", "whoami"
# Placeholder for a key that must not be shown: the shell replaces it by the variable's value.
KEY_VARIABLE = "$ODOO_KEY"


def curl_command(url, database, uid, channels, key=None):
    """Return the command, or None when it supports none of the allowed channels.

    :param url: address of Odoo, without a trailing slash
    :param uid: ID of the integration user
    :param channels: allowed ones; empty means all
    :param key: the key itself; by default the shell variable ``ODOO_KEY``
    """
    for channel, build in _BUILDERS.items():
        if not channels or channel in channels:
            return f"curl -i {build(url, database, uid, key)}"
    return None


def _json2(url, database, _uid, key):
    return (
        f"{shlex.quote(url + WHOAMI)} -H \"Authorization: Bearer {_key(key)}\""
        f" -H {shlex.quote(f'X-Odoo-Database: {database}')}"
        " -H 'Content-Type: application/json' -d '{}'"
    )


def _jsonrpc(url, database, uid, key):
    body = json.dumps({
        "jsonrpc": "2.0", "method": "call", "id": 1,
        "params": {
            "service": "object", "method": "execute_kw",
            "args": [database, uid, _key(key), MODEL, METHOD, []],
        },
    })
    return f"{shlex.quote(url + '/jsonrpc')} -H 'Content-Type: application/json' -d {_quoted(body)}"


def _xmlrpc(url, database, uid, key):
    body = dumps((database, uid, _key(key), MODEL, METHOD, []), "execute_kw").replace("\n", "")
    return f"{shlex.quote(url + '/xmlrpc/2/object')} -H 'Content-Type: text/xml' -d {_quoted(body)}"


_BUILDERS = {"json2": _json2, "jsonrpc": _jsonrpc, "xmlrpc": _xmlrpc}


def _key(key):
    return key or KEY_VARIABLE


def _quoted(text):
    """Quote text for a shell, except the variable, which the shell must replace."""
    return shlex.quote(text).replace(KEY_VARIABLE, f"'\"{KEY_VARIABLE}\"'")
