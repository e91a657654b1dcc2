"""Process control for tests on a live server: use one worker only, halt a commit, run Odoo."""

import contextlib
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dev.servers import odoo_command, postgres

# The parameters of the fixture ``server``: the number of workers.
MODES = {"threaded": 0, "workers2": 2}

# In short tries, for at most half a minute: all who read the table wait behind one who waits to
# change it, also a call that holds it with one of its connections and reads it with another.
DROP_TRIGGER = """
    DO $$ BEGIN
        FOR _try IN 1..300 LOOP
            BEGIN
                SET LOCAL lock_timeout = '50ms';
                DROP TRIGGER wait_for_test ON %s;
                EXIT;
            EXCEPTION WHEN lock_not_available THEN
                PERFORM pg_sleep(0.05);
            END;
        END LOOP;
    END $$
"""


@contextlib.contextmanager
def only_worker(server, pid):
    """Let only one worker answer: the others are stopped by signal, so it gets the next call."""
    others = [other for other in server.worker_pids() if other != pid]
    try:
        for other in others:
            _stop_between_transactions(server, other)
        yield pid
    finally:
        for other in others:
            os.kill(other, signal.SIGCONT)


def _stop_between_transactions(server, pid):
    """Stop a process while it holds no row lock, as its usage writer thread may be at work."""
    # Connections made before the fork have the master's name.
    names = [f"odoo-{pid}", f"odoo-{server.pid}"]
    in_transaction = (
        "SELECT pid FROM pg_stat_activity WHERE application_name = ANY(%s) AND datname = %s"
        " AND state <> 'idle' AND wait_event_type IS DISTINCT FROM 'Lock'"
    )
    while True:  # until a stop meets it between two statements: it writes for milliseconds
        os.kill(pid, signal.SIGSTOP)
        while not _is_stopped(pid):  # in a moment: each of its threads gets the signal
            pass
        if not server.sql(in_transaction, [names, server.db]):
            return
        os.kill(pid, signal.SIGCONT)


def _is_stopped(pid):
    """Return whether every thread has stopped: the signal may reach them a little later."""
    states = (
        task.joinpath("stat").read_text().rpartition(")")[2].split()[0]
        for task in Path(f"/proc/{pid}/task").iterdir()
    )
    return all(state == "T" for state in states)


def each_worker(server):
    """Iterate over the server's workers; during each iteration only that worker answers."""
    for pid in server.worker_pids():
        with only_worker(server, pid):
            yield pid


@contextlib.contextmanager
def halted_at_commit(server, table, change, on="UPDATE OR DELETE"):
    """Run ``change`` in a thread up to the end of its transaction; it commits when the block ends.

    Within the block, all of its code has run, including the clearing of caches, but nothing of it
    is visible to others yet. With workers, the one that runs it cannot answer meanwhile.

    :param table: a table of which ``change`` updates or deletes a row
    :param on: other operations on a row, as in ``CREATE TRIGGER``
    """
    server.sql(
        f"""
        CREATE OR REPLACE FUNCTION wait_for_test() RETURNS trigger LANGUAGE plpgsql
        AS 'BEGIN PERFORM pg_advisory_xact_lock_shared(4711); RETURN NULL; END';
        CREATE CONSTRAINT TRIGGER wait_for_test AFTER {on} ON {table}
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait_for_test()
        """
    )
    with contextlib.closing(postgres.connect(server.db)) as holder, ThreadPoolExecutor(1) as pool:
        holder.cursor().execute("SELECT pg_advisory_lock(4711)")
        running = pool.submit(change)
        try:
            if not wait_for_locks(server, 1, running):
                running.result()
                raise AssertionError(f"it changed no row of {table}")
            yield
        finally:
            holder.cursor().execute("SELECT pg_advisory_unlock(4711)")
            running.result()
            server.sql(DROP_TRIGGER % table)


def wait_for_locks(server, count, *running):
    """Wait until so many transactions wait for a lock, for at most a minute.

    :param running: what is to wait there, as futures
    :return: False if all of these have ended before
    """
    deadline = time.monotonic() + 60
    while _waiting_for_locks(server) < count:
        if all(future.done() for future in running):
            return False
        assert time.monotonic() < deadline, f"fewer than {count} wait for a lock"
    return True


def _waiting_for_locks(server):
    """Return how many transactions in the server's database wait for a lock."""
    [row] = server.sql(
        "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
        " WHERE a.datname = %s AND NOT l.granted",
        [server.db],
    )
    return row["count"]


def odoo(server, *arguments):
    """Run Odoo to its end on a stopped server's database, such as with ``-u``; return its log."""
    server._write_configuration()
    log = server.folder / "odoo.log"
    code = odoo_command.run_to_end(
        ("--config", server._configuration, *arguments, "--stop-after-init", "--no-http"), log
    )
    text = log.read_text()
    assert code == 0, text
    return text
