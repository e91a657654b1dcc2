"""State of the request being served: one object in one ContextVar.

The attempt to authenticate is part of it: opened once, annotated on the way, emitted once.  The
outermost opener owns it; inner ones find it open and only annotate it.  Nothing here accesses a
database: :meth:`auth.attempt._open` connects this state with one.

Threads and prefork workers serve many callers one after another, so every HTTP request begins with
a new state and removes it at the end, and every RPC call clears the values that belong to a call
(``core_patches``).  A cron job or a shell has a state too, which it never shares.

The key that authenticated the call is stored apart from the attempt, because there may be no
attempt, or one of another key.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from . import causes

if TYPE_CHECKING:
    from ..key.authenticated_key import AuthenticatedKey

REFERENCE_HEADER = "X-Auth-Reference"
# The only HTTP route whose method is looked up later, by ``get_public_method``.
_RPC_ROUTE = "/json/2/<__model__>/<__method__>"

_state: ContextVar[RequestState | None] = ContextVar("auth_integration_request", default=None)


@dataclass(slots=True)
class Attempt:
    """One try to authenticate, as far as it is known.

    The secret is never part of it.  ``login`` and ``uid`` are as the caller sent them, of any
    type.  ``number`` distinguishes the tries of a request that makes several.  ``user_id`` is the
    user that was found.  ``key_user_id`` is the user of the presented key, valid or ended;
    ``accepted_key_of`` is set only when the key was valid, and ``learned_digest`` is its SHA-256 if
    that is not in its record yet.

    Some values are kept so that they are looked up only once:

    * ``secret_is_key``: whether the key-shaped secret being checked, whose SHA-256 is
      ``secret_digest``, is an API key, live or ended (None when not looked up yet);
    * ``integration_user``: a user's ID and the ID of the integration whose technical user it is, or
      None;
    * ``described_agent``: what the log may contain of the agent;
    * ``operation``: the model and method that a valid key was not allowed to call;
    * ``similar_key_id``: a key that begins like the unknown one that was sent;
    * ``rows_of_minute`` and ``rows_of_source``: how many rows were created in this minute, in total
      and by this source (:mod:`flood_limits`).
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
    secret_digest: str | None = None
    secret_is_key: bool | None = None
    integration_user: tuple[int, int | None] | None = None
    rows_of_minute: int | None = None
    rows_of_source: int | None = None
    key_shaped: bool = False
    outcome: str | None = None
    reference: str | None = None
    described_agent: str | None = None
    operation: str | None = None
    similar_key_id: int | None = None
    discarded: bool = False
    completed: bool = False
    codes: set[str] = field(default_factory=set)

    def note(self, *codes: str) -> None:
        """Add causes that hold; ``causes.PRECEDENCE`` decides which one is reported."""
        self.codes.update(codes)

    def attribute(self, integration_id: int | None, how: str) -> None:
        """Record the integration that the attempt belongs to, if any, and how it was found."""
        if integration_id:
            self.integration_id, self.attribution = integration_id, how

    @property
    def cause(self) -> str | None:
        if self.outcome == "success":
            return None
        return causes.first(self.codes, key_shaped=self.key_shaped) or "internal_error"

    @property
    def presented_identity(self) -> object:
        """Login or uid as sent, for the reference; never a value that was looked up."""
        return self.login if self.login is not None else self.uid


@dataclass(slots=True)
class RequestState:
    """One HTTP request, with the RPC call that it carries.

    :ivar is_wrapped: whether it passes through our wrapper of ``Application.__call__``; if not,
        there is no request at all, or it is the one during which the add-on was imported
    :ivar hidden_request: the request that Odoo hides during RPC
    :ivar caller: a request and its :class:`~.caller.Caller`, see :mod:`caller`
    :ivar service_call: service, method and parameters of the running RPC call
    :ivar is_service_reached: whether there was an RPC call: the request could be read that far
    :ivar attempt: the open attempt; its outermost opener owns it
    :ivar unclaimed_codes: causes noted while no attempt was open
    :ivar is_decided: whether a model has accepted or rejected the credentials of this call
    :ivar quotes_caller: whether the current exception may quote arguments: a name, a secret
    :ivar reference: the reference to send in the response
    :ivar authenticated_key: the key that authenticated this call
    :ivar route: the rule of the HTTP route being served, as it was declared
    :ivar is_reading_route: whether it was declared ``readonly``
    :ivar is_access_held: whether the running hook enforces the access of the key that it accepts
    :ivar operation: model and method of this call, once looked up for a remote caller
    :ivar operation_call: the object that counts it, see :mod:`operations`
    :ivar is_operation_excessive: whether the key's access does not cover the operation
    :ivar is_operation_refused: whether the operation was rejected
    :ivar is_operation_noted: whether the operation was counted
    :ivar read_only_database: the database in which this call may only read, see :mod:`enforcement`
    :ivar vouched_key: database, scope and secret of a key that we accept, see
        :mod:`stock_verification`
    :ivar is_verified_by_model: whether a model is currently verifying a key
    :ivar guess: the password or second factor being checked, see :mod:`guess`
    """

    is_wrapped: bool = False
    hidden_request: object | None = None
    caller: tuple | None = None
    service_call: tuple | None = None
    is_service_reached: bool = False
    attempt: Attempt | None = None
    unclaimed_codes: set[str] = field(default_factory=set)
    is_decided: bool = False
    quotes_caller: bool = False
    reference: str | None = None
    authenticated_key: AuthenticatedKey | None = None
    route: str | None = None
    is_reading_route: bool = False
    is_access_held: bool = False
    operation: tuple[str, str] | None = None
    operation_call: object | None = None
    is_operation_excessive: bool = False
    is_operation_refused: bool = False
    is_operation_noted: bool = False
    read_only_database: str | None = None
    vouched_key: tuple[str, str, str] | None = None
    is_verified_by_model: bool = False
    guess: object | None = None


