"""Rotation under continuous traffic: no call is refused, whatever happens at any time.

Clients call without a pause over every protocol and only retry broken connections. Meanwhile the
key rotates with each delivery, from due to the end of the old key, and the server is killed at
every step.
"""

import contextlib
import itertools
import json
import sys
import threading
import xmlrpc.client

import pytest

from callers.clients import Json2, Refused, administrator
from callers.continuous_calls import BROKEN, Traffic
from dev.common import TEST_ADDONS

SERVER = {
    "workers": 2,
    "extra_addons": (TEST_ADDONS,),
    "modules": ("auth_integration", "auth_integration_crash"),
}
CODES = itertools.count(1)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory, endpoint, environment):
    """The files that the server shares with the test, and the endpoint for its keys."""
    folder = tmp_path_factory.mktemp("rotation")
    environment.setenv("AUTH_INTEGRATION_CRASH_FILE", str(folder / "crash"))
    environment.setenv("AUTH_INTEGRATION_KEY_FILE", str(folder / "keys"))
    return folder, endpoint


@pytest.fixture(scope="module")
def server(workplace, sending_server):
    """A server with two workers, and the add-on that can kill them."""
    return sending_server()


class Drive:
    """An integration and its rotation, driven from due to done despite any number of crashes."""

    def __init__(self, server, workplace, delivery, days=20, answers=()):
        self.server, (self.folder, self.endpoint), self.delivery = server, workplace, delivery
        self.endpoint.taken.clear()
        self.endpoint.answers[:] = answers
        (self.folder / "keys").write_text("")
        self.code = f"drive{next(CODES)}"
        made = server.shell(
            """
            policy = env["auth.integration.policy"].create({
                "name": login, "delivery": delivery, "overlap_days": 7})
            integration = env["auth.integration"].create({
                "name": login, "code": login, "policy_id": policy.id, "webhook_url": url,
                "owner_ids": [(4, env.ref("base.user_admin").id)]})
            integration._set_webhook_secret("whsec_" + "c2VjcmV0" * 5)
            key = integration.issue_key()
            result = {"id": integration.id, "uid": integration.user_id.id, "code": login,
                      "key": key["key"]}
            """,
            login=self.code, delivery=delivery, url=self.endpoint.url,
        )
        self.integration, self.old = made, made["key"]
        self.days = days
        self.killed = False
        # Otherwise the owner would have had today's digest already, for the previous integration.
        server.sql("DELETE FROM auth_integration_digest")

    def make_due(self):
        self.server.sql(
            """
            UPDATE auth_integration_key SET
                replace_by = now() AT TIME ZONE 'UTC' + make_interval(days => %s),
                expires_at = now() AT TIME ZONE 'UTC' + make_interval(days => %s)
            WHERE integration_id = %s""",
            [self.days, self.days, self.integration["id"]],
        )
        self.server.sql(
            "UPDATE auth_integration_key_address a SET first_seen = first_seen - interval '30 days'"
            " FROM auth_integration_key k WHERE k.id = a.key_id AND k.integration_id = %s",
            [self.integration["id"]],
        )
        self._align_native()

    def _align_native(self):
        self.server.sql(
            "UPDATE res_users_apikeys n SET expiration_date = LEAST(k.expires_at, k.retire_at)"
            " FROM auth_integration_key k WHERE k.apikey_id = n.id AND k.hash = n.key"
            " AND k.ended_at IS NULL AND k.integration_id = %s",
            [self.integration["id"]],
        )

    def rotation(self):
        """Return the only rotation of the old key, with its state; None before it is opened."""
        rows = self.server.shell(
            """
            rotations = env["auth.integration.rotation"].search([
                ("old_key_id.prefix", "=", prefix), ("cancelled_at", "=", False)])
            result = rotations.read(["state", "old_key_id", "last_error", "tries"])
            """,
            prefix=self.old[:8],
        )
        assert len(rows) <= 1, "rotated twice"
        return rows[0] if rows else None

    def state(self):
        rotation = self.rotation()
        return rotation and rotation["state"]

    def as_admin(self, model, method, *args):
        """Call as an administrator; restart the server if the call kills it."""
        try:
            return administrator(self.server).call(model, method, *args)
        except (*BROKEN, xmlrpc.client.Fault):
            self.revive()
            return None

    def crash_at(self, step):
        """Kill the workers at this step.

        With `` all``, also kill the master; with `` cut``, close the database connection instead.
        """
        (self.folder / "crash").write_text(step)
        self.killed = step.endswith(" all")

    def revive(self):
        """Restart the server if its step to die was reached; it may still be dying."""
        if self.killed and not (self.folder / "crash").exists():
            self.killed = False
            self.server.kill9()
            self.server.start()

    def run_schedule(self):
        self.server.sql("UPDATE auth_integration_rotation SET next_try_at = NULL")
        cron = self.server.sql(
            "SELECT res_id FROM ir_model_data WHERE name = 'ir_cron_rotation'"
            " AND module = 'auth_integration'"
        )[0]["res_id"]
        return self.as_admin("ir.cron", "method_direct_trigger", [cron])

    def revoke(self, secret):
        [key] = self.server.sql(
            "SELECT id FROM auth_integration_key WHERE prefix = %s", [secret[:8]]
        )
        return self.as_admin("auth.integration.key", "revoke", [key["id"]], "leaked")

    def fetch(self):
        """Return the new key as the integration gets it; None if the answer was lost."""
        if self.delivery == "claim":
            rotation = self.rotation()
            return rotation and self.as_admin(
                "auth.integration.rotation", "claim_for_test", rotation["id"]
            )
        if self.delivery == "self_service":
            try:
                client = Json2(self.server, self.old)
                return client.call("auth.integration.key", "rotate")["key"]
            except (*BROKEN, json.JSONDecodeError):
                self.revive()
                return None
            except RuntimeError as error:  # the connection was cut, so the answer is lost
                assert "InterfaceError" in str(error), error
                return None
        if self.delivery == "webhook":
            return self.endpoint.taken[-1] if self.endpoint.taken else None
        keys = (self.folder / "keys").read_text().split()
        return keys[-1] if keys else None

    def pass_overlap(self):
        """Move the end of the overlap to now, in the database."""
        self.server.sql(
            "UPDATE auth_integration_key SET retire_at = now() AT TIME ZONE 'UTC'"
            " WHERE prefix = %s",
            [self.old[:8]],
        )
        self._align_native()

    def to_overlap(self, traffic):
        """Run the schedule and fetch repeatedly until the new key is in use."""
        for _turn in range(12):
            self.run_schedule()
            if self.state() in ("overlap", "done"):
                return
            if key := self.fetch():
                with contextlib.suppress(Refused):
                    self._switch(traffic, key)
            self.revive()
        raise AssertionError(f"stuck: {self.rotation()}")

    def _switch(self, traffic, key):
        switching = threading.Thread(target=traffic.switch_to, args=(key,), daemon=True)
        switching.start()
        while switching.is_alive():  # until a call with the new key succeeds
            switching.join(0.1)
            self.revive()

    def finish(self, traffic):
        """Let the overlap pass and the old key end."""
        assert traffic.key != self.old
        traffic.wait_for_calls()
        self.pass_overlap()
        traffic.wait_for_calls()
        self.run_schedule()
        self.run_schedule()
        traffic.wait_for_calls()

    def check_end(self, traffic):
        """The rotation is done, the old key refused, the new one works; nothing is left over."""
        assert self.state() == "done", self.rotation()
        with pytest.raises(Refused):
            traffic.call("json2", self.old)
        keys = self.server.sql(
            "SELECT k.prefix, k.ended_at, n.id FROM auth_integration_key k"
            " LEFT JOIN res_users_apikeys n ON n.id = k.apikey_id AND n.key = k.hash"
            " WHERE k.integration_id = %s",
            [self.integration["id"]],
        )
        live = [k["prefix"] for k in keys if k["ended_at"] is None]
        assert live == [traffic.key[:8]], (live, keys)
        orphans = self.server.sql(
            "SELECT n.index FROM res_users_apikeys n WHERE n.user_id = %s AND (n.expiration_date"
            " IS NULL OR n.expiration_date > now() AT TIME ZONE 'UTC')",
            [self.integration["uid"]],
        )
        assert [row["index"] for row in orphans] == live


