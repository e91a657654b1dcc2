"""Caches of verified secrets, so that a worker need not repeat the slow hash.

Both classes remember *whose* a secret is and never *that it is valid*: expiry, scope, user, state
and address are read from the database on every call. Neither stores a secret.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import threading
from typing import NamedTuple

from odoo.tools.lru import LRU

from ..attempt.redaction import is_key_shaped

_DIGEST = re.compile(r"[0-9a-f]{64}")


class IdentityCache:
    """Thread-safe bounded map from the SHA-256 of an API key to the native row it belongs to.

    Add an entry only after a full verification. There are no negative entries, so a flood of
    wrong keys cannot evict good ones.

    A core dump reveals database names, IDs of native key rows, their stored PBKDF2 hashes and
    SHA-256 digests. It does not reveal a key: keys are 160 random bits, which cannot be recovered
    from a digest. That is why :meth:`digest` rejects anything that is not shaped like a key: the
    SHA-256 of a password could be searched at billions of guesses a second. (A dump may contain the
    key of a request being served, as with stock Odoo.)

    :param max_entries: entries kept; beyond it, the least recently used one is removed
    """

    def __init__(self, max_entries: int = 8192) -> None:
        self._entries: LRU[tuple[str, str], tuple[int, str]] = LRU(max_entries)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)} entries>"

    def __len__(self) -> int:
        """Number of entries."""
        return len(self._entries)

    @staticmethod
    def digest(secret: str) -> str:
        """Return the SHA-256 of a key as 64 hexadecimal characters.

        :raise ValueError: when the secret is not 40 hexadecimal characters; the error message does
            not contain it
        """
        if not is_key_shaped(secret):
            raise ValueError("only a key of 40 hexadecimal characters is remembered by its digest")
        return hashlib.sha256(secret.encode("ascii")).hexdigest()

    def set(self, dbname: str, digest: str, native_id: int, stored_hash: str) -> None:
        """Remember that a key was verified against a native row.

        :param digest: from :meth:`digest`
        :param native_id: ID in ``res_users_apikeys``
        :param stored_hash: the hash in that row that the key matched; the caller compares it with
            the row's current one, since an ID may be used again after a restore
        :raise ValueError: when ``digest`` is not a digest, so that no secret is kept by mistake
        """
        if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
            raise ValueError("not a SHA-256 digest of 64 hexadecimal characters")
        self._entries[dbname, digest] = native_id, stored_hash

    def get(self, dbname: str, digest: str) -> tuple[int, str] | None:
        """Return ``(native_id, stored_hash)`` of a key verified before, None when unknown."""
        return self._entries.get((dbname, digest))

    def discard(self, dbname: str, digest: str) -> None:
        """Forget one key, known or not."""
        self._entries.pop((dbname, digest), None)

    def clear(self, dbname: str | None = None) -> None:
        """Forget all keys of a database, or of all databases."""
        _drop_database(self._entries, dbname)


class Place(NamedTuple):
    """A user and the address from which the password came.

    :ivar address: the caller's
    """

    dbname: str
    uid: int
    address: str | None


class _Accepted(NamedTuple):
    tag: bytes
    counter: bytes


class PasswordMemo:
    """Thread-safe bounded memory of the last password of each user and address that was accepted.

    Used for authentication by RPC. Per database, user and address it keeps one HMAC-SHA256, under a
    random key of this process, of these, the password and the stored hash that the password
    matched. An entry is valid only for that stored hash: after a change of password it matches
    nothing.

    It cannot be used for guessing: another password removes the entry, and the next correct one is
    verified where guesses are counted. The caller first checks whether that counter is full.

    A core dump reveals database names, user IDs, addresses, these digests and the key. It contains
    no password, but with key and digest a guess costs one SHA-256 instead of the 600,000 rounds of
    the stored hash, so a weak password could be found. Without the dump nothing can be tested.
    (Stock Odoo caches the password itself at this place.)

    :param max_entries: users and addresses kept; beyond it, the least recently used one is removed
    """

    def __init__(self, max_entries: int = 4096) -> None:
        self._key = os.urandom(32)
        self._lock = threading.Lock()  # only one password may be compared with an entry
        self._entries: LRU[Place, _Accepted] = LRU(max_entries)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)} entries>"

    def __len__(self) -> int:
        """Number of users and addresses remembered."""
        return len(self._entries)

    def set(self, place: Place, password: str, stored_hash: str, counter: bytes) -> None:
        """Remember that a password was verified against a stored hash, and replace the last one.

        :param counter: the key of the counter of guesses from this place
        :raise ValueError: when the password or the stored hash is empty or not text
        """
        tag = self._tag(place, password, stored_hash)
        if tag is None:
            raise ValueError("a password and the hash it matched are needed")
        self._entries[place] = _Accepted(tag, counter)

    def counter(self, place: Place) -> bytes | None:
        """Return the key of the counter of guesses from a place, None when unknown."""
        known = self._entries.get(place)
        return known and known.counter

    def get(self, place: Place, password: object, stored_hash: object) -> bool:
        """Whether exactly this password was verified against exactly this stored hash before.

        Another password or hash removes the entry. Compares in constant time.

        :param password: as sent, of any type
        :param stored_hash: the user's current one, just read from the database
        :return: False also for an empty password or hash
        """
        tag = self._tag(place, password, stored_hash)
        if tag is None:
            return False
        with self._lock:
            known = self._entries.get(place)
            if known and hmac.compare_digest(known.tag, tag):
                return True
            self.discard(place)
            return False

    def discard(self, place: Place) -> None:
        """Forget one user at one address, known or not."""
        self._entries.pop(place, None)

    def clear(self, dbname: str | None = None) -> None:
        """Forget all users of a database, or of all databases."""
        _drop_database(self._entries, dbname)

    def _tag(self, place: Place, password: object, stored_hash: object) -> bytes | None:
        if not (isinstance(password, str) and password):
            return None
        if not (isinstance(stored_hash, str) and stored_hash):
            return None
        mac = hmac.new(self._key, digestmod=hashlib.sha256)
        for part in (*map(str, place), password, stored_hash):
            data = part.encode("utf-8", "surrogatepass")
            mac.update(b"%d:%b" % (len(data), data))
        return mac.digest()


def _drop_database(entries: LRU, dbname: str | None) -> None:
    if dbname is None:
        entries.clear()
        return
    for place in entries.snapshot:
        if place[0] == dbname:
            entries.pop(place, None)
