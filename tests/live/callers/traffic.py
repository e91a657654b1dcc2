"""Mixed traffic of several callers, and a comparison of the log with their answers."""

import http.client
import json
import re
import threading
import time
from collections import Counter

from worlds.attempt import WRONG_KEY

KINDS = ("good", "personal", "wrong")
# Answers of a proxy whose server is down, and of a server that cannot respond now.
NO_ANSWER = (502, 503, 504)


class Traffic:
    """Several callers, each with its own user agents.

    A place is a pair: the agent, and whether the call was refused.

    :ivar answered: number of answered calls, by place
    :ivar cut: number of calls without an answer, by place; the server may have counted them
    :ivar refused: the answers to refused calls with a good key
    :param callers: number of concurrent callers
    :param outlasts: whether they continue when a server is down, until :meth:`end`
    """

    def __init__(self, world, chance, callers=4, outlasts=False):
        self.answered, self.cut, self.refused = Counter(), Counter(), []
        self.agents, self._lock = set(), threading.Lock()
        self._outlasts, self._ending = outlasts, threading.Event()
        self._threads = [
            threading.Thread(target=self._call, args=(world, type(chance)(chance.random())))
            for _caller in range(callers)
        ]
        for thread in self._threads:
            thread.start()

    def wait_for(self, number):
        """Wait until this many more calls were answered, or all callers have ended."""
        wanted = sum(self.answered.values()) + number
        while sum(self.answered.values()) < wanted and any(t.is_alive() for t in self._threads):
            time.sleep(0.001)

    def end(self):
        """Stop calling and wait for the last answers."""
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def mistakes(self, *servers):
        """Compare the log with the answers.

        :param servers: servers of one database; attempts that one could not store are in its own
            log
        :return: the numbers of answered and logged calls of each place where fewer are logged, or
            more than
            the unanswered calls explain
        """
        rows = servers[0].sql(
            "SELECT user_agent, outcome, sum(count)::integer AS count FROM auth_attempt"
            " WHERE user_agent = ANY(%s) GROUP BY 1, 2",
            [list(self.agents)],
        )
        logged = Counter({(r["user_agent"], r["outcome"] == "failure"): r["count"] for r in rows})
        for server in servers:
            for line in re.findall("Attempt not written: (.*)", server.log_since()):
                attempt = json.loads(line)
                logged[attempt["agent"], attempt["outcome"] == "failure"] += 1
        return {
            place: (self.answered[place], logged[place])
            for place in logged.keys() | self.answered.keys()
            if place[0] in self.agents
            if not 0 <= logged[place] - self.answered[place] <= self.cut[place]
        }

    def _call(self, world, chance):
        callers = [world.calls() for _agent in range(3)]
        with self._lock:
            self.agents |= {caller.agent for caller in callers}
        while not self._ending.is_set():
            caller, kind = chance.choice(callers), chance.choice(KINDS)
            place = caller.agent, kind == "wrong"
            try:
                reply = self._send(world, chance, caller, kind)
                is_answered = reply.status not in NO_ANSWER
            except (OSError, http.client.HTTPException):
                is_answered = False
                if not self._outlasts:
                    self._ending.set()  # the server is down or stopping
            with self._lock:
                (self.answered if is_answered else self.cut)[place] += 1
                if is_answered and kind != "wrong" and not _is_good(reply):
                    self.refused.append(reply)

    @staticmethod
    def _send(world, chance, caller, kind):
        if kind == "good" and chance.random() < 0.5:
            return caller.execute(world.uids["worker"], world.keys["good"])
        return caller.json2(world.keys.get(kind, WRONG_KEY))


def _is_good(reply):
    return reply.status == 200 and not (
        isinstance(reply.detail, tuple) and reply.detail[0] in ("fault", "error")
    )
