"""What a worker remembers of verified secrets, so that it need not hash them again slowly.

Both classes remember *whose* a secret is and never *that it is valid*: expiry, scope, user, state
and address are asked of the database on every call. Neither holds a secret.
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
    """Thread-safe bounded map from an API key, by its SHA-256, to the native row it belongs to.

    Learn an entry only after a full verification. There are no negative entries, so a flood of
    wrong keys cannot push good ones out.

    A core dump reveals database names, ids of native key rows, their stored PBKDF2 hashes and
    SHA-256 digests. It does not reveal a key: keys are 160 random bits, which no digest gives
    back. That is why :meth:`digest` refuses anything that is not shaped like a key: the SHA-256 of
    a password could be searched at billions of guesses a second. (A dump may of course hold the
    key of a request being served, as with stock Odoo.)

    :param max_entries: entries kept; beyond it the longest unused one is forgotten
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

        :raise ValueError: when the secret is not 40 hexadecimal characters; the text of the error
            does not hold it
        """
        if not is_key_shaped(secret):
            raise ValueError("only a key of 40 hexadecimal characters is remembered by its digest")
        return hashlib.sha256(secret.encode("ascii")).hexdigest()

    def set(self, dbname: str, digest: str, native_id: int, stored_hash: str) -> None:
        """Remember that a key was verified against a native row.

        :param digest: from :meth:`digest`
        :param native_id: id in ``res_users_apikeys``
        :param stored_hash: the hash in that row that the key matched; the caller compares it with
            the row's present one, since an id may be used again after a restore
        :raise ValueError: when ``digest`` is no digest, so that no secret is kept by mistake
        """
        if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
            raise ValueError("not a SHA-256 digest of 64 hexadecimal characters")
        self._entries[dbname, digest] = native_id, stored_hash

    def get(self, dbname: str, digest: str) -> tuple[int, str] | None:
        """Return ``(native_id, stored_hash)`` of a key verified before, None when not known."""
        return self._entries.get((dbname, digest))

    def discard(self, dbname: str, digest: str) -> None:
        """Forget one key, known or not."""
        self._entries.pop((dbname, digest), None)

    def clear(self, dbname: str | None = None) -> None:
        """Forget all keys of a database, or of all databases."""
        _drop_database(self._entries, dbname)


class Place(NamedTuple):
    """Whose password it is, and from where it came.

    :ivar address: the caller's
    """

    dbname: str
    uid: int
    address: str | None


class _Accepted(NamedTuple):
    tag: bytes
    counter: bytes


class PasswordMemo:
    """Thread-safe bounded memory of the last password that each user authenticated with by RPC from
    an address.

    Per database, user and address it keeps one HMAC-SHA256, under a random key of this process, of
    these, the password and the stored hash that the password matched. An entry holds only while
    that stored hash does: after a change of password it matches nothing.

    Nobody may guess by it: another password ends the entry, and the next right one is checked
    where guesses are counted. Beforehand the caller looks whether that counter is full.

    A core dump reveals database names, user ids, addresses, these digests and the key. It does not
    hold a password, but with key and digest a guess costs one SHA-256 instead of the 600,000
    rounds of the stored hash, so a weak password could then be found. Without the dump nothing can
    be tested. (Stock Odoo keeps the password itself in its cache at this place.)

    :param max_entries: users and addresses kept; beyond it the longest unused one is forgotten
    """

    def __init__(self, max_entries: int = 4096) -> None:
        self._key = os.urandom(32)
        self._lock = threading.Lock()  # two passwords must not be compared with one entry
        self._entries: LRU[Place, _Accepted] = LRU(max_entries)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)} entries>"

    def __len__(self) -> int:
        """Number of users and addresses remembered."""
        return len(self._entries)

    def set(self, place: Place, password: str, stored_hash: str, counter: bytes) -> None:
        """Remember that a password was verified against a stored hash. Replaces the place's last.

        :param counter: what the counter of guesses from this place is found by
        :raise ValueError: when the password or the stored hash is empty or no text
        """
        tag = self._tag(place, password, stored_hash)
        if tag is None:
            raise ValueError("a password and the hash it matched are needed")
        self._entries[place] = _Accepted(tag, counter)

    def counter(self, place: Place) -> bytes | None:
        """Return what the counter of guesses from a place is found by, None when not known."""
        known = self._entries.get(place)
        return known and known.counter

    def get(self, place: Place, password: object, stored_hash: object) -> bool:
        """Tell whether this very password was verified against this very stored hash before.

        Another one ends the entry. Compares in constant time.

        :param password: as sent, of any type
        :param stored_hash: the user's present one, just read from the database
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
