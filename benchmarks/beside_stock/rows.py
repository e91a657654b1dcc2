"""The rows of the comparison: each is a call, and what is promised about it.

A row is a function that makes one call to one server. The decorator gives its name, the promise
(the highest allowed ratio to stock's time), the number of measured pairs of calls, and whether the
call must be accepted. The argument ``number`` is the same for both servers of a pair and different
for each pair: use it for values that must not repeat.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.beside_stock.side import BOT_LOGIN, GUESSED_LOGIN, LOGIN, PASSWORD

ROWS = []


@dataclass(frozen=True)
class Row:
    """A line of the report."""

    name: str
    call: Callable
    promise: float | None = None
    pairs: int = 200
    accepted: bool = True
    warmup: int = 5


def row(name, **options):
    """Declare a row; the options are those of :class:`Row`."""

    def declare(call):
        ROWS.append(Row(name, call, **options))
        return call

    return declare


def wrong_key(number, prefix=""):
    """Return a secret with the shape of a key that is not a key."""
    return (prefix + hashlib.sha1(str(number).encode()).hexdigest())[:40]


@row("/json/2, good key", promise=0.75, pairs=400)
def json2_good_key(side, number):
    return side.json2(side.key)


@row("/json/2, good key of an integration", promise=0.75, pairs=400)
def json2_integration_key(side, number):
    return side.json2(side.bot_key)


@row("execute_kw, good key, warm", promise=1.10, pairs=400)
def execute_kw_good_key(side, number):
    return side.execute_kw(side.uid, side.key)


@row("execute_kw, good key of an integration, warm", promise=1.10, pairs=400)
def execute_kw_integration_key(side, number):
    return side.execute_kw(side.bot_uid, side.bot_key)


# Compare these with the rows of the integration's full key: stock uses the same key in all.
@row("/json/2, key that only reads", pairs=400)
def json2_reading_key(side, number):
    return side.json2(side.reading_key)


@row("/json/2, key with a list", pairs=400)
def json2_listed_key(side, number):
    return side.json2(side.listed_key)


@row("execute_kw, key that only reads, warm", pairs=400)
def execute_kw_reading_key(side, number):
    return side.execute_kw(side.bot_uid, side.reading_key)


@row("execute_kw, key with a list, warm", pairs=400)
def execute_kw_listed_key(side, number):
    return side.execute_kw(side.bot_uid, side.listed_key)


@row("execute_kw, password, warm", promise=1.10, pairs=400)
def execute_kw_password(side, number):
    return side.execute_kw(side.uid, PASSWORD)


@row("authenticate, key", promise=0.05, pairs=12, warmup=2)
def authenticate_key(side, number):
    return side.authenticate(LOGIN, side.key)


@row("/json/2, wrong key", promise=1.20, pairs=400, accepted=False)
def json2_wrong_key(side, number):
    return side.json2(wrong_key(number))


# Each call creates a log row; the calls of the other rows are counted in a row per minute.
@row("/json/2, wrong key, another program each time", promise=1.20, pairs=400, accepted=False)
def json2_wrong_key_new_row(side, number):
    return side.json2(wrong_key(number), agent=f"benchmark/1.{number}")


# Stock hashes a key with a known prefix. So does the add-on, to know that it is another key.
@row("/json/2, wrong key with a known prefix", promise=1.20, pairs=200, accepted=False)
def json2_wrong_key_known_prefix(side, number):
    return side.json2(wrong_key(number, prefix=side.key[:8]))


# The user has a password, so a secret that is not a key is also checked as a password, on both
# servers. That takes hundreds of milliseconds, which hides the cost of the log.
@row("execute_kw, wrong key", promise=1.20, pairs=15, warmup=1, accepted=False)
def execute_kw_wrong_key(side, number):
    return side.execute_kw(side.uid, wrong_key(number))


# An integration user has no password, so nothing hides the cost of the log here.
@row("execute_kw, wrong key of an integration", promise=1.20, pairs=400, accepted=False)
def execute_kw_integration_wrong_key(side, number):
    return side.execute_kw(side.bot_uid, wrong_key(number))


@row("authenticate, wrong key", promise=1.20, pairs=15, warmup=1, accepted=False)
def authenticate_wrong_key(side, number):
    return side.authenticate(LOGIN, wrong_key(number))


@row("authenticate, wrong key of an integration", promise=1.20, pairs=400, accepted=False)
def authenticate_integration_wrong_key(side, number):
    return side.authenticate(BOT_LOGIN, wrong_key(number))


# Counted before and after the password is hashed.
@row("authenticate, wrong password", promise=1.02, pairs=30, warmup=1, accepted=False)
def authenticate_wrong_password(side, number):
    return side.authenticate(LOGIN, f"wrong {number}")


# Over the limit the add-on does not hash; stock does.
@row("authenticate, wrong password over the limit", promise=0.10, pairs=15, accepted=False)
def authenticate_throttled(side, number):
    side.exhaust_guesses(GUESSED_LOGIN)
    return side.authenticate(GUESSED_LOGIN, f"wrong {number}")


@row("execute_kw, wrong password", promise=1.20, pairs=15, warmup=1, accepted=False)
def execute_kw_wrong_password(side, number):
    return side.execute_kw(side.uid, f"wrong {number}")


# Stock answers immediately, which reveals the existing logins; the add-on hashes as for a wrong
# password.
@row("authenticate, unknown login", pairs=15, warmup=1, accepted=False)
def authenticate_unknown_login(side, number):
    return side.authenticate("nobody", PASSWORD)


@row("authenticate, another unknown login each time", pairs=15, warmup=1, accepted=False)
def authenticate_unknown_logins(side, number):
    return side.authenticate(f"nobody-{wrong_key(number)[:12]}", PASSWORD)


# The add-on hashes the key to know that it is right but expired; stock ignores it.
@row("/json/2, expired key", pairs=200, accepted=False)
def json2_expired_key(side, number):
    return side.json2(side.ended_key)
