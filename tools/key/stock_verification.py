"""What our verification of an API key tells core's, with those of other modules between them."""

from contextlib import contextmanager
from contextvars import ContextVar

MODEL = "res.users.apikeys"

_vouched: ContextVar[tuple | None] = ContextVar("auth_integration_vouched_key", default=None)
_by_model: ContextVar[bool] = ContextVar("auth_integration_verified_by_model", default=False)


@contextmanager
def vouched_for(dbname: str, scope: str, key: str):
    """Say during the block that we accept this key for this scope, whatever its native scope."""
    token = _vouched.set((dbname, scope, key))
    try:
        yield
    finally:
        _vouched.reset(token)


def is_vouched_for(keys, scope: str, key: str) -> bool:
    """Whether we accept a key.

    :param keys: the model it is sought in; devices that are trusted have one that inherits ours
    """
    return keys._name == MODEL and _vouched.get() == (keys.env.cr.dbname, scope, key)


@contextmanager
def by_model():
    """Mark the block in which a key is verified by :meth:`res.users.apikeys._check_credentials`."""
    token = _by_model.set(True)
    try:
        yield
    finally:
        _by_model.reset(token)


def is_by_model() -> bool:
    return _by_model.get()
