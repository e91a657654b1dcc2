"""From the first rejected call to the delivered message, with real SMTP, webhook and cron."""

import base64
import contextlib
import itertools
import secrets
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from standardwebhooks import Webhook as Verifier

from callers.clients import Json2, Line, Refused, Xmlrpc, administrator
from dev.common import TEST_ADDONS
from other_servers.alert_receivers import Mailbox, Webhook
from other_servers.https import allowing_this_machine

HOME, ELSEWHERE, NOWHERE = "127.0.0.2", "127.0.0.3", "127.0.0.4"
SIGNING_SECRET = "whsec_" + base64.b64encode(b"x" * 32).decode()
PROMISE = 120  # seconds
numbers = itertools.count(1)


@pytest.fixture(scope="module")
def mailbox():
    mailbox = Mailbox()
    yield mailbox
    mailbox.close()


@pytest.fixture(scope="module")
def webhook(tmp_path_factory):
    webhook = Webhook(tmp_path_factory.mktemp("webhook"))
    yield webhook
    webhook.close()


@pytest.fixture(scope="module")
def crash_file(tmp_path_factory):
    return tmp_path_factory.mktemp("crash") / "step"


@pytest.fixture(scope="module")
def server(live_server, environment, mailbox, webhook, crash_file):
    """A server with two workers and a running cron, which sends mail through a real SMTP server."""
    environment.setenv("SSL_CERT_FILE", webhook.authority)
    environment.setenv("AUTH_INTEGRATION_CRASH_FILE", str(crash_file))
    server = live_server(
        "main",
        workers=2,
        modules=("auth_integration", "auth_integration_crash"),
        extra_addons=(TEST_ADDONS,),
        config=_mailing_through(mailbox),
    )
    server.shell(
        """
        env.ref("base.user_admin").email = "admin@example.com"
        # It would give an expired key another month, and send mails of its own.
        env.ref("auth_integration.ir_cron_rotation").active = False
        """
    )
    return allowing_this_machine(server)


def _mailing_through(mailbox):
    return {
        "max_cron_threads": 1,
        "smtp_server": "127.0.0.1",
        "smtp_port": mailbox.port,
        "email_from": "odoo@example.com",
    }


@pytest.fixture
def second_server(server, live_server, mailbox):
    """Another server of the same database, whose cron also runs.

    It is stopped after the test: else it could send what a killed server of another test has to.
    """
    second = live_server(
        "second",
        database=server.db,
        workers=2,
        modules=server.modules,
        extra_addons=server.extra_addons,
        config=_mailing_through(mailbox),
    )
    yield second
    second.stop()


class System:
    """An external system with its own owner and a working integration."""

    def __init__(self, server, webhook=None, works=True):
        self.server, self.code = server, f"alerted{next(numbers)}"
        self.owner = f"{self.code}@example.com"
        made = server.shell(
            """
            owner = env["res.users"].with_context(no_reset_password=True).create({
                "name": "Owner of " + login, "login": owner, "email": owner, "tz": "UTC"})
            integration = env["auth.integration"].create({
                "name": "System " + login, "code": login, "alert_url": url,
                "owner_ids": [(6, 0, owner.ids)]})
            if url:
                integration._set_alert_secret(secret)
            result = {"id": integration.id, "uid": integration.user_id.id,
                      "key": integration.issue_key()["key"]}
            """,
            login=self.code, owner=self.owner, url=webhook and webhook.url, secret=SIGNING_SECRET,
        )
        self.id, self.uid, self.key = made["id"], made["uid"], made["key"]
        if works:
            self.work()

    def work(self, source=HOME):
        """Make a successful call and backdate it by a minute: the log's precision is seconds."""
        self.call(source=source)
        self.server.sql(
            "UPDATE auth_attempt SET first_seen = first_seen - interval '1 minute',"
            " last_seen = last_seen - interval '1 minute'"
            " WHERE integration_id = %s AND outcome = 'success'",
            [self.id],
        )

    def call(self, key=None, source=HOME):
        client = Json2(self.server, key or self.key, Line(self.server, source=source))
        return client.call("res.users", "context_get")

    def fail(self, key=None, source=HOME):
        """Make a call that is refused.

        :return: the time, and the reference in the response
        """
        now = time.time()
        with pytest.raises(Refused) as refused:
            self.call(key, source)
        return now, refused.value.headers["X-Auth-Reference"]

    def expire(self):
        self.server.sql(
            """
            WITH ends AS (
                UPDATE auth_integration_key SET expires_at = now() AT TIME ZONE 'UTC'
                    - interval '1 minute' WHERE integration_id = %s
                RETURNING apikey_id, expires_at)
            UPDATE res_users_apikeys n SET expiration_date = ends.expires_at
            FROM ends WHERE n.id = ends.apikey_id
            """,
            [self.id],
        )

    def renew(self):
        """Get a new key."""
        self.key = self.server.shell(
            "result = env['auth.integration'].browse(id_).issue_key()['key']", id_=self.id
        )

    def incidents(self):
        return self.server.sql(
            "SELECT * FROM auth_integration_incident WHERE integration_id = %s ORDER BY id",
            [self.id],
        )


