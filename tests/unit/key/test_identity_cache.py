"""What a worker caches of verified secrets, and what it must not keep."""

import hashlib
import pickle
import sys
import threading

import pytest

from odoo.addons.auth_integration.tools.key import identity_cache
from odoo.addons.auth_integration.tools.key.identity_cache import (
    IdentityCache,
    PasswordMemo,
    Place,
)

KEY = "0123456789abcdef0123456789abcdef01234567"
PASSWORD = "correct horse battery"
PLACE = Place("db", 7, "192.0.2.1")
COUNTER = b"a counter"
STORED = "$pbkdf2-sha512$600000$salt$hash"


def digest(number=0):
    return IdentityCache.digest(f"{number:040x}")


def everything_in(value, seen=None):
    """Return all objects that a value or its class holds, recursively, as in a memory dump."""
    seen = {} if seen is None else seen
    if id(value) in seen or isinstance(value, type(sys)):
        return seen
    if isinstance(value, type) and value.__module__ != IdentityCache.__module__:
        return seen
    seen[id(value)] = value
    if isinstance(value, dict):
        parts = [*value, *value.values()]
    elif isinstance(value, (list, tuple, set)):
        parts = list(value)
    else:
        slots = getattr(type(value), "__slots__", ())
        slots = [getattr(value, name, None) for name in slots]
        parts = [type(value), *getattr(value, "__dict__", {}).values(), *slots]
    for part in parts:
        everything_in(part, seen)
    return seen


