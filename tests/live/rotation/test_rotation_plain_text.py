"""No key, signing secret or seed is stored in plain text during a rotation, with any delivery."""

import base64
import json
import secrets
from pathlib import Path

import pyotp
import pytest

from callers.clients import Refused, Session, administrator
from callers.rotating_system import CHANNELS, HOME, System
from dev.servers import templates
from evidence.secret_search import encodings, found


@pytest.fixture(scope="module")
def server(sending_server):
    return sending_server(workers=2)


class Life:
    """An integration's rotation, and every secret that it has had."""

    def __init__(self, server, delivery):
        self.server = server
        self.system = System(server, delivery, known=True)
        self.secrets = [self.system.key]
        self.session = Session(server, "admin", "admin")

    def add(self, secret):
        """Search for one more secret from now on."""
        self.secrets.append(secret)
        return secret

    def nowhere(self, step):
        assert found(self.server, self.secrets) == set(), step

    def schedule(self):
        self.server.sql("UPDATE auth_integration_rotation SET next_try_at = NULL")
        cron = self.server.shell("result = env.ref('auth_integration.ir_cron_rotation').id")
        administrator(self.server).call("ir.cron", "method_direct_trigger", [cron])

    def dialogue(self, model, button, **values):
        """Click a button of a dialog in a web session; return the secret that it shows."""
        [wizard] = self.session.call(model, "create", [values])
        shown = self.session.call_checked(model, button, [wizard])
        return self.add(shown["context"]["default_key"])

    def enrol(self):
        """Set up the second factor, as a user does who reads the seed in the dialog.

        The dialog was open too long: the identity check is repeated, and the code is entered again.
        """
        model = "auth.integration.second.factor"
        opened = self.session.call_checked(
            "auth.integration", "action_set_up_totp", [self.system.id]
        )
        [shown] = self.session.call(model, "read", [opened["res_id"]], ["seed", "url", "qr_code"])
        self.system.seed = self.add(shown["seed"])
        self.nowhere("seed shown")
        self.session = Session(self.server, "admin", "admin")
        late = self.turn_on(opened)
        assert (late["res_model"], late["res_id"]) == (model, opened["res_id"])
        assert self.turn_on(late) == {"type": "ir.actions.act_window_close"}
        self.server.sql("UPDATE auth_integration SET totp_last_step = 0")

    def turn_on(self, opened):
        """Enter a code as the web client does; no row that a dialog leaves may contain it."""
        model, code = opened["res_model"], self.system.totp()
        self.session.call(model, "web_save", [opened["res_id"]], {"code": code}, {"code": {}})
        answer = self.session.call_checked(
            model, "action_confirm", [opened["res_id"]], context={"code": code}
        )
        for table in (model.replace(".", "_"), "res_users_identitycheck"):
            rows = self.server.sql(f"SELECT to_jsonb(t) - '{{create_date,write_date}}'::text[]"
                                   f" AS row FROM {table} t")
            assert code not in str(rows), table
        return answer

    def rotation(self):
        [row] = self.server.shell(
            """
            result = env["auth.integration.rotation"].search([
                ("integration_id", "=", id_)]).read(["state", "last_error"])
            """,
            id_=self.system.id,
        )
        return row

    def use(self, key, refused=False):
        for channel in CHANNELS:
            if refused:
                with pytest.raises(Refused):
                    self.system.call(channel, "whoami", key)
            else:
                self.system.call(channel, "whoami", key)

    def end(self, key):
        """After the overlap, the old key is used once more, which is reported."""
        self.use(key)
        self.nowhere("in use")
        self.server.sql(
            "UPDATE auth_integration_key SET retire_at = localtimestamp WHERE retire_at > now()"
        )
        self.schedule()
        assert self.rotation()["state"] == "done"
        self.use(self.system.key, refused=True)
        self.schedule()
        self.nowhere("the old key ended, and was presented again")


def test_fetched_by_the_integration(server):
    """With a second factor that was set up in the browser; one answer is lost."""
    life = Life(server, "self_service")
    life.nowhere("issued")
    life.enrol()
    life.nowhere("second factor set up")
    life.schedule()
    life.nowhere("due")
    lost = life.add(life.system.rotate("xmlrpc", totp=life.system.totp())["key"])
    life.nowhere("fetched")
    with pytest.raises(RuntimeError, match="wrong"):
        life.system.rotate("jsonrpc", totp="000000")
    life.nowhere("a wrong code")
    new = life.add(life.system.rotate("json2", source=HOME)["key"])
    life.nowhere("a sibling fetched")
    life.use(new)
    life.use(lost, refused=True)
    life.end(new)


def test_claimed_by_an_owner(server):
    """In the browser, after the password was entered again."""
    life = Life(server, "claim")
    life.schedule()
    life.nowhere("due, owners asked and written to")
    claim = {"rotation_id": life.rotation()["id"]}
    new = life.dialogue("auth.integration.claim", "action_claim", **claim)
    life.nowhere("claimed")
    life.end(new)


def test_sent_to_an_endpoint(server, endpoint):
    """The endpoint refuses, hangs up, fails and then accepts the key; its answers repeat it."""
    life = Life(server, "webhook")
    server.shell(
        "env['auth.integration'].browse(id_).webhook_url = url",
        id_=life.system.id,
        url=endpoint.url,
    )
    signing = life.dialogue(
        "auth.integration.signing.secret", "action_make", integration_id=life.system.id
    )
    life.add(signing.removeprefix("whsec_"))
    life.nowhere("signing secret made")
    answers = {400: "due", None: "delivering", 503: "delivering", 200: "delivered"}
    for answer, state in answers.items():
        endpoint.answer = answer
        life.schedule()
        assert life.rotation()["state"] == state, life.rotation()
        life.add(endpoint.keys[-1])
        life.nowhere(f"the endpoint answered {answer}")
    assert len(set(endpoint.keys)) == 4
    life.end(endpoint.keys[-1])


# The search finds planted secrets, so that finding none is significant --------------------------


@pytest.fixture
def key():
    return secrets.token_hex(20)


def signing_secret():
    return "whsec_" + base64.b64encode(b"\xff\xfe/+" + secrets.token_bytes(28)).decode()


@pytest.mark.parametrize("make", [signing_secret, pyotp.random_base32, secrets.token_hex])
def test_search_finds_every_form(server, make):
    """It finds a secret in a table, in whichever form it is written there."""
    secret = make()
    within = base64.b64encode(json.dumps({"the key": secret}).encode()).decode()
    forms = [form.decode() for form in encodings(secret)]
    for form in [*forms, within, within[1:], f"<p>{secret}</p>"]:
        server.sql("INSERT INTO mail_message (body, message_type) VALUES (%s, 'email')", [form])
        assert {place for place, _ in found(server, [secret])} == {"table mail_message"}, form
        server.sql("DELETE FROM mail_message WHERE body = %s", [form])


def test_search_finds_every_place(server, key):
    """It finds one in the mail queue, the filestore, a session and the server log."""
    server.sql("INSERT INTO mail_mail (body_html, mail_message_id) SELECT %s, max(id)"
               " FROM mail_message", [f"<b>{key}</b>"])
    data = Path(templates.data_dir())
    files = data / "filestore" / server.db / "00" / "planted", data / "sessions" / "00" / "planted"
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"x{key}")
    with open(server.log_path, "ab") as log:
        log.write(key.encode() + b"\n")
    places = {place for place, _ in found(server, [key])}
    for file in files:
        file.unlink()
    assert places == {"table mail_mail", *map(str, files), "server log"}
