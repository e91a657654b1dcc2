"""The event log file has complete lines, whatever happens to the file or its writer."""

import fcntl
import json
import os
import subprocess

import pytest

from odoo.addons.auth_integration.tools.monitoring import event_file


def lines(path):
    return path.read_text().splitlines()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "events.jsonl"


def test_a_line_each(path):
    event_file.append(path, [{"a": 'x\n"y'}, {"b": 2}])
    event_file.append(path, [{"c": "\u2028"}])
    assert [json.loads(line) for line in path.read_text().split("\n")[:-1]] == [
        {"a": 'x\n"y'}, {"b": 2}, {"c": "\u2028"}]
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_line_that_was_cut_off_spoils_no_other(path):
    path.write_text('{"a": 1}\n{"b"')
    event_file.append(path, [{"b": 2}])
    assert lines(path) == ['{"a": 1}', '{"b"', '{"b":2}']


def test_a_file_moved_away_is_let_go_of(path):
    event_file.append(path, [{"a": 1}])
    path.rename(path.with_suffix(".1"))
    event_file.append(path, [{"b": 2}])
    assert lines(path) == ['{"b":2}']


def test_short_writes_are_gone_on_with(path, monkeypatch):
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:3]))
    event_file.append(path, [{"abc": "defg"}])
    assert lines(path) == ['{"abc":"defg"}']


@pytest.fixture
def small_disk(tmp_path):
    """A disk with room for some hundred lines."""
    disk = tmp_path / "disk"
    disk.mkdir()
    options = ["-t", "tmpfs", "-o", "size=64k", "none", disk]
    if os.geteuid() or subprocess.run(["mount", *options]).returncode:
        pytest.skip("only a root that may mount can give a small disk")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_full_disk_tears_no_line(small_disk):
    """Complete lines stay, and writing goes on once there is room again."""
    path, others = small_disk / "events.jsonl", small_disk / "others"
    others.write_bytes(bytes(32 * 1024))
    event_file.append(path, [{"first": 1}])
    events = [{"number": number, "text": "x" * 77} for number in range(400)]
    for _turn in range(2):
        with pytest.raises(OSError):
            event_file.append(path, events)
        assert path.read_text().endswith("\n")
        assert all(isinstance(json.loads(line), dict) for line in lines(path))
    assert json.loads(lines(path)[1]) == events[0]
    others.unlink()
    event_file.append(path, events[:50])
    assert [json.loads(line) for line in lines(path)][-50:] == events[:50]
    assert all(isinstance(json.loads(line), dict) for line in lines(path))


def test_what_is_no_file_is_refused_at_once(path):
    os.mkfifo(path)
    with pytest.raises(OSError):
        event_file.append(path, [{"a": 1}])
    with pytest.raises(OSError):
        event_file.append(path.parent, [{"a": 1}])
    with pytest.raises(OSError):
        event_file.append("/dev/full", [{"a": 1}])


def test_a_file_that_another_program_locks_is_waited_for_by_nobody(path):
    with open(path, "w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(OSError):
            event_file.append(path, [{"a": 1}])
    event_file.append(path, [{"a": 1}])
    assert lines(path) == ['{"a":1}']
