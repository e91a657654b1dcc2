"""A stolen key obtains others while it is revoked: none of them outlives the revocation."""

import os
import random
import threading
import xmlrpc.client
from concurrent.futures import ThreadPoolExecutor

import pytest

from callers.clients import Refused, administrator
from callers.rotating_system import CHANNELS, System
from processes import halted_at_commit, wait_for_locks

SOAK = int(os.environ.get("SOAK") or 0)
THIEVES = 3
CALLS = 8  # of each thief
REFUSALS = (Refused, RuntimeError, xmlrpc.client.Fault)
# New keys are due at once, and each code works more than once, so that no test waits.
DUE_AT_ONCE = """
    CREATE OR REPLACE FUNCTION due_at_once() RETURNS trigger LANGUAGE plpgsql
    AS 'BEGIN NEW.replace_by := now() + interval ''20 days''; RETURN NEW; END';
    CREATE OR REPLACE TRIGGER due_at_once BEFORE INSERT ON auth_integration_key
    FOR EACH ROW EXECUTE FUNCTION due_at_once();
    CREATE OR REPLACE FUNCTION any_code() RETURNS trigger LANGUAGE plpgsql
    AS 'BEGIN NEW.totp_last_step := 0; RETURN NEW; END';
    CREATE OR REPLACE TRIGGER any_code BEFORE UPDATE ON auth_integration
    FOR EACH ROW EXECUTE FUNCTION any_code()
"""


@pytest.fixture(scope="module")
def server(live_server, environment):
    """A server with two workers, and a key to encrypt secrets."""
    server = live_server("main", workers=2)
    server.sql(DUE_AT_ONCE)
    return server


@pytest.fixture(scope="module")
def admin(server):
    return administrator(server)


class Loot:
    """The keys that thieves have obtained with one stolen key, as they remember it.

    They have the seed of the second factor too, and call from an address that nobody knows.
    """

    def __init__(self, server):
        self.server = server
        self.system = System(server, enrolled=True)
        self.parents = {self.system.key: None}
        self.calls = 0
        self.changed = threading.Condition()

    def rotate(self, key, channel="json2"):
        """Obtain a key with another one; return it, or None if that was refused."""
        try:
            new = self.system.rotate(channel, key, totp=self.system.totp())["key"]
        except REFUSALS:
            new = None
        with self.changed:
            self.calls += 1
            if new:
                self.parents[new] = key
            self.changed.notify_all()
        return new

    def use(self, key, channel="json2"):
        """Return whether a call with a key is accepted."""
        try:
            return bool(self.system.call(channel, "whoami", key))
        except REFUSALS:
            return False

    def steal(self, seed):
        """Rotate and use random keys of those obtained so far."""
        choice = random.Random(seed)
        for _number in range(CALLS):
            key = choice.choice(list(self.parents))
            new = self.rotate(key, choice.choice(CHANNELS))
            if new and choice.random() < 0.7:
                self.use(new, choice.choice(CHANNELS))

    def wait_for_calls(self, count):
        with self.changed:
            assert self.changed.wait_for(lambda: self.calls >= count, timeout=60)

    def obtained_with(self, key):
        """Return a key and all keys that were obtained with it, directly or not."""
        found = {key}
        while more := {new for new, old in self.parents.items() if old in found} - found:
            found |= more
        return found

    def id_of(self, key):
        [row] = self.server.sql(
            "SELECT id FROM auth_integration_key WHERE prefix = %s", [key[:8]]
        )
        return row["id"]

    def check(self, revoked):
        """Check that the revoked key and all that was obtained with it have ended."""
        dead = self.obtained_with(revoked)
        accepted = {key[:8] for key in dead if self.use(key)}
        assert not accepted
        assert not self.server.sql(
            "SELECT index FROM res_users_apikeys WHERE index = ANY(%s)",
            [[key[:8] for key in dead]],
        )


def revoke(admin, loot, key):
    admin.call("auth.integration.key", "revoke", [loot.id_of(key)], reason="stolen")


@pytest.mark.parametrize("generation", [1, 2])
def test_revoked_while_a_new_key_is_about_to_be_committed(server, admin, generation):
    """The revocation waits, and then finds the new key."""
    loot = Loot(server)
    stolen = loot.system.key
    if generation == 2:
        stolen = loot.rotate(stolen)
        assert loot.use(stolen)
    with ThreadPoolExecutor(1) as pool:
        with halted_at_commit(server, "auth_integration_rotation", lambda: loot.rotate(stolen)):
            revoking = pool.submit(revoke, admin, loot, loot.system.key)
            assert wait_for_locks(server, 2, revoking), revoking.result()
        revoking.result()
    assert len(loot.parents) == generation + 1
    loot.check(loot.system.key)


@pytest.mark.parametrize("channel", CHANNELS)
def test_new_key_is_asked_for_while_a_revocation_is_about_to_be_committed(
    server, admin, channel
):
    """The call waits, and is then refused."""
    loot = Loot(server)
    with ThreadPoolExecutor(1) as pool:
        with halted_at_commit(
            server,
            "auth_integration_key",
            lambda: revoke(admin, loot, loot.system.key),
            on="UPDATE OF ended_at",  # not by a job that writes when keys were used
        ):
            rotating = pool.submit(loot.rotate, loot.system.key, channel)
            assert wait_for_locks(server, 2, rotating), rotating.result()
        assert rotating.result() is None
    assert len(loot.system.keys()) == 1
    loot.check(loot.system.key)


@pytest.mark.parametrize("seed", range(SOAK or 6))
def test_thieves_and_a_revocation_at_random(server, admin, seed):
    """Whatever is obtained before, during and after it, all of it has ended."""
    choice = random.Random(seed)
    loot = Loot(server)
    with ThreadPoolExecutor(THIEVES) as pool:
        stealing = [pool.submit(loot.steal, f"{seed} {number}") for number in range(THIEVES)]
        loot.wait_for_calls(choice.randrange(THIEVES * CALLS))
        revoked = choice.choice([loot.system.key, *loot.parents])
        revoke(admin, loot, revoked)
        for one in stealing:
            one.result()
    loot.check(revoked)
    revoke(admin, loot, loot.system.key)
    loot.check(loot.system.key)
