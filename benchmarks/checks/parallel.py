"""``make bench ROWS=parallel``: wrong keys from many clients at the same time, compared with stock.

All calls are counted in the same log row, so they compete for it. With ``WORKERS=2`` they come from
two processes. The clients are separate processes, which cost both sides the same.
"""

import http.client
import multiprocessing
import time
from statistics import median

from benchmarks.beside_stock.figures import median_interval
from benchmarks.beside_stock.rows import wrong_key
from benchmarks.checks.registry import Finding, check
from dev.common import say

CLIENTS = 8
TURNS = 15
SECONDS = 2
# At least 0.9 of stock's throughput.
PROMISE = 1 / 0.9


@check("parallel", sides=("stock", "ours"))
def wrong_keys_in_parallel(stock, ours):
    """Let the clients call the servers in turn, and compare how many calls each answered."""
    ours.take_nothing_for_a_flood()
    ratios, rates = [], []
    with multiprocessing.Pool(CLIENTS) as clients:
        for side in (stock, ours):
            _calls(clients, side)  # warm up
        for turn in range(TURNS):
            order = (stock, ours) if turn % 2 == 0 else (ours, stock)
            done = {side.name: _calls(clients, side) for side in order}
            ratios.append(done["stock"] / done["ours"])
            rates.append(done["ours"] / SECONDS)
            say(f"{done['stock']} calls of stock, {done['ours']} of ours")
    low, high = median_interval(ratios)
    yield Finding("parallel: calls in a second, ours", median(rates), "")
    yield Finding("parallel: stock's throughput / ours, at least", low, "")
    yield Finding("parallel: stock's throughput / ours, at most", high, "")
    yield Finding("parallel: stock's throughput / ours", median(ratios), "", PROMISE)


def _calls(clients, side):
    until = time.time() + SECONDS
    work = [(side.server.port, until, number) for number in range(CLIENTS)]
    return sum(clients.starmap(_call_until, work, chunksize=1))


def _call_until(port, until, seed):
    done = 0
    while time.time() < until:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        headers = {
            "Content-Type": "application/json",
            "Authorization": f"Bearer {wrong_key(f'{seed} {done}')}",
        }
        connection.request("POST", "/json/2/res.users/context_get", b"{}", headers)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        if answer.status != 401:
            raise RuntimeError(f"{answer.status} for a wrong key")
        done += 1
    return done
