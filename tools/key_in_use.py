"""What the hooks of one login tell each other while core's code runs between them."""

from contextlib import contextmanager
from contextvars import ContextVar

_presented: ContextVar[bool] = ContextVar("auth_integration_key_presented", default=False)
_rpc_call: ContextVar[bool] = ContextVar("auth_integration_rpc_call", default=False)


@contextmanager
def _set(variable, value):
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


def presented(identity):
    """Mark the block in which the secret being checked is known to be an API key."""
    return _set(_presented, bool(identity))


def is_presented() -> bool:
    return _presented.get()


def rpc_call():
    """Mark the block in which the credentials of an RPC object call are checked."""
    return _set(_rpc_call, True)


def in_rpc_call() -> bool:
    return _rpc_call.get()
