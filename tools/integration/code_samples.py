"""Examples of a first call, ready to run with an integration's own settings except its key.

Each reads the key from the environment variable ``ODOO_KEY`` and prints the response to ``whoami``,
which every key may call.  A test runs each of them as printed.
"""

import json
import shlex
from dataclasses import dataclass

WHOAMI = "/json/2/auth.integration.key/whoami"

_CURL = """\
curl --fail-with-body -sS -X POST %(call)s \\
     -H "Authorization: Bearer $ODOO_KEY" \\
     -H %(database)s \\
     -H 'Content-Type: application/json' -d '{}'"""

_PYTHON = """\
import os
import urllib.request

request = urllib.request.Request(
    %(call)s,
    data=b"{}",
    headers={
        "Authorization": "Bearer " + os.environ["ODOO_KEY"],
        "X-Odoo-Database": %(database)s,
        "Content-Type": "application/json",
    },
)
with urllib.request.urlopen(request) as answer:
    print(answer.read().decode())"""

_PHP = """\
<?php
$context = stream_context_create(["http" => [
    "method" => "POST",
    "header" => [
        "Authorization: Bearer " . getenv("ODOO_KEY"),
        "X-Odoo-Database: " . %(database)s,
        "Content-Type: application/json",
    ],
    "content" => "{}",
    "ignore_errors" => true,
]]);
echo file_get_contents(%(call)s, false, $context);"""

_JAVASCRIPT = """\
const answer = await fetch(%(call)s, {
    method: "POST",
    headers: {
        "Authorization": `Bearer ${process.env.ODOO_KEY}`,
        "X-Odoo-Database": %(database)s,
        "Content-Type": "application/json",
    },
    body: "{}",
});
console.log(await answer.text());"""

_PYTHON_XMLRPC = """\
import os
import xmlrpc.client

url, db, login = %(url)s, %(database)s, %(login)s
key = os.environ["ODOO_KEY"]
uid = xmlrpc.client.ServerProxy(url + "/xmlrpc/2/common").authenticate(db, login, key, {})
if not uid:
    raise SystemExit("Rejected. Stop here: False is not a user ID.")
models = xmlrpc.client.ServerProxy(url + "/xmlrpc/2/object")
print(models.execute_kw(db, uid, key, "auth.integration.key", "whoami", []))"""

_PYTHON_JSONRPC = """\
import json
import os
import urllib.request

url, db, login = %(url)s, %(database)s, %(login)s
key = os.environ["ODOO_KEY"]


def call(service, method, *args):
    params = {"service": service, "method": method, "args": args}
    body = json.dumps({"jsonrpc": "2.0", "method": "call", "id": 1, "params": params})
    request = urllib.request.Request(
        url + "/jsonrpc", body.encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        reply = json.load(answer)
    if "error" in reply:
        raise SystemExit(reply["error"]["data"]["message"])
    return reply["result"]


uid = call("common", "authenticate", db, login, key, {})
if not uid:
    raise SystemExit("Rejected. Stop here: False is not a user ID.")
print(call("object", "execute_kw", db, uid, key, "auth.integration.key", "whoami", []))"""


@dataclass(frozen=True)
class Example:
    """One example.

    :ivar channel: the channel of ``auth.attempt`` it calls over
    :ivar language: ``curl``, ``python``, ``php`` or ``javascript``
    :ivar title: title of the example
    :ivar code: complete code
    """

    channel: str
    language: str
    title: str
    code: str


def _php(text):
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _shell_header(database):
    return shlex.quote(f"X-Odoo-Database: {database}")


_TEMPLATES = (
    # channel, language, title, template, function that quotes a text for the language
    ("json2", "curl", "curl", _CURL, shlex.quote),
    ("json2", "python", "Python", _PYTHON, json.dumps),
    ("json2", "php", "PHP", _PHP, _php),
    ("json2", "javascript", "JavaScript (Node.js 18 and up, as a .mjs file)", _JAVASCRIPT,
     json.dumps),
    ("xmlrpc", "python", "Python, XML-RPC", _PYTHON_XMLRPC, json.dumps),
    ("jsonrpc", "python", "Python, JSON-RPC", _PYTHON_JSONRPC, json.dumps),
)


def examples(url, database, login, channels):
    """Return the examples for the channels that an integration may use.

    :param url: address of Odoo, without a trailing slash
    :param channels: allowed ones; empty means all
    :rtype: list[Example]
    """
    return [
        Example(
            channel,
            language,
            title,
            template
            % {
                "url": write(url),
                "call": write(url + WHOAMI),
                "database": (_shell_header if language == "curl" else write)(database),
                "login": write(login),
            },
        )
        for channel, language, title, template, write in _TEMPLATES
        if not channels or channel in channels
    ]
