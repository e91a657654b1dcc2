"""``make bench ROWS=guessing``: an integration's good calls beside eight guessers from one address.

Each guesser sends the next wrong password as soon as the last one was rejected. They run in a
separate process, so that the client's own work is not measured. Stock Odoo, which hashes every
guess, is measured in the same way.
"""

import multiprocessing
import time

from benchmarks.beside_stock import harness
from benchmarks.beside_stock.figures import percentile
from benchmarks.beside_stock.side import LOGIN
from benchmarks.checks.registry import Finding, check
from dev.common import say

GUESSERS = 8
CALLS = 300
# Fewer for stock, whose calls then take seconds.
STOCK_CALLS = 40
MOST = 1.5


@check("guessing")
def guessing(side):
    """Measure our server, then stock."""
    idle, beside, guesses, seconds = _measure(side, CALLS, _limit_has_set_in)
    yield Finding("guessing: good call alone, 95th percentile", idle * 1e3, "ms")
    yield Finding("guessing: beside eight guessers", beside * 1e3, "ms")
    yield Finding("guessing: ratio of the two", beside / idle, "", MOST)
    yield Finding("guessing: guesses refused in a second", guesses / seconds, "")
    with harness.running_sides(side.server.workers, "stock") as (stock,):
        idle, beside, guesses, seconds = _measure(stock, STOCK_CALLS)
    yield Finding("guessing, stock: good call alone, 95th percentile", idle * 1e3, "ms")
    yield Finding("guessing, stock: beside eight guessers", beside * 1e3, "ms")
    yield Finding("guessing, stock: ratio of the two", beside / idle, "")
    yield Finding("guessing, stock: guesses refused in a second", guesses / seconds, "")


def _measure(side, calls, wait=None):
    """Measure good calls alone, then beside guessers.

    :return: the 95th percentile alone and beside guessers, the guesses made and the seconds
    """
    _good_calls(side, 20)
    idle = percentile(_good_calls(side, calls), 95)
    context = multiprocessing.get_context("spawn")
    made, stop = context.Value("l", 0), context.Event()
    target = f"127.0.0.1:{side.server.port}", side.server.db
    guessers = context.Process(target=_guess, args=(*target, made, stop), daemon=True)
    guessers.start()
    try:
        # Until each may have guessed once, and the limit on guesses has set in.
        while made.value < GUESSERS or (wait and not wait(side)):
            time.sleep(0.2)
        say(f"measuring beside {GUESSERS} guessers")
        before, started = made.value, time.monotonic()
        beside = percentile(_good_calls(side, calls), 95)
        return idle, beside, made.value - before, time.monotonic() - started
    finally:
        stop.set()
        guessers.join(60)
        guessers.kill()


def _good_calls(side, count):
    found = []
    for _ in range(count):
        answer = side.json2(side.bot_key)
        if not answer.accepted:
            raise RuntimeError(f"{side.name}: the good key was refused")
        found.append(answer.seconds)
    return found


def _limit_has_set_in(side):
    [row] = side.server.sql("SELECT count(*) AS rows FROM auth_attempt WHERE cause = 'throttled'")
    return row["rows"] > 0


def _guess(address, database, made, stop):
    """Run the guessers in a separate process."""
    import http.client
    import threading
    import xmlrpc.client

    def work(number):
        while not stop.is_set():
            params = (database, LOGIN, f"wrong {number}", {})
            body = xmlrpc.client.dumps(params, "authenticate").encode()
            connection = http.client.HTTPConnection(address, timeout=120)
            connection.request("POST", "/xmlrpc/2/common", body, {"Content-Type": "text/xml"})
            connection.getresponse().read()
            connection.close()
            with made.get_lock():
                made.value += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(GUESSERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