def drive(server, workplace, delivery, crash=None, **options):
    """Run a whole rotation under traffic, with a crash at one step if given."""
    if crash:
        server.expect_log(".*")  # killed transactions log errors
    driving = Drive(server, workplace, delivery, **options)
    # A server that restarts should not share the machine with clients at full speed.
    pause = 0.03 if crash else 0
    with Traffic(server, driving.integration, driving.old, pause) as traffic:
        traffic.wait_for_calls()
        driving.make_due()
        crash_file = driving.folder / "crash"
        if crash:
            driving.crash_at(crash)
        driving.to_overlap(traffic)
        driving.finish(traffic)
        driving.check_end(traffic)
        reached = not crash_file.exists()
        crash_file.unlink(missing_ok=True)
    assert not traffic.refusals, traffic.refusals
    assert not traffic.errors, traffic.errors[:5]
    assert reached, f"{crash} was never reached"
    print(f"{delivery} {crash or ''}: {traffic.calls}", file=sys.stderr)
    return driving, traffic


@pytest.mark.parametrize("delivery", ["claim", "self_service", "webhook", "file"])
def test_no_refusal_while_the_key_rotates(server, workplace, delivery):
    """Continuous traffic on each protocol, from the first notice to the end of the old key.

    ``file`` is the delivery of another add-on, which is one small class.
    """
    drive(server, workplace, delivery)


