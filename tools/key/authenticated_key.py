"""Which API key authenticated the call being served, kept apart from the attempt log.

Threads, and the workers of a prefork server, serve many callers one after another: the value is
reset when an HTTP request or an RPC dispatch starts and when it ends (``core_patches``).
"""

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AuthenticatedKey:
    """Identity of the key in use; no secret, no rights."""

    dbname: str
    uid: int
    key_id: int
    channel: str | None
    remote_addr: str | None
    address_trusted: bool = False


_authenticated_key: ContextVar[AuthenticatedKey | None] = ContextVar("auth_integration_calling_key")


def current() -> AuthenticatedKey | None:
    """The key that authenticated the current call, or None."""
    return _authenticated_key.get(None)


def set(key: AuthenticatedKey) -> None:
    _authenticated_key.set(key)


def forget() -> None:
    _authenticated_key.set(None)
