"""External systems that call without a pause and only retry broken connections."""

import http.client
import json
import threading
import time
import xmlrpc.client

from callers.clients import Authenticate, Json2, Jsonrpc, Refused, Xmlrpc

BROKEN = (OSError, http.client.HTTPException, xmlrpc.client.ProtocolError)


class Traffic:
    """Clients of one integration on every protocol, which make one call after the other.

    :param pause: seconds between two calls of a client
    """

    def __init__(self, server, integration, key, pause=0):
        self.server, self.integration, self.key = server, integration, key
        self.pause = pause
        self.calls = dict.fromkeys(("xmlrpc", "jsonrpc", "json2", "authenticate"), 0)
        self.refusals, self.errors = [], []
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(way,), daemon=True) for way in self.calls
        ]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc_info):
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def client(self, way, key):
        uid, login = self.integration["uid"], self.integration["code"]
        return {
            "xmlrpc": lambda: Xmlrpc(self.server, uid, key),
            "jsonrpc": lambda: Jsonrpc(self.server, uid, key),
            "json2": lambda: Json2(self.server, key),
            "authenticate": lambda: Authenticate(self.server, login, key),
        }[way]()

    def call(self, way, key, model="res.users", method="context_get"):
        """Call, again if the connection breaks.

        :raise Refused: the credentials were not accepted
        """
        while True:
            try:
                return self.client(way, key).call(model, method)
            except (*BROKEN, json.JSONDecodeError):
                if self._stop.is_set():
                    return None
                time.sleep(0.05)  # the server is being started: until it answers or the test ends

    def _run(self, way):
        while not self._stop.is_set():
            key = self.key
            try:
                self.call(way, key)
                self.calls[way] += 1
            except Refused as refused:
                self.refusals.append((way, key[:8], time.time(), str(refused)))
            except Exception as error:
                self.errors.append((way, repr(error)))
            self._stop.wait(self.pause)

    def wait_for_calls(self, count=2):
        """Wait until every client has made this many more calls."""
        before = dict(self.calls)
        deadline = time.monotonic() + 60
        while any(self.calls[way] < before[way] + count for way in before):
            assert time.monotonic() < deadline, "no traffic"
            time.sleep(0.02)

    def switch_to(self, key):
        """Verify the new key with a call before using it, as a careful client does."""
        self.call("json2", key)
        self.key = key
