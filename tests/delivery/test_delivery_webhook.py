import http.server
import json
import os
import ssl
import tempfile
import threading
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from unittest.mock import patch

from cryptography import x509
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from odoo import fields
from odoo.exceptions import AccessError, UserError, ValidationError
from odoo.tests import tagged
from odoo.tools import mute_logger

from ...models.rotation import auth_integration_rotation_delivery as rotation_send
from ...tools.delivery import https_client, signatures
from ...tools.delivery.secret_box import ENVIRONMENT_VARIABLE
from ...tools.settings import WEBHOOK_NETWORKS
from ..rotation.common import RUN_LOGGER, RotationCommon

SEND_LOGGER = rotation_send.__name__
SECRET_KEY = Fernet.generate_key().decode()


class Endpoint:
    """An HTTPS endpoint that stores its requests and answers as configured."""

    def __init__(self, folder):
        self.got, self.status, self.act = [], 200, None
        certificate = make_certificate(Path(folder))
        endpoint = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                endpoint.got.append((dict(self.headers), body))
                if endpoint.act:
                    endpoint.act(self)
                    return
                self.send_response(endpoint.status)
                if 300 <= endpoint.status < 400:
                    self.send_header("Location", f"https://localhost:{endpoint.port}/elsewhere")
                self.end_headers()
                self.wfile.write(body.encode())  # repeats the key, which must not be stored

            do_GET = do_POST

            def log_message(self, *args):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self.url = f"https://localhost:{self.port}/hook"
        self.certificate = str(certificate)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def keys(self):
        return [json.loads(body)["data"]["key"] for _headers, body in self.got]


