"""Successful uses are counted exactly, and written neither too often nor too late."""

import gc
import os
import random
import signal
import threading
import weakref
from collections import Counter
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odoo.addons.auth_integration.tools.key import usage_writer
from odoo.addons.auth_integration.tools.key.usage_writer import Batch, UsageBuffer

HOUR = 1_772_600_400.0  # the start of an hour
assert HOUR % 3600 == 0


def test_the_first_success_of_a_minute_is_written_at_once():
    buffer = UsageBuffer()
    assert buffer.add("k", HOUR + 1) == Batch("k", 1, HOUR + 1, HOUR + 1)
    assert buffer.add("k", HOUR + 2) is None
    assert buffer.add("k", HOUR + 59) is None
    assert buffer.waiting == 2


def test_the_next_minute_takes_along_what_waits():
    buffer = UsageBuffer()
    for second in (1, 2, 59):
        buffer.add("k", HOUR + second)
    assert buffer.add("k", HOUR + 60) == Batch("k", 3, HOUR + 2, HOUR + 60)
    assert buffer.waiting == 0


def test_identities_are_counted_apart():
    buffer = UsageBuffer()
    assert buffer.add(("k", "192.0.2.1"), HOUR)
    assert buffer.add(("k", "192.0.2.2"), HOUR)
    assert buffer.add(("k", "192.0.2.1"), HOUR) is None


def test_a_batch_never_spans_two_hours():
    """Its row belongs to one hour: uses of the other hour would be counted in the wrong row."""
    buffer = UsageBuffer()
    buffer.add("k", HOUR - 20)
    buffer.add("k", HOUR - 10)
    assert buffer.add("k", HOUR + 5) == Batch("k", 1, HOUR + 5, HOUR + 5)
    assert buffer.add("k", HOUR + 6) is None
    assert buffer.take() == [
        Batch("k", 1, HOUR - 10, HOUR - 10), Batch("k", 1, HOUR + 6, HOUR + 6),
    ]


def test_all_that_waits_is_taken_once():
    buffer = UsageBuffer()
    for identity in "aab":
        buffer.add(identity, HOUR)
    assert buffer.take() == [Batch("a", 1, HOUR, HOUR)]
    assert buffer.take() == []
    assert buffer.add("a", HOUR + 1) is None, "still the same minute"


def test_beyond_its_size_an_identity_is_written_at_once():
    buffer = UsageBuffer(max_identities=2)
    for identity in "aabb":
        buffer.add(identity, HOUR)
    assert buffer.add("c", HOUR + 2) is not None
    assert buffer.add("a", HOUR + 3) == Batch("a", 2, HOUR, HOUR + 3)
    assert buffer.take() == [Batch("b", 1, HOUR, HOUR)]


def test_a_batch_that_could_not_be_written_comes_again():
    buffer = UsageBuffer()
    buffer.put_back(buffer.add("k", HOUR))
    buffer.put_back(Batch("k", 2, HOUR + 1, HOUR + 2))
    buffer.put_back(Batch("k", 5, HOUR + 3600, HOUR + 3601))
    assert buffer.waiting == 8
    assert buffer.take() == [
        Batch("k", 3, HOUR, HOUR + 2),
        Batch("k", 5, HOUR + 3600, HOUR + 3601),
    ]


def test_a_clock_set_back_delays_nothing():
    buffer = UsageBuffer()
    buffer.add("k", HOUR + 1000)
    buffer.add("k", HOUR + 1001)
    assert buffer.take() == [Batch("k", 1, HOUR + 1001, HOUR + 1001)]
    assert buffer.add("k", HOUR + 6) is not None


calls = st.tuples(st.sampled_from(["add", "take", "put_back"]), st.integers(0, 9))


offsets = st.one_of(st.integers(-90, 90), st.floats(-5000, 5000))


