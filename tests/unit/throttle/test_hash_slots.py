"""Hashes that only take time use at most half of the processors, over all processes."""

import os
import threading

from odoo.addons.auth_integration.tools.throttle.hash_slots import HashSlots


def test_half_of_the_processors(tmp_path):
    assert HashSlots(tmp_path).count == max(1, os.cpu_count() // 2)


def test_no_more_than_that(tmp_path):
    slots = HashSlots(tmp_path, count=2)
    with slots.one() as one, slots.one() as two, slots.one(patience=0) as three:
        assert (one, two, three) == (True, True, False)
    with slots.one(patience=0) as again:
        assert again


def test_other_processes_count(tmp_path):
    """Two objects behave like two processes: they only share the folder."""
    with HashSlots(tmp_path, count=1).one() as one:
        assert one
        with HashSlots(tmp_path, count=1).one(patience=0) as other:
            assert not other
    with HashSlots(tmp_path, count=1).one(patience=0) as other:
        assert other


def test_what_a_dead_process_had_is_free(tmp_path):
    read, write = os.pipe()
    child = os.fork()
    if not child:
        with HashSlots(tmp_path, count=1).one():
            os.write(write, b"!")
            os._exit(0)
    os.read(read, 1)
    os.waitpid(child, 0)
    with HashSlots(tmp_path, count=1).one(patience=0) as has_room:
        assert has_room


def test_one_waits_for_room(tmp_path):
    slots, got = HashSlots(tmp_path, count=1), []

    def wait():
        with slots.one(patience=30) as has_room:
            got.append(has_room)

    with slots.one():
        waiting = threading.Thread(target=wait)
        waiting.start()
    waiting.join()
    assert got == [True]


def test_without_a_folder_each_process_has_its_own(tmp_path):
    slots = HashSlots(tmp_path / "missing", count=1)
    with slots.one() as one, slots.one(patience=0) as two:
        assert (one, two) == (True, False)


def test_a_link_is_not_followed(tmp_path):
    """Someone with write access to the folder cannot make the add-on open another file."""
    (tmp_path / "auth_integration.hash.0").symlink_to(tmp_path / "elsewhere")
    with HashSlots(tmp_path, count=1).one() as has_room:
        assert has_room
    assert not (tmp_path / "elsewhere").exists()
