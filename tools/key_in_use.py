"""What the hooks of one login tell each other while core's code runs between them."""

from contextlib import contextmanager
from contextvars import ContextVar

_presented: ContextVar[bool] = ContextVar("auth_integration_key_presented", default=False)


@contextmanager
def presented(known: bool):
    """Mark the block in which the secret being checked is known to be an API key."""
    token = _presented.set(known)
    try:
        yield
    finally:
        _presented.reset(token)


def is_presented() -> bool:
    return _presented.get()
