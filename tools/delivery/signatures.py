"""Sign messages to an integration's endpoint according to the Standard Webhooks specification.

The library is optional: only signing a message needs it.
"""

import base64
import json
import secrets
from datetime import datetime, timezone

from odoo.exceptions import UserError

try:
    from standardwebhooks import Webhook
except ImportError:
    Webhook = None

HOW_TO_INSTALL = (
    "The Python library standardwebhooks is not installed on this server. Install it"
    " (pip install standardwebhooks) and restart Odoo, or choose another delivery method in the"
    " policy."
)


class SignatureError(UserError):
    """A message cannot be signed; the message says why and what to do."""


def new_secret() -> str:
    """Return a new signing secret in the usual notation."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def check_secret(secret: str) -> None:
    """Check that a secret has the length and the notation of the specification.

    :raise SignatureError: it does not
    """
    try:
        raw = base64.b64decode(secret.removeprefix("whsec_") + "==", validate=False)
    except ValueError:
        raw = b""
    if not 24 <= len(raw) <= 64:
        raise SignatureError(
            "A signing secret must have 24 to 64 bytes in base64, usually after whsec_."
        )


def message_text(moment: datetime, values: dict) -> str:
    """Return a message as JSON, with its time.

    :param moment: with time zone
    """
    timestamp = moment.astimezone(timezone.utc).isoformat(timespec="seconds")
    return json.dumps({"timestamp": timestamp.replace("+00:00", "Z"), **values})


def headers(secret: str, message_id: str, moment: datetime, body: str) -> dict:
    """Return the headers with which the receiver can verify a message.

    :param moment: with time zone
    :raise SignatureError: the library is missing, or the secret is unusable
    """
    if Webhook is None:
        raise SignatureError(HOW_TO_INSTALL)
    check_secret(secret)
    moment = moment.astimezone(timezone.utc)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": Webhook(secret).sign(message_id, moment, body),
    }
