"""``make bench ROWS=flood``: how many log rows random logins, keys, users and addresses create.

The promise is for 1,000,000 attempts in an hour. The log is bounded by a number of new rows per
minute, however many attempts there are, so two full minutes of a flood that exceeds it show as much
as an hour. The addresses are real: this machine has all of 127.0.0.0/8.
"""

import http.client
import random
import threading
import time
import xmlrpc.client
from collections import Counter

from benchmarks.checks.registry import Finding, check
from dev.common import die, say

THREADS = 6
MINUTES = 2
MOST_ROWS_IN_AN_HOUR = 20_000


@check("flood")
def flood(side):
    """Flood the server with rejected calls, and count log rows and attempts."""
    server = side.server
    server.sql("CHECKPOINT")
    wal_before = server.sql("SELECT pg_current_wal_lsn() AS at")[0]["at"]
    rows_before, attempts_before = _rows_and_attempts(server)
    time.sleep(60 - time.time() % 60)  # whole minutes
    say(f"flooding for {MINUTES} minutes")
    sent = _send(server, time.time() + 60 * MINUTES - 1)
    rows, attempts = _rows_and_attempts(server)
    attempts, rows = attempts - attempts_before, rows - rows_before
    minutes = server.sql(
        "SELECT count(*) AS rows FROM auth_attempt WHERE outcome = 'failure'"
        " GROUP BY date_trunc('minute', first_seen) ORDER BY 1"
    )
    most = minutes[-1]["rows"]
    wal = server.sql("SELECT pg_current_wal_lsn() - %s AS bytes", [wal_before])[0]["bytes"]
    calls = sent.total()
    if calls / MINUTES < 2 * MOST_ROWS_IN_AN_HOUR / 60:
        die(f"only {calls} calls were made: too few to be a flood", "let the machine rest")
    yield Finding("flood: attempts sent", calls, "")
    yield Finding("flood: attempts counted wrongly", abs(calls - attempts), "", 0)
    yield Finding("flood: rows for them", rows, "")
    yield Finding(
        "flood: rows in an hour at the fullest minute", most * 60, "", MOST_ROWS_IN_AN_HOUR
    )
    yield Finding("flood: bytes of WAL for an attempt", float(wal) / calls, "B")


def _rows_and_attempts(server):
    (row,) = server.sql(
        "SELECT count(*) AS rows, coalesce(sum(count), 0)::bigint AS attempts FROM auth_attempt"
        " WHERE outcome = 'failure'"
    )
    return row["rows"], row["attempts"]


def _send(server, until):
    """Call from several threads until the given time; return the number of calls by kind."""
    counts, errors = [], []

    def work(seed):
        chance, sent = random.Random(seed), Counter()
        counts.append(sent)
        try:
            while time.time() < until:
                kind = chance.choice((_unknown_login, _unknown_key, _empty_secret))
                kind(server, chance)
                sent[kind.__name__] += 1
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return sum(counts, Counter())


def _unknown_login(server, chance):
    login = f"{chance.getrandbits(64):x}"[: chance.randint(3, 16)]
    params = (server.db, login, "x", {})
    body = xmlrpc.client.dumps(params, "authenticate").encode()
    _post(server, chance, "/xmlrpc/2/common", body, {"Content-Type": "text/xml"})


def _unknown_key(server, chance):
    headers = {
        "Content-Type": "application/json",
        "Authorization": f"Bearer {chance.getrandbits(160):040x}",
    }
    _post(server, chance, "/json/2/res.users/context_get", b"{}", headers)


def _empty_secret(server, chance):
    """Call as a random user ID: its user is looked up, and each could get its own log row."""
    uid = chance.randint(1, 100_000)
    params = (server.db, uid, "", "res.users", "context_get", [])
    body = xmlrpc.client.dumps(params, "execute_kw").encode()
    _post(server, chance, "/xmlrpc/2/object", body, {"Content-Type": "text/xml"})


def _post(server, chance, path, body, headers):
    address = ".".join(str(chance.randint(1, 254)) for _ in range(3))
    connection = http.client.HTTPConnection(
        "127.0.0.1", server.port, timeout=120, source_address=(f"127.{address}", 0)
    )
    agent = f"flood/{chance.getrandbits(16)}"
    connection.request("POST", path, body, {"User-Agent": agent, **headers})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    if answer.status not in (200, 401):
        raise RuntimeError(f"{path}: {answer.status}")
