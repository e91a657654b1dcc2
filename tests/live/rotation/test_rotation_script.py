"""``static/rotate.py`` on the integrator's host: run as a program, against a real server."""

import ast
import base64
import json
import os
import secrets
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from callers.clients import Json2, Refused
from dev.common import ROOT

SCRIPT = ROOT / "static/rotate.py"
SEED = base64.b32encode(secrets.token_bytes(20)).decode()


def oldest_python():
    """Python 3.8 if there is one, else this one."""
    found = shutil.which("python3.8")
    if found and subprocess.run([found, "-c", ""], capture_output=True).returncode == 0:
        return found
    return sys.executable


@pytest.fixture(scope="module")
def server(live_server, environment):
    return live_server("main", workers=2)


class Host:
    """The integrator's host: a key in a file, and the script as run by cron."""

    def __init__(self, server, folder, name):
        self.server, self.file = server, folder / "odoo.key"
        self.pending = folder / "odoo.key.new"
        made = server.shell(
            """
            policy = env["auth.integration.policy"].create(
                {"name": login, "delivery": "self_service"})
            integration = env["auth.integration"].create({
                "name": login, "code": login, "policy_id": policy.id,
                "owner_ids": [(4, env.ref("base.user_admin").id)]})
            result = {"id": integration.id, "key": integration.issue_key()["key"]}
            """,
            login=name,
        )
        self.id, self.first = made["id"], made["key"]
        self.write(self.first)
        self.call(self.first)

    def write(self, key, path=None):
        path = path or self.file
        path.write_text(key + "\n")
        path.chmod(0o600)

    def key(self):
        return self.file.read_text().strip()

    def call(self, key, method="whoami"):
        return Json2(self.server, key).call("auth.integration.key", method)

    def make_due(self, known=True):
        self.server.sql(
            """
            WITH ends AS (
                UPDATE auth_integration_key SET
                    replace_by = now() AT TIME ZONE 'UTC' + interval '20 days',
                    expires_at = now() AT TIME ZONE 'UTC' + interval '20 days'
                WHERE integration_id = %s
                RETURNING apikey_id, expires_at)
            UPDATE res_users_apikeys n SET expiration_date = ends.expires_at
            FROM ends WHERE n.id = ends.apikey_id
            """,
            [self.id],
        )
        if known:
            self.server.sql(
                "UPDATE auth_integration_key_address a"
                " SET first_seen = first_seen - interval '30 days'"
                " FROM auth_integration_key k WHERE k.id = a.key_id AND k.integration_id = %s",
                [self.id],
            )

    def run(self, *arguments, url=None, expect=0, env=None, files=True):
        options = ["--key-file", self.file] if files else []
        done = subprocess.run(
            [oldest_python(), SCRIPT, "--url", url or self.server.url, *options, *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            env={"PATH": os.environ["PATH"], **(env or {})},
        )
        assert done.returncode == expect, done.stderr
        assert not done.stdout
        for key in (self.first, self.key()):
            assert key not in done.stderr
        return done.stderr

    def live_keys(self):
        rows = self.server.shell(
            """
            keys = env["auth.integration.key"].search([
                ("integration_id", "=", id_), ("is_live", "=", True)])
            result = {key.prefix: key.state for key in keys}
            """,
            id_=self.id,
        )
        return rows


def test_grammar_of_python_3_8():
    """Also checks the syntax where no Python 3.8 is installed."""
    ast.parse(SCRIPT.read_text(), feature_version=(3, 8))


@pytest.fixture
def host(server, tmp_path, request):
    return Host(server, tmp_path, request.node.name)


def test_not_due(host):
    """The daily run for a key that is not due changes nothing."""
    before = host.file.stat()
    assert "not due" in host.run()
    after = host.file.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert len(host.live_keys()) == 1


def test_rotates_when_due(host):
    host.make_due()
    assert "rotated" in host.run()
    assert host.key() != host.first
    assert host.file.read_text() == host.key()  # systems read the file as it is
    assert host.file.stat().st_mode & 0o777 == 0o600
    assert not host.pending.exists()
    assert host.call(host.key())["state"] == "active"
    assert host.call(host.first)["state"] == "retiring"
    assert "not due" in host.run()


def test_personal_key(host):
    """It never becomes due: a successful daily run would hide that it expires."""
    host.write(
        host.server.shell(
            """
            result = env["res.users.apikeys"].with_user(2).sudo()._generate(
                None, "personal", "2099-01-01")
            """
        )
    )
    assert "no rotation date" in host.run(expect=2)


def test_refused_key(host):
    """The exit code makes cron send a mail, and the output does not contain the key."""
    host.write("0" * 40)
    assert "rejects the current key" in host.run(expect=2)


def test_replaced_elsewhere(host):
    """Two hosts share a key and the other one was first: the script says so while the key works."""
    host.make_due()
    new = host.call(host.first, "rotate")["key"]
    host.call(new)
    assert "elsewhere" in host.run(expect=2)
    assert host.key() == host.first


def test_odoo_says_no(host):
    """From an address that is not known as the integration's, nothing changes."""
    host.make_due(known=False)
    said = host.run(expect=1)
    assert "not known" in said
    assert "--totp-file" in said
    assert host.key() == host.first
    assert len(host.live_keys()) == 1


def test_second_factor(host, tmp_path):
    """It works from anywhere, with a code equal to that of pyotp."""
    host.make_due(known=False)
    host.server.shell(
        """
        import pyotp, time
        integration = env["auth.integration"].browse(id_)
        integration._set_totp_seed(seed, pyotp.TOTP(seed).at(time.time() - 30))
        """,
        id_=host.id,
        seed=SEED,
    )
    host.write(SEED, tmp_path / "seed")
    assert "rotated" in host.run("--totp-file", str(tmp_path / "seed"))
    assert host.call(host.first)["state"] == "retiring"


def test_odoo_not_reached(host):
    host.make_due()
    assert "not reached" in host.run(url="http://localhost:9", expect=1)
    assert host.key() == host.first


def test_never_in_the_clear(host):
    host.run(url="http://odoo.example.com", expect=2)


def test_never_sent_elsewhere(host):
    """The key is not sent to the target of a redirect, such as that of a moved server."""
    host.make_due()
    followed = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.send_response(302)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def do_GET(self):
            followed.append(self.headers["Authorization"])
            self.send_error(404)

        def log_message(self, *args):
            pass

    with HTTPServer(("localhost", 0), Handler) as moved:
        threading.Thread(target=moved.serve_forever, daemon=True).start()
        told = host.run(url=f"http://localhost:{moved.server_address[1]}", expect=1)
        moved.shutdown()
    assert "302" in told and not followed
    assert host.key() == host.first


def test_killed_between_fetching_and_verifying(host):
    """The new key waits beside the file; the next run installs it, and fetches no other."""
    host.make_due()
    new = host.call(host.first, "rotate")["key"]
    host.write(new, host.pending)
    assert "rotated" in host.run()
    assert host.key() == new
    assert not host.pending.exists()


def test_killed_after_the_key_was_in_place(host):
    host.make_due()
    new = host.call(host.first, "rotate")["key"]
    host.write(new)
    host.write(new, host.pending)
    host.run()
    assert host.key() == new and not host.pending.exists()


def test_waiting_key_that_has_ended(host):
    """An owner has ended it meanwhile, so the run fetches another key."""
    host.make_due()
    new = host.call(host.first, "rotate")["key"]
    host.write(new, host.pending)
    host.server.shell(
        "env['auth.integration.key'].search([('prefix', '=', prefix)]).revoke('lost')",
        prefix=new[:8],
    )
    host.run()
    assert host.key() not in (host.first, new)


def test_file_that_cannot_be_written(host):
    """The old key stays; the new one is kept and installed by the next run."""
    if os.geteuid() == 0:
        # Root can write anywhere, so delete the folder instead.
        target = host.file.parent / "sub" / "odoo.key"
        target.parent.mkdir()
        host.write(host.first, target)
        host.make_due()
        arguments = ("--key-file", str(target), "--pending-file", str(host.pending))
        new = host.call(host.first, "rotate")["key"]
        host.write(new, host.pending)
        shutil.rmtree(target.parent)
        host.run(*arguments, files=False, expect=1)
        target.parent.mkdir()
        host.write(host.first, target)
        host.run(*arguments, files=False)
        assert target.read_text().strip() == new
        return
    host.make_due()
    host.file.parent.chmod(0o500)
    try:
        host.run("--pending-file", "/dev/shm/pending-of-test", expect=1)
    finally:
        host.file.parent.chmod(0o700)
    assert host.key() == host.first


def test_command(host, tmp_path):
    """A vault instead of a file; a command that failed gets the same key again."""
    host.make_due()
    arguments = ("--pending-file", str(host.pending), "--command")
    env = {"ODOO_API_KEY": host.first}
    assert "is kept" in host.run(*arguments, "false", files=False, expect=1, env=env)
    waiting = host.pending.read_text()
    host.run(*arguments, f"cat > {tmp_path}/vault", files=False, env=env)
    assert (tmp_path / "vault").read_text() == waiting == waiting.strip()
    assert not host.pending.exists()
    assert host.call(waiting.strip())["state"] == "active"


def test_lost_answer(host):
    """The connection breaks after Odoo has made the key: the run fetches a sibling."""
    host.make_due()
    with Breaking(host.server, times=1) as proxy:
        assert "rotated" in host.run(url=f"http://localhost:{proxy.port}")
    assert sorted(host.live_keys().values()) == ["active", "retiring"]
    with pytest.raises(Refused):
        host.call(proxy.lost[0])


class Breaking:
    """A proxy that forwards calls and drops the first answers to ``rotate``."""

    def __init__(self, server, times):
        self.lost = []
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                key = self.headers["Authorization"].split()[1]
                method = self.path.rsplit("/", 1)[1]
                answer = Json2(server, key).call(
                    "auth.integration.key", method, **json.loads(body)
                )
                if method == "rotate" and len(proxy.lost) < times:
                    proxy.lost.append(answer["key"])
                    self.connection.close()
                    return
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps(answer).encode())

            def log_message(self, *args):
                pass

        self._server = HTTPServer(("localhost", 0), Handler)
        self.port = self._server.server_address[1]

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exc_info):
        self._server.shutdown()
        self._server.server_close()