def test_from_the_first_rejected_call_to_the_message(server, mailbox, webhook):
    """One mail and one webhook message arrive within two minutes, and again when it works."""
    system = System(server, webhook)
    posts = len(webhook.posts)
    system.expire()
    failed, reference = system.fail()
    [(at, mail)] = mailbox.wait_for(system.owner)
    print(f"\nfirst rejected call to mail: {at - failed:.1f} s")
    assert at - failed <= PROMISE
    assert f"System {system.code} is failing: Expired key" in mail["Subject"]
    html = mail.get_body(("html",)).get_content()
    assert reference in html and HOME in html and "What to do:" in html
    assert f"/odoo/integration-incidents/{system.incidents()[0]['id']}" in html
    for _further in range(30):
        system.fail()
    system.renew()
    works = time.time()
    system.call()
    [_, (at, mail)] = mailbox.wait_for(system.owner, count=2)
    print(f"first accepted call to mail: {at - works:.1f} s")
    assert at - works <= PROMISE
    assert "works again after" in mail["Subject"]
    assert len(system.incidents()) == 1 and system.incidents()[0]["failure_count"] == 31
    opened, recovered = (
        Verifier(SIGNING_SECRET).verify(body, headers)
        for headers, body in webhook.wait_for(posts + 2)[posts:]
    )
    assert opened["text"].startswith(f"System {system.code}: Expired key")
    assert opened["data"]["incidents"][0]["reference"] == reference
    assert "works again" in recovered["text"]
    assert len(mailbox.to(system.owner)) == 2


def test_third_wrong_key_from_where_it_calls(server, mailbox):
    """A bearer key that matches nothing identifies no integration, but the address does."""
    system = System(server)
    wrong = secrets.token_hex(20)
    for _refusal in range(3):
        system.fail(wrong, source=HOME)
    # Several systems call from there, so it is unknown whose key it was.
    alone = System(server, works=False)
    alone.work(source="127.0.0.9")
    for _refusal in range(3):
        failed, _reference = alone.fail(wrong, source="127.0.0.9")
    [(at, mail)] = mailbox.wait_for(alone.owner)
    assert at - failed <= PROMISE
    assert "Unknown key" in mail["Subject"]
    assert not system.incidents()