class TestIdentityCache:
    def test_a_digest_is_sha256(self):
        assert IdentityCache.digest(KEY) == hashlib.sha256(KEY.encode()).hexdigest()

    def test_capitals_are_another_secret(self):
        """Odoo's own check is case-sensitive; so the cache must be, too, or accept a wrong key."""
        assert IdentityCache.digest(KEY.upper()) != IdentityCache.digest(KEY)

    @pytest.mark.parametrize("secret", ["hunter2", "", KEY + "0", KEY + "\n", None, KEY.encode()])
    def test_only_keys_have_a_digest(self, secret):
        with pytest.raises(ValueError) as caught:
            IdentityCache.digest(secret)
        assert "hunter2" not in str(caught.value) and KEY not in str(caught.value)

    def test_what_was_remembered_is_recalled(self):
        cache = IdentityCache()
        cache.set("db", digest(), 7, STORED)
        assert cache.get("db", digest()) == (7, STORED)
        assert cache.get("db", digest(1)) is None
        assert len(cache) == 1
        cache.set("db", digest(), 8, STORED + "2")
        assert cache.get("db", digest()) == (8, STORED + "2")
        assert len(cache) == 1

    def test_databases_are_apart(self):
        cache = IdentityCache()
        cache.set("db", digest(), 7, STORED)
        cache.set("other", digest(), 9, STORED)
        assert cache.get("third", digest()) is None
        cache.clear("db")
        assert cache.get("db", digest()) is None
        assert cache.get("other", digest()) == (9, STORED)
        cache.clear()
        assert len(cache) == 0

    def test_one_key_is_forgotten(self):
        cache = IdentityCache()
        cache.set("db", digest(), 7, STORED)
        cache.set("db", digest(1), 8, STORED)
        cache.discard("db", digest())
        cache.discard("db", digest(2))
        assert cache.get("db", digest()) is None
        assert cache.get("db", digest(1)) == (8, STORED)

    def test_the_longest_unused_entry_goes_first(self):
        cache = IdentityCache(max_entries=2)
        cache.set("db", digest(0), 0, STORED)
        cache.set("db", digest(1), 1, STORED)
        cache.get("db", digest(0))
        cache.set("db", digest(2), 2, STORED)
        assert len(cache) == 2
        assert cache.get("db", digest(1)) is None
        assert cache.get("db", digest(0)) and cache.get("db", digest(2))

    @pytest.mark.parametrize("wrong", [KEY, "hunter2", "", None, digest().upper(), digest() + "\n"])
    def test_a_secret_in_place_of_its_digest_is_refused(self, wrong):
        cache = IdentityCache()
        with pytest.raises(ValueError):
            cache.set("db", wrong, 7, STORED)
        assert len(cache) == 0

    def test_it_holds_no_key_and_shows_nothing(self):
        cache = IdentityCache()
        cache.set("db", IdentityCache.digest(KEY), 7, STORED)
        assert KEY not in map(str, everything_in(cache).values())
        assert repr(cache) == str(cache) == "<IdentityCache of 1 entries>"

    def test_it_is_bounded_under_threads(self):
        cache = IdentityCache(max_entries=10)
        failures = []

        def work(offset):
            for number in range(2000):
                at = digest((offset * 7 + number) % 25)
                cache.set("db", at, number, at)
                found = cache.get("db", at)
                # Odoo's map counts without a lock, and holds one more entry while it makes room.
                if found and found[1] != at or len(cache) > 10 + 1:
                    failures.append(at)
                if number % 50 == 0:
                    cache.clear("db" if number % 100 else None)
                    cache.discard("db", at)

        workers = [threading.Thread(target=work, args=(offset,)) for offset in range(8)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert not failures
        assert len(cache) <= 10


class TestPasswordMemo:
    def test_the_same_password_and_hash_are_recalled(self):
        memo = PasswordMemo()
        assert memo.get(PLACE, PASSWORD, STORED) is False
        memo.set(PLACE, PASSWORD, STORED, COUNTER)
        assert memo.get(PLACE, PASSWORD, STORED) is True
        assert len(memo) == 1

    @pytest.mark.parametrize(
        ("place", "password", "stored"),
        [
            (PLACE._replace(dbname="other"), PASSWORD, STORED),
            (PLACE._replace(uid=8), PASSWORD, STORED),
            (PLACE._replace(address="192.0.2.2"), PASSWORD, STORED),
            (PLACE._replace(address=None), PASSWORD, STORED),
            (PLACE, PASSWORD + "x", STORED),
            (PLACE, PASSWORD.upper(), STORED),
            (PLACE, PASSWORD, STORED + "x"),
            (PLACE, PASSWORD + STORED[0], STORED[1:]),
            (PLACE, PASSWORD, None),
            (PLACE, PASSWORD, ""),
            (PLACE, "", STORED),
            (PLACE, None, STORED),
            (PLACE, PASSWORD.encode(), STORED),
            (PLACE, [PASSWORD], STORED),
            (PLACE, "\ud800", STORED),
        ],
    )
    def test_anything_else_is_not(self, place, password, stored):
        memo = PasswordMemo()
        memo.set(PLACE, PASSWORD, STORED, COUNTER)
        assert memo.get(place, password, stored) is False

    def test_a_changed_password_replaces_the_old_one(self):
        memo = PasswordMemo()
        memo.set(PLACE, PASSWORD, STORED, COUNTER)
        memo.set(PLACE, "another", STORED + "2", COUNTER)
        assert len(memo) == 1
        assert memo.get(PLACE, "another", STORED + "2")
        assert not memo.get(PLACE, PASSWORD, STORED)

    @pytest.mark.parametrize(
        ("password", "stored"), [("", STORED), (None, STORED), (PASSWORD, ""), (PASSWORD, False)]
    )
    def test_nothing_cannot_be_remembered(self, password, stored):
        memo = PasswordMemo()
        with pytest.raises(ValueError):
            memo.set(PLACE, password, stored, COUNTER)
        assert len(memo) == 0

    def test_the_key_is_of_the_process(self):
        one, two = PasswordMemo(), PasswordMemo()
        one.set(PLACE, PASSWORD, STORED, COUNTER)
        two._entries.update(one._entries)
        assert not two.get(PLACE, PASSWORD, STORED)

    def test_another_password_ends_it_where_it_was_tried(self):
        memo = PasswordMemo()
        here, elsewhere = PLACE, PLACE._replace(address="192.0.2.2")
        for place in (here, elsewhere):
            memo.set(place, PASSWORD, STORED, COUNTER)
        assert not memo.get(here, "wrong", STORED)
        assert not memo.get(here, PASSWORD, STORED)
        assert memo.get(elsewhere, PASSWORD, STORED)

    @pytest.mark.parametrize("impossible", [None, "", b"bytes", ["list"]])
    def test_what_is_no_password_ends_nothing(self, impossible):
        memo = PasswordMemo()
        memo.set(PLACE, PASSWORD, STORED, COUNTER)
        assert not memo.get(PLACE, impossible, STORED)
        assert not memo.get(PLACE, PASSWORD, None)
        assert memo.get(PLACE, PASSWORD, STORED)

    def test_of_many_at_once_one_is_compared(self, monkeypatch):
        memo, compared = PasswordMemo(), []
        memo.set(PLACE, PASSWORD, STORED, COUNTER)
        arrived, all_arrived, tag = [], threading.Event(), memo._tag

        def arrive(*args):
            found = tag(*args)
            arrived.append(args)
            if len(arrived) == 8:
                all_arrived.set()
            return found

        def compare(*tags):
            compared.append(tags)
            assert all_arrived.wait(10)  # until the others, too, have come as far as they can
            return False

        monkeypatch.setattr(memo, "_tag", arrive)
        monkeypatch.setattr(identity_cache.hmac, "compare_digest", compare)
        workers = [
            threading.Thread(target=memo.get, args=(PLACE, f"wrong {number}", STORED))
            for number in range(8)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert len(compared) == 1

    def test_the_counter_is_that_of_the_place(self):
        memo = PasswordMemo()
        assert memo.counter(PLACE) is None
        memo.set(PLACE, PASSWORD, STORED, COUNTER)
        assert memo.counter(PLACE) == COUNTER
        assert memo.counter(PLACE._replace(address="192.0.2.2")) is None

    def test_users_and_databases_are_forgotten(self):
        memo = PasswordMemo()
        neighbor, other = PLACE._replace(uid=8), PLACE._replace(dbname="other")
        for place in (PLACE, neighbor, other):
            memo.set(place, PASSWORD, STORED, COUNTER)
        memo.discard(PLACE)
        memo.discard(PLACE._replace(uid=9))
        assert not memo.get(PLACE, PASSWORD, STORED)
        assert memo.get(neighbor, PASSWORD, STORED)
        memo.clear("db")
        assert not memo.get(neighbor, PASSWORD, STORED)
        assert memo.get(other, PASSWORD, STORED)
        memo.clear()
        assert len(memo) == 0

    def test_the_longest_unused_place_goes_first(self):
        memo = PasswordMemo(max_entries=2)
        one, two, three = (PLACE._replace(address=f"192.0.2.{number}") for number in (1, 2, 3))
        memo.set(one, PASSWORD, STORED, COUNTER)
        memo.set(two, PASSWORD, STORED, COUNTER)
        assert memo.get(one, PASSWORD, STORED)
        memo.set(three, PASSWORD, STORED, COUNTER)
        assert not memo.get(two, PASSWORD, STORED)
        assert memo.get(one, PASSWORD, STORED)

    def test_it_holds_no_password_and_shows_nothing(self):
        memo = PasswordMemo()
        memo.set(PLACE, PASSWORD, STORED, COUNTER)
        held = everything_in(memo).values()
        assert not [value for value in map(str, held) if PASSWORD in value or STORED in value]
        assert repr(memo) == str(memo) == "<PasswordMemo of 1 entries>"


@pytest.mark.parametrize("kind", [IdentityCache, PasswordMemo])
def test_a_cache_cannot_be_written_to_a_file_by_accident(kind):
    with pytest.raises(TypeError):
        pickle.dumps(kind())
