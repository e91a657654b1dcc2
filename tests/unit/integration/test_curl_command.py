"""The command of a first call: one line that can be pasted into a shell."""

import json
import shlex
import xmlrpc.client

from odoo.addons.auth_integration.tools.integration.curl_command import curl_command

KEY = "0123456789abcdef0123456789abcdef01234567"
URL, DATABASE = "https://odoo.example.com", "it's $(mine)"


def words(channels, key=KEY):
    """Return the words that a shell sees, with the variable replaced."""
    command = curl_command(URL, DATABASE, 7, channels, key)
    assert "\n" not in command
    return [word.replace("$ODOO_KEY", KEY) for word in shlex.split(command)]


def test_json2_is_the_first_choice():
    for channels in (set(), {"json2", "xmlrpc"}):
        curl, option, url, *rest = words(channels)
        assert (curl, option, url) == ("curl", "-i", f"{URL}/json/2/auth.integration.key/whoami")
        assert f"Authorization: Bearer {KEY}" in rest
        assert f"X-Odoo-Database: {DATABASE}" in rest


def test_jsonrpc():
    command = words({"jsonrpc", "xmlrpc"})
    assert command[2] == f"{URL}/jsonrpc"
    params = json.loads(command[-1])["params"]
    assert params["args"] == [DATABASE, 7, KEY, "auth.integration.key", "whoami", []]


def test_xmlrpc():
    command = words({"xmlrpc"})
    assert command[2] == f"{URL}/xmlrpc/2/object"
    arguments, method = xmlrpc.client.loads(command[-1])
    assert method == "execute_kw"
    assert arguments == (DATABASE, 7, KEY, "auth.integration.key", "whoami", [])


def test_without_a_key_the_shell_puts_it_in():
    for channel in ("json2", "jsonrpc", "xmlrpc"):
        assert words({channel}, key=None) == words({channel})


def test_custom_routes_have_nothing_in_common():
    assert curl_command(URL, DATABASE, 7, {"http"}) is None
