"""What our verification of an API key tells core's, with those of other modules between them."""

from ..attempt import request_state

MODEL = "res.users.apikeys"


def is_vouched_for(keys, scope: str, key: str) -> bool:
    """Whether we accept a key, see :func:`request_state.vouching_for`.

    :param keys: the model it is sought in; devices that are trusted have one that inherits ours
    """
    vouched = request_state.current().vouched_key
    return keys._name == MODEL and vouched == (keys.env.cr.dbname, scope, key)