STEPS = {
    "claim": [
        "before _reconcile_apart",
        "before _open_batch",
        "after _open_batch",
        "after _ask_owners",
        "after _send_digest",
        "after _record_generated",
        "after _make_new_key all",
        "after claim_for_test",
        "before _confirm_first_use",
        "after _confirm",
        "after _retire",
        "after _confirm_first_use",
        "after _announce",
    ],
    "self_service": ["after _lock_for_delivery", "after _make_new_key", "after rotate all"],
    "webhook": [
        "after _generate_all",
        "after _make_new_keys",
        "before _commit",
        "after _commit",
        "before _send",
        "after _send all",
        "before _note_arrival",
        "after _note_arrival",
    ],
}


@pytest.mark.parametrize(
    "delivery, step", [(delivery, step) for delivery, steps in STEPS.items() for step in steps]
)
def test_kill_9_at_each_step(server, workplace, delivery, step):
    """The next run continues: no second key, no refusal, and nothing to clean up by hand."""
    drive(server, workplace, delivery, crash=step)


def test_key_works_when_the_endpoint_gets_it(server, workplace):
    """The key is committed before it is sent: the receiver may verify it before it answers."""
    driving, states = Drive(server, workplace, "webhook"), []

    def verify(key):
        states.append(Json2(server, key).call("auth.integration.key", "whoami")["state"])

    driving.make_due()
    driving.endpoint.verify = verify
    try:
        driving.run_schedule()
    finally:
        driving.endpoint.verify = None
    assert states == ["active"]
    assert driving.state() == "overlap"


@pytest.mark.parametrize(
    "answer, step",
    [
        (410, "before _reject"),
        (410, "after _reject"),
        (503, "after _note_failure"),
        (None, "before _note_failure"),
    ],
)
def test_kill_9_where_the_endpoint_did_not_take_the_key(server, workplace, answer, step):
    """It refuses, fails or hangs up at first; a key that it refused is never used."""
    drive(server, workplace, "webhook", crash=step, answers=[answer])


@pytest.mark.parametrize("step", ["before _take_back_overlap", "after _take_back_overlap"])
def test_kill_9_while_the_old_key_is_given_back(server, workplace, step):
    """The new key has leaked in its overlap and is revoked, so the old one is needed again.

    Both happen or neither; repeated, it succeeds.
    """
    server.expect_log(".*")
    driving = Drive(server, workplace, "claim")
    with Traffic(server, driving.integration, driving.old, pause=0.03) as traffic:
        traffic.wait_for_calls()
        driving.make_due()
        driving.to_overlap(traffic)
        leaked, traffic.key = traffic.key, driving.old
        traffic.wait_for_calls()
        driving.crash_at(step)
        driving.revoke(leaked)
        driving.revive()
        assert not (driving.folder / "crash").exists()
        assert driving.state() == "overlap"
        driving.revoke(leaked)
        assert driving.state() == "due"
        driving.to_overlap(traffic)
        driving.finish(traffic)
        driving.check_end(traffic)
    assert not traffic.refusals, traffic.refusals


@pytest.mark.parametrize(
    "delivery, step",
    [
        ("claim", "after _make_new_key"),
        ("claim", "after _retire"),
        ("claim", "after _send_digest"),
        ("self_service", "after _make_new_key"),
        ("webhook", "after _make_new_keys"),
        ("webhook", "before _note_arrival"),
    ],
)
def test_database_connection_cut(server, workplace, delivery, step):
    """As if the server had died, but it continues."""
    drive(server, workplace, delivery, crash=f"{step} cut")
