"""The attempt being made right now: opened once, annotated on the way, emitted once.

The outermost opener of a call owns the attempt; those within it find it open and only annotate.
Nothing here touches a database; :meth:`auth.attempt._open` brings both together.
"""

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from . import caller, causes

REFERENCE_HEADER = "X-Auth-Reference"

_current: ContextVar["Attempt | None"] = ContextVar("auth_integration_attempt")
_answered_reference: ContextVar[str | None] = ContextVar("auth_integration_reference")
_decided: ContextVar[bool] = ContextVar("auth_integration_decided")
_service_reached: ContextVar[bool] = ContextVar("auth_integration_service_reached")
_typed_text_raised: ContextVar[bool] = ContextVar("auth_integration_typed_text_raised")
_unclaimed: ContextVar[frozenset[str]] = ContextVar("auth_integration_unclaimed_codes")


@dataclass(slots=True)
class Attempt:
    """One try to authenticate, as far as it is known.

    The secret is never part of it.  ``login`` and ``uid`` are as the caller sent them, of any
    type; ``number`` tells the tries of one request from each other, where it makes many;
    ``user_id`` is what was found.  ``key_user_id`` is whose the presented key is, good or
    ended; ``accepted_key_of`` is set only when it was good, and ``learned_digest`` is its SHA-256,
    when that is not in its record yet.

    Some things are kept to be asked once: ``integration_user``, a user's id and that of the
    integration whose technical user it is, or None; ``described_agent``, what the log may hold of
    the agent; ``rows_of_minute`` and ``rows_of_source``, how many rows were made in this minute, by
    all and by this source (:mod:`limits`).
    """

    channel: str
    database: str
    remote_addr: str | None = None
    address_trusted: bool = False
    user_agent: str | None = None
    auth_type: str | None = None
    login: object = None
    uid: object = None
    number: int | None = None
    user_id: int | None = None
    known_login: str | None = None
    integration_id: int | None = None
    attribution: str | None = None
    key_id: int | None = None
    key_user_id: int | None = None
    accepted_key_of: int | None = None
    learned_digest: str | None = None
    integration_user: tuple[int, int | None] | None = None
    rows_of_minute: int | None = None
    rows_of_source: int | None = None
    key_shaped: bool = False
    outcome: str | None = None
    reference: str | None = None
    described_agent: str | None = None
    discarded: bool = False
    completed: bool = False
    codes: set[str] = field(default_factory=set)

    def note(self, *codes: str) -> None:
        """Add causes that hold; the design's order decides which of them is the cause."""
        self.codes.update(codes)

    @property
    def cause(self) -> str | None:
        if self.outcome == "success":
            return None
        return causes.first(self.codes, key_shaped=self.key_shaped) or "internal_error"

    @property
    def presented_identity(self) -> object:
        """Login or uid as sent, for the reference; never what we found."""
        return self.login if self.login is not None else self.uid


def of_caller(database: str, **facts) -> Attempt:
    """Begin an attempt of the current caller, with what the HTTP request tells.

    :param facts: further fields of :class:`Attempt`
    """
    who = caller.current()
    facts.setdefault("channel", who.channel or "http")
    return Attempt(
        database=database,
        remote_addr=who.remote_addr,
        address_trusted=who.address_trusted,
        user_agent=who.user_agent,
        **facts,
    )


def current() -> Attempt | None:
    """The open attempt of this call, or None."""
    return _current.get(None)


def forget() -> None:
    """Start afresh: a new HTTP request or RPC dispatch begins, or one has ended."""
    _current.set(None)
    _answered_reference.set(None)
    _decided.set(False)
    _service_reached.set(False)
    _typed_text_raised.set(False)
    _unclaimed.set(frozenset())


def answer_with(reference: str | None) -> None:
    """Have the answer to the current HTTP request carry this reference."""
    _answered_reference.set(reference)


def answered_reference() -> str | None:
    """The reference that the answer to the current HTTP request is to carry, if any."""
    return _answered_reference.get(None)


def mark_decided() -> None:
    """Note that a model has accepted or refused the credentials of this call."""
    _decided.set(True)


def was_decided() -> bool:
    return _decided.get(False)


def mark_service_reached() -> None:
    """Note that a method of an RPC service was called: the request could be read that far."""
    _service_reached.set(True)


def service_was_reached() -> bool:
    return _service_reached.get(False)


def mark_typed_text_raised() -> None:
    """Note that the exception under way may quote the call's arguments: a name, a secret."""
    _typed_text_raised.set(True)


def typed_text_was_raised() -> bool:
    return _typed_text_raised.get(False)


def note(*codes: str) -> None:
    """Annotate the open attempt; without one, keep the codes for whoever opens one later."""
    if attempt := current():
        attempt.note(*codes)
    else:
        _unclaimed.set(_unclaimed.get(frozenset()) | set(codes))


def unclaimed_codes() -> frozenset[str]:
    """Codes noted in this request while no attempt was open."""
    return _unclaimed.get(frozenset())


@contextmanager
def opened(attempt: Attempt):
    """Make ``attempt`` the current one for the duration of the block."""
    token = _current.set(attempt)
    try:
        yield attempt
    finally:
        _current.reset(token)
