"""What our key verification passes to core's, past the verifications of other modules."""

from ..attempt import request_state

MODEL = "res.users.apikeys"


def is_vouched_for(keys, scope: str, key: str) -> bool:
    """Whether we accept a key, see :func:`request_state.vouching_for`.

    :param keys: the model of the lookup; the model of trusted devices inherits ours
    """
    vouched = request_state.current().vouched_key
    return keys._name == MODEL and vouched == (keys.env.cr.dbname, scope, key)
