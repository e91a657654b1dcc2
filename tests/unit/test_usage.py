"""Successes are counted exactly, and written neither too often nor too late."""

import gc
import os
import random
import signal
import threading
import weakref
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odoo.addons.auth_integration.tools.usage import Batch, UsageBuffer

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
    assert len(buffer) == 2


def test_a_batch_never_spans_two_hours():
    """Its row is that of one hour: successes of both would be counted in the wrong one."""
    buffer = UsageBuffer()
    buffer.add("k", HOUR - 20)
    buffer.add("k", HOUR - 10)
    assert buffer.add("k", HOUR + 5) == Batch("k", 1, HOUR + 5, HOUR + 5)
    assert buffer.add("k", HOUR + 6) is None
    assert buffer.due(HOUR + 6) == [Batch("k", 1, HOUR - 10, HOUR - 10)]
    assert buffer.drain() == [Batch("k", 1, HOUR + 6, HOUR + 6)]


def test_due_hands_out_what_has_waited_for_the_lag():
    buffer = UsageBuffer(lag=30)
    for second in (0, 10, 20):
        buffer.add("k", HOUR + second)
    assert buffer.next_due() == HOUR + 40
    assert buffer.due(HOUR + 39.9) == []
    assert buffer.due(HOUR + 40) == [Batch("k", 2, HOUR + 10, HOUR + 20)]
    assert buffer.due(HOUR + 41) == []
    assert buffer.next_due() is None
    assert buffer.add("k", HOUR + 42) is None, "still the same minute"


def test_called_every_lag_seconds_nothing_is_later_than_a_minute():
    buffer = UsageBuffer()
    pick = random.Random(1)
    oldest_wait = 0.0
    now = HOUR
    for step in range(2000):
        now += pick.random()
        batches = [buffer.add(pick.choice("abc"), now)]
        if step % 25 == 0:
            batches += buffer.due(now)
        oldest_wait = max([oldest_wait, *(now - b.first_seen for b in batches if b)])
    assert 30 <= oldest_wait <= 60


def test_due_forgets_identities_with_nothing_to_count():
    buffer = UsageBuffer()
    buffer.add("k", HOUR)
    buffer.due(HOUR + 59)
    assert len(buffer) == 1, "its minute is not over: another success must wait"
    buffer.due(HOUR + 60)
    assert len(buffer) == 0
    assert buffer.add("k", HOUR + 61) is not None


def test_due_keeps_what_is_too_young_even_when_its_minute_is_over():
    buffer = UsageBuffer(lag=30)
    for second in (58, 59):
        buffer.add("k", HOUR + second)
    assert buffer.due(HOUR + 61) == []
    assert buffer.waiting == 1


def test_drain_hands_out_all():
    buffer = UsageBuffer()
    for identity in "aab":
        buffer.add(identity, HOUR)
    assert buffer.drain() == [Batch("a", 1, HOUR, HOUR)]
    assert buffer.drain() == []
    assert len(buffer) == 0


def test_beyond_its_size_the_longest_unused_identity_is_handed_out():
    buffer = UsageBuffer(max_identities=2)
    for identity in "aabb":
        buffer.add(identity, HOUR)
    buffer.add("a", HOUR + 1)
    assert buffer.add("c", HOUR + 2) is not None
    assert len(buffer) == 2
    assert buffer.next_due() == HOUR
    assert buffer.due(HOUR + 2) == [Batch("b", 1, HOUR, HOUR)]
    assert buffer.drain() == [Batch("a", 2, HOUR, HOUR + 1)]


def test_a_batch_that_could_not_be_written_comes_again():
    buffer = UsageBuffer()
    buffer.put_back(buffer.add("k", HOUR))
    buffer.put_back(Batch("k", 2, HOUR + 1, HOUR + 2))
    buffer.put_back(Batch("k", 5, HOUR + 3600, HOUR + 3601))
    assert buffer.waiting == 8
    assert buffer.due(HOUR) == [
        Batch("k", 3, HOUR, HOUR + 2),
        Batch("k", 5, HOUR + 3600, HOUR + 3601),
    ]


def test_a_clock_set_back_delays_nothing():
    buffer = UsageBuffer()
    buffer.add("k", HOUR + 1000)
    buffer.add("k", HOUR + 1001)
    assert buffer.due(HOUR + 5) == [Batch("k", 1, HOUR + 1001, HOUR + 1001)]
    assert buffer.add("k", HOUR + 6) is not None


@pytest.mark.parametrize("size", [0, -1])
def test_a_buffer_needs_room(size):
    with pytest.raises(ValueError):
        UsageBuffer(max_identities=size)


calls = st.tuples(st.sampled_from(["add", "due", "put_back", "drain"]), st.integers(0, 9))


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
        elif call == "drain":
            batches = buffer.drain()
        else:
            batches = buffer.due(now)
        for batch in filter(None, batches):
            assert batch.first_seen <= batch.last_seen
            assert batch.first_seen // 3600 == batch.last_seen // 3600
            if call == "put_back":
                buffer.put_back(batch)
            else:
                written[batch.identity] += batch.count
        assert buffer.waiting == added.total() - written.total()
        assert len(buffer) <= size
    for batch in buffer.drain():
        written[batch.identity] += batch.count
    assert written == added


def test_counts_are_exact_under_threads():
    threads, adds = 8, 10_000
    buffer = UsageBuffer(lag=0.001, max_identities=5)
    written = [Counter() for _ in range(threads)]
    start = threading.Barrier(threads)

    def work(number):
        pick = random.Random(number)
        start.wait()
        for step in range(adds):
            now = HOUR + step / 50
            batches = [buffer.add(pick.randrange(9), now)]
            if step % 100 == 0:
                batches += buffer.due(now)
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
    rest = sum(batch.count for batch in buffer.drain())
    assert sum(counter.total() for counter in written) + rest == threads * adds


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_does_not_count_its_parents_successes_again():
    buffer = UsageBuffer()
    buffer.add("k", HOUR)
    buffer.add("k", HOUR)
    reader, writer = os.pipe()
    buffer._lock.acquire()  # as when another thread of the parent is counting just now
    child = os.fork()
    if not child:
        try:
            signal.alarm(10)  # ends a child that waits for the lock
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


def test_its_repr_shows_no_identity():
    buffer = UsageBuffer()
    buffer.add("secret-name", HOUR)
    assert repr(buffer) == "<UsageBuffer of 1 identities>"