def make_certificate(folder):
    """Write a self-signed certificate for localhost and its key into one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name)
        .public_key(key.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "localhost.pem"
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


class WebhookCommon(RotationCommon):
    """An integration with an endpoint that accepts new keys."""

    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.endpoint = Endpoint(folder.name)
        self.addCleanup(self.endpoint.close)
        environment = {ENVIRONMENT_VARIABLE: SECRET_KEY, "SSL_CERT_FILE": self.endpoint.certificate}
        self.enterContext(patch.dict(os.environ, environment))
        self.policy.delivery = "webhook"
        self.integration.webhook_url = self.endpoint.url
        self.signing_secret = signatures.new_secret()
        self.integration._set_webhook_secret(self.signing_secret)
        self.env["ir.config_parameter"].set_param(WEBHOOK_NETWORKS, "127.0.0.0/8")

    def _again(self):
        """Run the next try."""
        self._rotation().next_try_at = fields.Datetime.now() - timedelta(seconds=1)
        self._run()
        self.env.invalidate_all()

    def _new_keys(self):
        return self.keys.search([("replaces_id", "=", self.key.id)], order="id")


@tagged("post_install", "-at_install")
class TestRotationWebhook(WebhookCommon):
    def test_delivers_a_signed_message(self):
        from standardwebhooks import Webhook

        rotation = self._due()
        self.assertEqual(rotation.state, "delivered")
        (headers, body), = self.endpoint.got
        data = Webhook(self.signing_secret).verify(body, headers)["data"]
        self.assertEqual(data["replaces"], self.key.prefix)
        self.assertEqual(self._check(data["key"]), self.integration.user_id.id)
        new = self._new_keys()
        self.assertEqual((new.prefix, rotation.new_key_id), (data["key"][:8], new))
        self._run()
        self.assertEqual(len(self.endpoint.got), 1)
        self._use(new)
        self.assertEqual((rotation.state, self.key.state), ("overlap", "retiring"))

    def test_nothing_kept_of_key_or_answer(self):
        self._due()
        secret = self.endpoint.keys()[0]
        self.env.flush_all()
        for table in ("auth_integration", "auth_integration_key", "auth_integration_rotation",
                      "mail_message", "mail_mail", "auth_attempt"):
            self.env.cr.execute(
                f"SELECT count(*) FROM {table} t WHERE t::text LIKE %s", (f"%{secret}%",)
            )
            self.assertEqual(self.env.cr.fetchone(), (0,), table)

    def test_explicit_refusal_ends_the_new_key(self):
        """The owners are notified the first time; the next try sends another key."""
        for self.endpoint.status in (400, 404, 410, 429):
            with self.subTest(status=self.endpoint.status):
                self._due() if not self._rotation() else self._again()
                rotation = self._rotation()
                self.assertEqual(rotation.state, "due")
                self.assertEqual(set(self._new_keys().mapped("state")), {"revoked"})
                self.assertIn(str(self.endpoint.status), rotation.last_error)
                self.assertIsNone(self._check(self.endpoint.keys()[-1]))
        told = self.integration.message_ids.filtered("notified_partner_ids")
        self.assertEqual(len(told.filtered(lambda m: "could not be delivered" in m.body)), 1)
        self.endpoint.status = 204
        self._again()
        self.assertEqual(rotation.state, "delivered")
        self.assertFalse(rotation.last_error)

    def test_no_answer_keeps_the_new_key(self):
        """The receiver may have it: each key sent works until one of them is used."""

        def hang_up(handler):
            handler.connection.close()

        self.endpoint.act = hang_up
        rotation = self._due()
        self.assertEqual((rotation.state, self._new_keys().state), ("delivering", "pending"))
        self.assertIn("No response", rotation.last_error)
        self.endpoint.act, self.endpoint.status = None, 503
        self._again()
        self.assertEqual(rotation.state, "delivering")
        self.endpoint.status = 302
        self._again()
        first, second, third = self._new_keys()
        self.assertEqual(len(self.endpoint.got), 3, "a redirect was followed")
        self._use(second)
        self.assertEqual(
            [k.state for k in (first, second, third)], ["superseded", "active", "superseded"]
        )
        self.assertEqual((rotation.state, rotation.new_key_id), ("overlap", second))

    def test_endpoint_that_never_answers(self):
        """It may also drip its answer byte by byte; other rotations do not wait for it."""
        gone = threading.Event()
        self.addCleanup(gone.set)

        def say_nothing(handler):
            gone.wait(60)

        def drip(handler):
            with suppress(OSError):
                for _ in range(60):
                    gone.wait(0.05)
                    handler.wfile.write(b" ")
                handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")

        with patch.object(https_client, "ANSWER_TIMEOUT", 0.5):
            for self.endpoint.act in (say_nothing, drip):
                self._due() if not self._rotation() else self._again()
                rotation = self._rotation()
                self.assertEqual(rotation.state, "delivering")
                self.assertIn("No response", rotation.last_error)
        self.assertEqual(set(self._new_keys().mapped("state")), {"pending"})

    def test_no_time_to_send(self):
        """Keys that were not sent because others took too long end; the next run makes new ones."""
        with patch.object(rotation_send, "SENDING_TIME", -1):
            rotation = self._due()
        self.assertFalse(self.endpoint.got)
        self.assertEqual((rotation.state, rotation.tries), ("due", 0))
        self.assertEqual(self._new_keys().state, "revoked")
        self._run()
        self.assertEqual((rotation.state, rotation.tries), ("delivered", 1))

    def test_postponed_is_not_sent(self):
        self.endpoint.status = 500
        rotation = self._due()
        rotation.with_user(self.owner).postpone(
            fields.Datetime.now() + timedelta(days=2), "release freeze"
        )
        self._again()
        self.assertEqual(len(self.endpoint.got), 1)
        rotation.postponed_until = fields.Datetime.now() - timedelta(seconds=1)
        self._again()
        self.assertEqual(len(self.endpoint.got), 2)

    def test_tries_wait_ever_longer(self):
        self.endpoint.status = 500
        rotation = self._due()
        waits = []
        for _ in range(8):
            self._run()  # not due yet
            wait = rotation.next_try_at - fields.Datetime.now()
            # Rounded to the minute, as a second may have passed since.
            waits.append(timedelta(minutes=round(wait.total_seconds() / 60)))
            self._again()
        self.assertEqual(rotation.tries, 9)
        self.assertEqual(waits, sorted(waits))
        self.assertLess(waits[0], timedelta(minutes=6))
        self.assertLessEqual(waits[-1], timedelta(days=1))
        self.assertGreater(waits[-1], timedelta(hours=23))

    def test_sends_inside_the_window_only(self):
        """A user's request is sent at any hour, even if the schedule opened the rotation."""
        self.endpoint.status = 500
        self._due()
        with patch.object(type(self.policy), "_is_in_window", lambda *a: False):
            self._again()
            self.assertEqual(len(self.endpoint.got), 1)
            self.key.with_user(self.owner).action_rotate_now()
            self._run()
        self.assertEqual(len(self.endpoint.got), 2)

    def test_addresses_inside_are_refused(self):
        """Checked when connecting, whatever the name resolved to before; nothing is sent."""
        self.env["ir.config_parameter"].set_param(WEBHOOK_NETWORKS, "10.0.0.0/8")
        rotation = self._due()
        self.assertEqual((rotation.state, self.endpoint.got), ("due", []))
        self.assertIn("webhook_allowed_networks", rotation.last_error)
        self.assertFalse(self._new_keys().filtered("is_live"))

    def test_certificate_must_hold(self):
        with patch.dict(os.environ, {"SSL_CERT_FILE": os.devnull}):
            rotation = self._due()
        self.assertIn("certificate", rotation.last_error)
        self.assertEqual((rotation.state, self.endpoint.got), ("due", []))

    def test_only_https_without_credentials(self):
        for url in ("http://example.com/", "https://", "https://u:p@example.com/", "ftp://x/",
                    "https://example.com:port/", "https://exa mple.com/", "javascript:alert(1)"):
            with self.subTest(url=url), self.assertRaises(ValidationError):
                self.integration.webhook_url = url

    def test_obstacles_make_no_key(self):
        """The rotation shows what is not set up; nothing is made or sent."""
        cases = {
            "endpoint": lambda: self.integration.write({"webhook_url": False}),
            "signing secret": lambda: self.integration.write({"webhook_secret": False}),
            "generate_key": lambda: os.environ.pop(ENVIRONMENT_VARIABLE),
            "webhook_allowed_networks": lambda: self.env["ir.config_parameter"].set_param(
                WEBHOOK_NETWORKS, "everything"),
            "standardwebhooks": lambda: self.enterContext(
                patch.object(signatures, "Webhook", None)),
        }
        self._set_due_in(self.key, 20)
        for words, spoil in cases.items():
            with self.subTest(words), self.env.cr.savepoint() as savepoint:
                with patch.dict(os.environ):
                    spoil()
                    self._run()
                rotation = self._rotation()
                self.assertIn(words, rotation.last_error)
                self.assertEqual((rotation.state, rotation.tries), ("due", 0))
                savepoint.rollback()
                self.env.invalidate_all()
        self.assertFalse(self.endpoint.got)

    def test_error_inside_keeps_the_key_and_hides_its_text(self):
        secrets = []

        def fail(way, rotation, secret, new_key):
            secrets.append(secret)
            raise ZeroDivisionError(f"with {secret} in its text")

        with (
            patch.object(type(self.env["auth.integration.delivery.webhook"]), "_send", fail),
            self.assertLogs(SEND_LOGGER, "ERROR") as log,
        ):
            rotation = self._due()
        self.assertEqual(rotation.state, "delivering")
        self.assertIn("ZeroDivisionError", rotation.last_error)
        self.assertNotIn(secrets[0], rotation.last_error + str(log.output))

    def test_used_before_the_answer_came(self):
        """A receiver may verify its new key before it answers."""

        def use_first(handler):
            self._use(self._new_keys())
            handler.send_response(200)
            handler.end_headers()

        self.endpoint.act = use_first
        with mute_logger(RUN_LOGGER):
            rotation = self._due()
        self.assertEqual((rotation.state, self.key.state), ("overlap", "retiring"))

    def test_an_owner_may_claim_instead(self):
        self.endpoint.status = 500
        rotation = self._due()
        self._claim(rotation)
        self.assertEqual(rotation.state, "delivered")
        self._again()
        self.assertEqual(len(self.endpoint.got), 1)

    def test_copied_database_delivers_nothing(self):
        self.env["ir.config_parameter"].set_param("database.uuid", "another")
        with mute_logger(RUN_LOGGER):
            self._due()
        self.assertFalse(self.endpoint.got)

    def test_who_may_say_where_keys_go(self):
        with self.assertRaises(AccessError):
            self.integration.with_user(self.owner).webhook_url = "https://example.com/"
        self.integration.with_user(self.manager).webhook_url = "https://example.com/"
        self.integration.user_id.group_ids |= self.env.ref("base.group_erp_manager")
        with self.assertRaises(AccessError):
            self.integration.with_user(self.manager).webhook_url = "https://example.org/"
        self.integration.with_user(self.system).webhook_url = "https://example.org/"

    def test_signing_secret_is_encrypted(self):
        self.env.flush_all()
        self.env.cr.execute("SELECT i::text FROM auth_integration i")
        self.assertNotIn(self.signing_secret[6:], str(self.env.cr.fetchall()))
        for bad in ("", "short", "whsec_"):
            with self.assertRaises(UserError):
                self.integration._set_webhook_secret(bad)
        with patch.dict(os.environ, {ENVIRONMENT_VARIABLE: ""}):
            with self.assertRaisesRegex(UserError, "generate_key"):
                self.integration._set_webhook_secret(self.signing_secret)


