"""Shared by the access tests: keys with limits, and every way to call a method."""

import json
import xmlrpc.client
from dataclasses import dataclass

from callers.clients import Json2, Jsonrpc, Line, Xmlrpc, administrator
from dev.common import TEST_ADDONS

SERVER_WITH_PROBE = {
    "modules": ("auth_integration", "access_probe"),
    "extra_addons": (TEST_ADDONS,),
}


class Rejected(Exception):
    """The call was rejected with an AccessError."""


@dataclass
class LimitedKey:
    """The key of a new integration.

    :ivar id: ID of the add-on's record
    """

    server: object
    code: str
    uid: int
    secret: str
    id: int
    integration: int

    def set(self, **values):
        """Change the key's access, as its owner."""
        administrator(self.server).call(
            "auth.integration.key", "set_access", [self.id], **values, reason="A test"
        )

    def call(self, way, model, method, *args, **line):
        """Call a method over one of :data:`WAYS`.

        :raise Rejected: with an AccessError
        """
        return WAYS[way](self, model, method, args, Line(self.server, **line))


def make_room_in_the_log(server):
    """All these tests call from one address, and their attempts must not share a row."""
    server.shell(
        "env['ir.config_parameter'].set_param("
        "'auth_integration.attempt_new_rows_per_minute', '100000')"
    )


def make_key(server, code, groups=(), later_groups=(), **access):
    """Make an integration with one key.

    :param groups: external IDs of groups beside those of an internal user
    :param later_groups: external IDs of groups that the user gets after the key is issued
    :param access: arguments of ``issue_key``
    """
    admin = administrator(server)
    [made] = admin.call("auth.integration", "create", [{"name": code, "code": code}])
    [user] = server.sql("SELECT user_id AS id FROM auth_integration WHERE id = %s", [made])
    add_groups(server, user["id"], groups)
    secret = admin.call("auth.integration", "issue_key", [made], **access)["key"]
    add_groups(server, user["id"], later_groups)
    [key] = server.sql("SELECT id FROM auth_integration_key WHERE prefix = %s", [secret[:8]])
    return LimitedKey(server, code, user["id"], secret, key["id"], made)


def add_groups(server, uid, names):
    if names:
        server.shell(
            "env['res.users'].browse(uid).group_ids += env['res.groups'].union("
            "*(env.ref(name) for name in names))",
            uid=uid, names=list(names),
        )


def _xmlrpc(key, model, method, args, line, version=2, service="execute_kw"):
    params = [key.server.db, key.uid, key.secret, model, method]
    params += [args, {}] if service == "execute_kw" else args
    try:
        return Xmlrpc(key.server, key.uid, key.secret, line, version).service(
            "object", service, params
        )
    except xmlrpc.client.Fault as fault:
        if fault.faultCode == 4 or "AccessError" in str(fault.faultCode):
            raise Rejected(fault.faultString or fault.faultCode) from None
        raise


def _jsonrpc(key, model, method, args, line):
    try:
        return Jsonrpc(key.server, key.uid, key.secret, line).call(model, method, *args)
    except RuntimeError as error:
        name, _colon, text = str(error).partition(": ")
        if name == "odoo.exceptions.AccessError":
            raise Rejected(text) from None
        raise


def _json2(key, model, method, args, line):
    try:
        return Json2(key.server, key.secret, line).call(model, method)
    except RuntimeError as error:
        status, _space, answer = str(error).partition(" ")
        if status == "403":
            raise Rejected(answer) from None
        raise


WAYS = {
    "xmlrpc": _xmlrpc,
    "xmlrpc1": lambda *call: _xmlrpc(*call, version=1, service="execute"),
    "jsonrpc": _jsonrpc,
    "json2": _json2,
}
CHANNEL_OF_WAY = {"xmlrpc": "xmlrpc", "xmlrpc1": "xmlrpc", "jsonrpc": "jsonrpc", "json2": "json2"}


def get(server, path, headers=(), **line):
    """Send a GET and return status and text."""
    status, _headers, body = Line(server, **line).request("GET", path, None, headers)
    return status, body.decode(errors="replace")


def rejected(server, key):
    """Return how often operations of a key were rejected, by channel and operation."""
    rows = server.sql(
        "SELECT channel, operation, sum(count)::integer AS count FROM auth_attempt"
        " WHERE key_id = %s AND cause = 'operation_not_allowed' AND outcome = 'failure'"
        "   AND user_id = %s AND integration_id = %s AND attribution = 'key' AND login = %s"
        " GROUP BY channel, operation",
        [key.id, key.uid, key.integration, key.code],
    )
    return {(row["channel"], row["operation"]): row["count"] for row in rows}


def error_of(answer):
    return json.loads(answer)["message"]