@given(st.lists(st.tuples(calls, offsets), max_size=60), st.integers(1, 3))
def test_nothing_is_lost_or_counted_twice(steps, size):
    buffer = UsageBuffer(max_identities=size)
    added, written = Counter(), Counter()
    for (call, identity), offset in steps:
        now = HOUR + offset
        batches = []
        if call == "add":
            added[identity] += 1
            batches = [buffer.add(identity, now)]
        else:
            batches = buffer.take()
        for batch in filter(None, batches):
            assert batch.first_seen <= batch.last_seen
            assert batch.first_seen // 3600 == batch.last_seen // 3600
            if call == "put_back":
                buffer.put_back(batch)
            else:
                written[batch.identity] += batch.count
        assert buffer.waiting == added.total() - written.total()
    for batch in buffer.take():
        written[batch.identity] += batch.count
    assert written == added


def test_counts_are_exact_under_threads():
    threads, adds = 8, 10_000
    buffer = UsageBuffer(max_identities=5)
    written = [Counter() for _ in range(threads)]
    start = threading.Barrier(threads)

    def work(number):
        pick = random.Random(number)
        start.wait()
        for step in range(adds):
            now = HOUR + step / 50
            batches = [buffer.add(pick.randrange(9), now)]
            if step % 100 == 0:
                batches += buffer.take()
            for batch in filter(None, batches):
                if pick.random() < 0.1:
                    buffer.put_back(batch)
                else:
                    written[number][batch.identity] += batch.count

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    rest = sum(batch.count for batch in buffer.take())
    assert sum(counter.total() for counter in written) + rest == threads * adds


def test_a_forked_child_does_not_count_its_parents_successes_again():
    buffer = UsageBuffer()
    buffer.add("k", HOUR)
    buffer.add("k", HOUR)
    reader, writer = os.pipe()
    buffer._lock.acquire()  # as if another thread of the parent was counting at the fork
    child = os.fork()
    if not child:
        try:
            signal.alarm(10)  # kills a child that waits for the lock
            os.write(writer, b"%d" % buffer.waiting)
        finally:
            os._exit(0)
    buffer._lock.release()
    os.waitpid(child, 0)
    os.close(writer)
    assert os.read(reader, 9) == b"0"
    os.close(reader)
    assert buffer.waiting == 1


def test_a_buffer_can_be_collected():
    buffer = UsageBuffer()
    own = weakref.ref(buffer)
    del buffer
    gc.collect()
    assert own() is None


class Loaded(dict):
    """The attributes of a registry that the writer reads."""

    def __init__(self, models=("auth.attempt",), ready=True, ours=True):
        super().__init__(dict.fromkeys(models))
        self.ready, self.auth_integration_ready, self.db_name = ready, ours, "db"


@pytest.fixture
def written(monkeypatch):
    """A writer with waiting uses, the registries, and the list of what it has written."""
    registries, found = {}, []
    monkeypatch.setattr(usage_writer, "Registry", SimpleNamespace(registries=registries))
    writer = usage_writer.UsageWriter()
    monkeypatch.setattr(writer, "_write", lambda registry, batch, *_: found.append(batch.count))
    use = usage_writer.SuccessfulUse(
        dbname="db", channel="json2", auth_type=None, login=None, user_id=5, integration_id=None,
        attribution="key", key_id=7, remote_addr="192.0.2.1", user_agent=None,
        learned_digest=None, address_trusted=True,
    )
    writer._buffer.put_back(usage_writer.Batch(use, 3, 100.0, 101.0))
    return writer, registries, found


@pytest.mark.parametrize(
    "registry", [None, Loaded(models=(), ready=False, ours=False), Loaded(ours=False)]
)
def test_uses_wait_while_the_registry_is_loading(written, registry):
    """After an update by another server, for example; the uses are written later."""
    writer, registries, found = written
    if registry is not None:
        registries["db"] = registry
    writer.write_waiting()
    assert (found, writer.waiting) == ([], 3)
    registries["db"] = Loaded()
    writer.write_waiting()
    assert (found, writer.waiting) == ([3], 0)


def test_uses_of_a_database_without_the_app_are_dropped(written):
    writer, registries, found = written
    registries["db"] = Loaded(models=(), ours=False)
    writer.write_waiting()
    assert (found, writer.waiting) == ([], 0)
