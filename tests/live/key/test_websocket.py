"""A websocket depends on a web session, as in stock Odoo; an API key cannot open one."""

import contextlib
import json
import time
import urllib.error
import urllib.request

import pytest
import websocket
from odoo.addons.bus.websocket import WebsocketConnectionHandler

from callers.clients import Session, administrator

PASSWORD = "correct horse battery"
SESSION_EXPIRED = 4001  # the code with which Odoo closes a websocket


@pytest.fixture(scope="module", params=[0, 2], ids=["threaded", "workers"])
def server(live_server, request):
    server = live_server(f"websocket{request.param}", workers=request.param)
    _wait_for_evented_port(server)
    return server


def _wait_for_evented_port(server):
    """Wait until the evented server answers, at most a minute: it starts after the others."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(urllib.error.URLError):
            address = f"http://127.0.0.1:{server.websocket_port}/websocket/health"
            return urllib.request.urlopen(address, timeout=10).close()
    raise TimeoutError("the evented server does not answer")


@pytest.fixture
def person(server):
    """A user with a password, and a key of another user's integration."""
    made = server.shell(
        """
        n = env["res.users"].with_context(active_test=False).search_count([])
        user = env["res.users"].create({"name": f"p{n}", "login": f"p{n}", "password": password})
        shop = env["auth.integration"].create({"name": f"s{n}", "code": f"s{n}", "owner_ids": [2]})
        result = {"uid": user.id, "login": user.login, "key": shop.issue_key()["key"],
                  "integration_user": shop.user_id.id}
        """,
        password=PASSWORD,
    )
    return made


class Socket:
    """An open websocket that has subscribed, and so has passed Odoo's check of its session."""

    def __init__(self, server, headers):
        version = WebsocketConnectionHandler._VERSION
        self._socket = websocket.create_connection(
            f"ws://127.0.0.1:{server.websocket_port}/websocket?version={version}",
            header=headers, origin=server.url, timeout=30,
        )
        [newest] = server.sql("SELECT COALESCE(max(id), 0) AS id FROM bus_bus")
        self._last = newest["id"]
        self.subscribe()

    def subscribe(self, *channels):
        data = {"channels": list(channels), "last": self._last}
        self._socket.send(json.dumps({"event_name": "subscribe", "data": data}))

    def received(self):
        """Return the types of the test's next messages, or the code of the server's close frame."""
        ours = []
        while not ours:
            code, data = self._socket.recv_data()
            if code == websocket.ABNF.OPCODE_CLOSE:
                return int.from_bytes(data[:2], "big")
            kinds = [message["message"]["type"] for message in json.loads(data)]
            ours = [kind for kind in kinds if not kind.startswith("mail.")]
        return ours


def with_session(server, login):
    session = Session(server, login, PASSWORD)
    return [f"Cookie: session_id={session.cookies['session_id']}"]


def send(server, uid, kind):
    """Send a message to a user over the bus, or to everyone if there is none."""
    server.shell(
        """
        if uid:
            env["res.users"].browse(uid)._bus_send(kind, {})
        else:
            env["bus.bus"]._sendone("broadcast", kind, {})
        """,
        uid=uid, kind=kind,
    )


END = {
    "taken over": "env['auth.integration'].create("
                  "{'name': 'T', 'code': f't{uid}', 'user_id': uid, 'owner_ids': [2]})",
    "password changed": "env['res.users'].browse(uid).password = 'another good one'",
    "archived": "env['res.users'].browse(uid).active = False",
}


@pytest.mark.parametrize("end", END)
def test_a_websocket_ends_with_its_session(server, person, end):
    """An open websocket gets no more messages, and a new one is anonymous.

    Odoo checks for changes by other processes when a websocket is opened or sends something, but
    not for each notification. This is also true for a changed password.
    """
    headers = with_session(server, person["login"])
    socket = Socket(server, headers)
    send(server, person["uid"], "before")
    assert socket.received() == ["before"]
    server.shell(END[end], uid=person["uid"])
    Socket(server, [])
    send(server, person["uid"], "after")
    assert socket.received() == SESSION_EXPIRED
    again = Socket(server, headers)
    send(server, person["uid"], "later")
    send(server, None, "for everybody")
    assert again.received() == ["for everybody"]


def test_a_key_opens_no_websocket(server, person):
    """The websocket is anonymous: it gets nothing for the key's user, whatever it subscribes to."""
    socket = Socket(server, [f"Authorization: Bearer {person['key']}"])
    [partner] = administrator(server).call(
        "res.users", "read", [person["integration_user"]], ["partner_id"]
    )
    socket.subscribe(f"res.partner_{partner['partner_id'][0]}", "res.partner")
    send(server, person["integration_user"], "for the integration")
    send(server, None, "for everybody")
    assert socket.received() == ["for everybody"]
