"""What the hooks of one login tell each other while core's code runs between them."""

from contextlib import contextmanager
from contextvars import ContextVar

_presented: ContextVar[tuple[object, bool] | None] = ContextVar(
    "auth_integration_key_presented", default=None
)


@contextmanager
def presented(secret: object, known: bool | None):
    """Mark the block in which a secret is checked.

    :param known: whether it is known to be an API key; None when nobody has looked
    """
    token = _presented.set(None if known is None else (secret, known))
    try:
        yield
    finally:
        _presented.reset(token)


def is_presented() -> bool:
    """Whether the secret being checked is known to be an API key."""
    found = _presented.get()
    return found is not None and found[1]


def verdict(secret: object) -> bool | None:
    """Whether this very secret is an API key, as was just found; None when nobody has looked."""
    found = _presented.get()
    return found[1] if found is not None and found[0] == secret else None
