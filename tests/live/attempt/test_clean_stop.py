"""A server that is stopped at any moment has logged every call that it answered."""

import os
import random

import pytest

from callers.traffic import Traffic
from worlds.attempt import World

SERVER = {"workers": 2}
STOPS = int(os.environ.get("STOPS") or 10)


@pytest.fixture(scope="module")
def world(live_server):
    return World(live_server("main"))


def test_no_answered_call_is_lost_when_the_server_stops(world):
    """Stop at random moments, repeatedly; unanswered calls may or may not be counted."""
    chance = random.Random()
    for stop in range(STOPS):
        if stop:
            world.server.start()
        traffic = Traffic(world, chance)
        traffic.wait_for(chance.randint(20, 120))
        world.server.stop()
        traffic.end()
        assert not traffic.mistakes(world.server), f"stop {stop}: answered and logged"
        assert not traffic.refused, f"stop {stop}"
    world.server.start()