def test_two_servers_send_one_message(server, second_server, mailbox):
    """Both refuse calls, both have a cron that finds the incident; each change is sent once."""
    servers = server, second_server
    for each in servers:
        each.expect_log("")
    system = System(server)

    def on_both(act):
        with ThreadPoolExecutor(2) as pool:
            for running in [pool.submit(act, each) for each in servers]:
                running.result()

    def fail(each):
        for _refusal in range(5):
            with pytest.raises(Refused):
                Json2(each, system.key, Line(each, source=HOME)).call("res.users", "context_get")

    def run_job(each):
        each.shell(
            """
            from odoo.service.model import PG_CONCURRENCY_EXCEPTIONS_TO_RETRY
            try:
                env["auth.integration.incident"].run_for_test()
            except PG_CONCURRENCY_EXCEPTIONS_TO_RETRY:
                cr.rollback()  # the other one is at it
            """
        )

    system.expire()
    on_both(fail)
    mailbox.wait_for(system.owner)
    on_both(run_job)
    system.renew()
    Json2(second_server, system.key, Line(second_server, source=HOME)).call(
        "res.users", "context_get"
    )
    mailbox.wait_for(system.owner, count=2)
    on_both(run_job)
    failing, works = (mail["Subject"] for _at, mail in mailbox.to(system.owner))
    assert "is failing" in failing and "works again" in works
    [incident] = system.incidents()
    assert (incident["state"], incident["failure_count"]) == ("recovered", 10)


def test_many_that_fail_together_are_one_message(server, mailbox):
    systems = [System(server) for _system in range(5)]
    owner = systems[0].owner
    server.shell(
        """
        env["auth.integration"].browse(ids).owner_ids = env["res.users"].search(
            [("login", "=", owner)])
        """,
        ids=[system.id for system in systems], owner=owner,
    )
    for system in systems:
        system.expire()
    for system in systems:
        system.fail()
    [(_at, mail)] = mailbox.wait_for(owner)
    assert "5 incidents" in mail["Subject"]


def test_guesses_wake_the_job_once_a_minute_and_open_nothing(server, mailbox):
    """A flood of wrong secrets for a login, from an address that no integration uses."""
    system = System(server)
    server.sql("DELETE FROM ir_cron_trigger")
    client = Xmlrpc(server, None, None, Line(server, source=NOWHERE))
    started = time.time()
    for _guess in range(60):
        assert not client.service(
            "common", "authenticate", (server.db, system.code, secrets.token_hex(20), {})
        )
    minutes = (time.time() - started) // 60 + 2
    [row] = server.sql(
        """
        SELECT count(*) FROM ir_cron_trigger t JOIN ir_model_data d
            ON d.model = 'ir.cron' AND d.res_id = t.cron_id AND d.name = 'ir_cron_incidents'
        """
    )
    assert row["count"] <= 2 * minutes, "two workers, one trigger each a minute"
    server.shell("env['auth.integration.incident']._cron_incidents()")
    assert not [n for n in system.incidents() if n["kind"] == "failing"]
    assert not mailbox.to(system.owner)


def test_two_hosts_one_with_the_old_key(server, mailbox):
    """The good host's calls neither close the incident nor open another one."""
    system = System(server)
    old = system.key
    system.call(source=ELSEWHERE)
    system.expire()
    system.renew()
    for _turn in range(4):
        system.fail(old, source=HOME)
        system.call(source=ELSEWHERE)
        server.shell("env['auth.integration.incident']._cron_incidents()")
    mailbox.wait_for(system.owner)
    assert [n["state"] for n in system.incidents()] == ["open"]
    assert len(mailbox.to(system.owner)) == 1


def run_until(server, wait, tries=8):
    """Trigger the job until something has happened, and return what ``wait`` returns then.

    A cron worker that has just started may miss the wake-up and looks for due jobs each minute.
    After several kills, Odoo skips the job once and drops its trigger.
    """
    for left in reversed(range(tries)):
        with contextlib.suppress(OSError):  # the workers may just have been restarted
            server.shell("env.ref('auth_integration.ir_cron_incidents')._trigger()")
        try:
            return wait()
        except AssertionError:
            if not left:
                raise


