"""The webhook receiver of the developer guide, run as printed, accepts what Odoo has signed."""

import http.client
import json
import os
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import datetime, timedelta, timezone

import pytest

from dev.checks import guides
from dev.common import free_port
from odoo.addons.auth_integration.tools.delivery import signatures

SECRET = signatures.new_secret()
BODY = json.dumps({"type": "api_key.rotated", "data": {"key": "0123456789" * 4}})
NOW = timedelta()


@pytest.fixture
def receiver(tmp_path):
    """The URL of a running receiver, and the file of its key."""
    program, file, port = tmp_path / "receiver.py", tmp_path / "odoo.key", free_port()
    program.write_text(guides.example("webhook-receiver"))
    process = subprocess.Popen(
        [sys.executable, program],
        env=os.environ | {"SIGNING_SECRET": SECRET, "KEY_FILE": str(file), "PORT": str(port)},
        stderr=subprocess.DEVNULL,
    )
    file.write_text("the old key")
    yield f"http://127.0.0.1:{port}", file
    process.kill()
    process.wait()


def post(url, body, headers):
    """Post a message once the receiver is up, within 30 seconds; return the status."""
    request = urllib.request.Request(url, body.encode(), headers)
    deadline = time.monotonic() + 30
    while True:
        try:
            return urllib.request.urlopen(request, timeout=10).status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            if time.monotonic() > deadline:
                raise


def signed(secret=SECRET, body=BODY, age=NOW):
    moment = datetime.now(timezone.utc) - age
    return signatures.headers(secret, "rotation-1-2", moment, body)


def test_a_signed_key_replaces_the_old_one(receiver):
    url, file = receiver
    assert post(url, BODY, signed()) == 204
    assert file.read_text() == "0123456789" * 4
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_test_changes_no_key(receiver):
    url, file = receiver
    body = json.dumps({"type": "api_key.test", "data": {"integration": "web_shop"}})
    assert post(url, body, signed(body=body)) == 204
    assert file.read_text() == "the old key"


@pytest.mark.parametrize(
    "headers",
    [
        dict,
        lambda: {"webhook-id": "x", "webhook-timestamp": "soon", "webhook-signature": "v1,x"},
        lambda: signed(secret=signatures.new_secret()),
        lambda: signed(body=BODY.replace("0", "1")),
        lambda: signed(age=timedelta(hours=1)),
        lambda: {**signed(), "webhook-id": "another message"},
    ],
    ids=["none", "nonsense", "another secret", "another body", "old", "another id"],
)
def test_anything_else_is_rejected(receiver, headers):
    url, file = receiver
    assert post(url, BODY, headers()) == 401
    assert file.read_text() == "the old key"


def test_a_request_without_a_length_is_answered(receiver):
    url, file = receiver
    post(url, BODY, {})  # wait until it is up
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    connection.putrequest("POST", "/")
    connection.endheaders()
    assert connection.getresponse().status == 401
    assert file.read_text() == "the old key"
