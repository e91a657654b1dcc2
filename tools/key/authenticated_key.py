"""The API key that authenticated the call being served, stored apart from the attempt log."""

from typing import NamedTuple

from ..attempt import request_state


class AuthenticatedKey(NamedTuple):
    """Identity and access of the key in use; never its secret."""

    dbname: str
    uid: int
    key_id: int
    channel: str | None
    remote_addr: str | None
    address_trusted: bool = False
    access: str = "full"
    access_mode: str = "enforce"
    login: str | None = None
    integration_id: int | None = None
    auth_type: str | None = None
    has_networks: bool = False
    """Whether it has networks of its own, beside those of its integration."""


def current() -> AuthenticatedKey | None:
    """Return the key that authenticated the current call, or None."""
    return request_state.current().authenticated_key