def current() -> RequestState:
    """Return the state of the request being served."""
    state = _state.get()
    if state is None:
        state = RequestState()
        _state.set(state)
    return state


def attempt() -> Attempt | None:
    """Return the open attempt of this call, or None."""
    return current().attempt


def note(*codes: str) -> None:
    """Add causes to the open attempt, or keep them for the attempt that is opened next."""
    state = current()
    if state.attempt:
        state.attempt.note(*codes)
    else:
        state.unclaimed_codes.update(codes)


def is_limited() -> bool:
    """Whether this call was made with a key whose access is not full."""
    key = current().authenticated_key
    return key is not None and key.access != "full"


def note_route() -> None:
    """Note the route as the operation of this call, unless a method is looked up later."""
    state = current()
    state.operation, state.is_operation_excessive = None, False
    if state.authenticated_key is not None and state.route != _RPC_ROUTE:
        state.operation = "http", state.route or ""


def note_operation(model: str, method: str) -> bool:
    """Note the method that a remote caller asked for; only the first one counts in each call.

    :return: whether the caller still has to check that the key may call it
    """
    state = current()
    if state.authenticated_key is None or state.operation is not None:
        return False
    state.operation = model, method
    return is_limited()


@contextmanager
def serving():
    """Serve one HTTP request in the block, with a new state that is removed afterwards."""
    _state.set(RequestState(is_wrapped=True))
    try:
        yield
    finally:
        _state.set(None)


@contextmanager
def dispatching(service: str, method: object, params: object):
    """Serve one RPC call in the block; what the response needs, such as the reference, is kept."""
    state = current()
    outer_operation, outer_limit = state.operation, state.read_only_database
    state.attempt = state.reference = state.authenticated_key = state.operation = None
    state.is_operation_excessive = state.is_operation_refused = state.is_operation_noted = False
    state.unclaimed_codes = set()
    state.is_decided = state.quotes_caller = False
    state.is_service_reached = True
    outer, state.service_call = state.service_call, (service, method, params)
    try:
        yield
    finally:
        state.service_call, state.authenticated_key = outer, None
        state.operation, state.read_only_database = outer_operation, outer_limit


@contextmanager
def counting():
    """Count the operation that is noted in the block, if any, when the block ends."""
    state = current()
    outer, state.operation_call = state.operation_call, None
    try:
        yield
    finally:
        call, state.operation_call = state.operation_call, outer
        if call is not None:
            call.end()


@contextmanager
def opened(new: Attempt):
    """Make an attempt the open one in the block."""
    state = current()
    outer, state.attempt = state.attempt, new
    try:
        yield new
    finally:
        state.attempt = outer


@contextmanager
def vouching_for(dbname: str, scope: str, key: str):
    """Make stock Odoo and other modules accept a key in the block, whatever its native scope."""
    state = current()
    outer, state.vouched_key = state.vouched_key, (dbname, scope, key)
    try:
        yield
    finally:
        state.vouched_key = outer


@contextmanager
def verifying_by_model():
    """Mark the block as a verification by :meth:`res.users.apikeys._check_credentials`."""
    state = current()
    outer, state.is_verified_by_model = state.is_verified_by_model, True
    try:
        yield
    finally:
        state.is_verified_by_model = outer


@contextmanager
def holding_to_access():
    """Declare that the code around the block enforces the access of a key accepted in it."""
    state = current()
    outer, state.is_access_held = state.is_access_held, True
    try:
        yield
    finally:
        state.is_access_held = outer


@contextmanager
def unrestricted():
    """Allow cursors opened in the block to write, even in a call of a read-only key."""
    state = current()
    outer, state.read_only_database = state.read_only_database, None
    try:
        yield
    finally:
        state.read_only_database = outer
