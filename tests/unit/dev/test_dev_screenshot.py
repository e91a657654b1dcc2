"""What ``make screenshot`` says if there is nothing to take a picture of."""

import http.server
import threading
from contextlib import contextmanager

import pytest

from dev import screenshot
from dev.common import free_port


@contextmanager
def serving(status, body):
    """Run a server that is not Odoo, and yield its URL."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def complaint(monkeypatch, url):
    """Return the message with which the command exits, without a browser."""
    arguments = ["screenshot.py", "--url", url, "--login", "admin", "--out", "/nonexistent/x.png"]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(SystemExit) as ended:
        screenshot.main()
    return ended.value.code


def test_nothing_listens(monkeypatch):
    url = f"http://127.0.0.1:{free_port()}"
    text = complaint(monkeypatch, url)
    assert text.startswith(f"error: nothing answers at {url} (")
    assert "--url" in text
    assert "\n" not in text


@pytest.mark.parametrize("url", ["nowhere", "http://[::1", "http://127.0.0.1:port"])
def test_no_url(monkeypatch, url):
    text = complaint(monkeypatch, url)
    assert text.startswith(f"error: nothing answers at {url} (")


@pytest.mark.parametrize("answer", [(404, b"not found"), (200, b'{"result": []}'), (200, b"1")])
def test_no_odoo(monkeypatch, answer):
    """The server responds, but has no database to log in to."""
    with serving(*answer) as url:
        text = complaint(monkeypatch, url)
    assert text.startswith(f"error: cannot log in at {url} as admin: ")
    assert "\n" not in text
