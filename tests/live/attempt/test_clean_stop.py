"""A server that is stopped at any moment has written every call that it answered."""

import http.client
import os
import random
import threading
import time
from collections import Counter

import pytest
from attempt_world import WRONG_KEY, World

SERVER = {"workers": 2}
STOPS = int(os.environ.get("STOPS") or 10)
KINDS = ("good", "personal", "wrong")


@pytest.fixture(scope="module")
def world(live_server):
    return World(live_server("main"))


class Traffic:
    """Callers with agents of their own, who call until the server is going."""

    def __init__(self, world, chance):
        self.answered, self.cut = Counter(), Counter()
        self.agents, self._lock = {}, threading.Lock()
        self._threads = [
            threading.Thread(target=self._call, args=(world, random.Random(chance.random())))
            for _caller in range(4)
        ]
        for thread in self._threads:
            thread.start()

    def wait_for(self, number):
        """Until so many calls were answered."""
        while sum(self.answered.values()) < number and any(t.is_alive() for t in self._threads):
            time.sleep(0.001)

    def end(self):
        for thread in self._threads:
            thread.join()

    def _call(self, world, chance):
        callers = [world.calls() for _agent in range(3)]
        with self._lock:
            self.agents.update({caller.agent: caller for caller in callers})
        while True:
            caller, kind = chance.choice(callers), chance.choice(KINDS)
            place = caller.agent, kind == "wrong"
            try:
                if kind == "good" and chance.random() < 0.5:
                    caller.execute(world.uids["worker"], world.keys["good"])
                else:
                    caller.json2(world.keys.get(kind, WRONG_KEY))
            except (OSError, http.client.HTTPException):
                with self._lock:
                    self.cut[place] += 1
                return  # the server is gone, or going
            with self._lock:
                self.answered[place] += 1


def test_no_answered_call_is_lost_when_the_server_stops(world):
    """At random moments, over and over; a call that got no answer may have been counted."""
    chance = random.Random()
    for stop in range(STOPS):
        if stop:
            world.server.start()
        traffic = Traffic(world, chance)
        traffic.wait_for(chance.randint(20, 120))
        world.server.stop()
        traffic.end()
        rows = world.server.sql(
            "SELECT user_agent, outcome, sum(count)::integer AS count FROM auth_attempt"
            " WHERE user_agent = ANY(%s) GROUP BY 1, 2",
            [list(traffic.agents)],
        )
        logged = Counter({(r["user_agent"], r["outcome"] == "failure"): r["count"] for r in rows})
        lost = {place: (n, logged[place]) for place, n in traffic.answered.items()
                if logged[place] < n}
        assert not lost, f"stop {stop}: answered and logged"
        more = logged - traffic.answered
        assert all(more[place] <= traffic.cut[place] for place in more), f"stop {stop}: too many"
    world.server.start()