@pytest.mark.parametrize(
    "step",
    [
        "before _detect", "after _detect", "before _write_alert", "after _write_alert",
        "after _write_mail", "before _send_one", "after _send_mail",
    ],
)
def test_killed_at_any_step(server, mailbox, crash_file, step):
    """No message is lost or stored twice; after SMTP, the same message may be sent again."""
    server.expect_log("")
    system = System(server)
    system.expire()
    crash_file.write_text(step)
    system.fail()

    def killed():
        deadline = time.monotonic() + 30  # for the step, which removes the file and is killed
        while crash_file.exists():
            assert time.monotonic() < deadline, "the step was never reached"
            time.sleep(0.1)

    run_until(server, killed)
    run_until(server, lambda: mailbox.wait_for(system.owner, timeout=40))
    with contextlib.suppress(OSError):  # the workers may just have been restarted
        server.shell("env['auth.integration.incident']._cron_incidents()")
    wait_until_sent(server, system)
    found = mailbox.to(system.owner)
    assert len({mail["Message-Id"] for _at, mail in found}) == 1
    assert len(found) == 1 or step == "after _send_mail"
    assert len(system.incidents()) == 1


def test_killed_during_smtp(server, mailbox):
    """All of Odoo is killed while the message is being sent."""
    server.expect_log("")
    system = System(server)
    system.expire()
    killed = threading.Event()

    def kill(_message):
        server.kill9()
        killed.set()

    mailbox.before_answer = kill
    system.fail()
    [(_at, first)] = mailbox.wait_for(system.owner)
    assert killed.wait(30)
    server._close_helpers()
    server.start()
    [_, (_at, second)] = run_until(
        server, lambda: mailbox.wait_for(system.owner, count=2, timeout=40)
    )
    assert first["Message-Id"] == second["Message-Id"]
    wait_until_sent(server, system)
    assert len(mailbox.to(system.owner)) == 2


def test_the_job_in_several_processes_at_once(server, mailbox):
    """Workers and the cron run it at the same time: one message is sent."""
    server.expect_log("")
    system = System(server)
    system.expire()
    system.fail()
    admin = administrator(server)
    with ThreadPoolExecutor(4) as pool:
        runs = [
            pool.submit(admin.call, "auth.integration.incident", "run_for_test")
            for _run in range(8)
        ]
        for run in runs:
            with contextlib.suppress(Exception):
                run.result()
    mailbox.wait_for(system.owner)
    wait_until_sent(server, system)
    assert len(mailbox.to(system.owner)) == 1
    assert len(system.incidents()) == 1


def test_an_smtp_server_that_refuses(server, mailbox):
    """It becomes a finding and is tried again later; the caller notices nothing."""
    system = System(server)
    system.expire()
    mailbox.refuses = True
    try:
        system.fail()
        deadline = time.monotonic() + PROMISE  # for the first try
        while not (rows := alerts_of(server, system)) or not rows[0]["tries"]:
            assert time.monotonic() < deadline
            time.sleep(0.2)
    finally:
        mailbox.refuses = False
    assert rows[0]["state"] == "pending" and rows[0]["error"]
    found = server.sql(
        "SELECT code FROM auth_integration_finding WHERE code = 'alert_undelivered'"
    )
    assert found
    server.sql("UPDATE auth_integration_alert SET next_try_at = NULL WHERE state = 'pending'")
    server.shell("env.ref('auth_integration.ir_cron_incidents')._trigger()")
    mailbox.wait_for(system.owner)


def alerts_of(server, system):
    return server.sql(
        "SELECT a.* FROM auth_integration_alert a JOIN res_users u ON u.id = a.user_id"
        " WHERE u.login = %s ORDER BY a.id",
        [system.owner],
    )


def wait_until_sent(server, system, timeout=90):
    """Wait until the scheduled job has sent it, for at most so many seconds."""
    deadline = time.monotonic() + timeout
    while not (rows := alerts_of(server, system)) or any(r["state"] != "sent" for r in rows):
        assert time.monotonic() < deadline, rows
        time.sleep(0.2)
    assert len(rows) == 1
