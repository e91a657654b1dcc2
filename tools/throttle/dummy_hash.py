"""A hash that only takes time, so that a rejection does not reveal if a password was compared."""

from __future__ import annotations

import hashlib
import secrets
from pathlib import Path

from odoo.tools import config

from .hash_slots import HashSlots

_SALT = secrets.token_bytes(16)
_slots: HashSlots | None = None


def spend(secret: object, rounds: int) -> bool:
    """Hash a secret as core does, and discard the hash.

    :return: False when all slots are in use: half of the processors compute such hashes already
    """
    with _all_slots().one() as has_room:
        if has_room:
            hashlib.pbkdf2_hmac("sha512", str(secret).encode("utf-8", "replace"), _SALT, rounds)
        return has_room


def _all_slots():
    global _slots
    if _slots is None:
        _slots = HashSlots(Path(config["data_dir"]))
    return _slots
