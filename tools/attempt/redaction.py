"""What may be written to the server log and the database about text that a caller sent.

Callers are not trusted, and even honest ones put secrets in wrong places. So text is made harmless
(:func:`escape`, :func:`clean`), secrets in it are removed (:func:`scrub`), and a login that does
not exist is described instead of stored (:func:`describe_unknown_login`). These functions accept
any object and text of any size: they look at a bounded part of it only.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable

from passlib.utils import MAX_PASSWORD_SIZE

REDACTED = "[redacted]"

_KEY_SHAPE = re.compile(r"[0-9a-fA-F]{40}")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")

# Printable for Python, yet invisible or like a space. The ellipsis marks text that was cut.
_UNPRINTABLE = frozenset(
    map(
        chr,
        [
            *(0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2026, 0x2800, 0x3164, 0xFFA0),
            *range(0x180B, 0x1810),  # Mongolian variation selectors
            *range(0xFE00, 0xFE10),  # variation selectors
            *range(0xE0100, 0xE01F0),  # variation selectors supplement
        ],
    )
)
_SPECIAL = {"\\": "\\\\", '"': '\\"'}
_PLAIN = re.compile(r"[ !#-\[\]-~]*")  # printable ASCII without double quote and backslash


def escape(text: object, limit: int = 200) -> str:
    r"""Return text as one line that is safe in a log and cannot forge the text around it.

    Control and format characters (line breaks, right-to-left marks, zero width, NUL), lone
    surrogates and unusual spaces become ``\xNN``, ``\uNNNN`` or ``\UNNNNNNNN``. Backslashes are
    doubled and double quotes are escaped, so the result can stand between double quotes and can be
    read back by a ``unicode_escape`` decoder.

    :param text: text; bytes are read as UTF-8, invalid ones as surrogates; of any other object,
        only the name of its type is written: ``<int>``
    :param limit: longest result in characters, without the note ``…(<n> characters)`` or
        ``…(<n> bytes)`` that gives the full length of a text that was cut
    """
    if not isinstance(text, (str, bytes, bytearray)):
        return f"<{type(text).__name__}>"
    limit = max(limit, 0)
    head = _head(text, limit + 1)
    if len(head) <= limit and _PLAIN.fullmatch(head):
        return head
    pieces: list[str] = []
    room = limit
    for char in head:
        piece = _escape_char(char)
        room -= len(piece)
        if room < 0:
            break
        pieces.append(piece)
    result = "".join(pieces)
    if len(pieces) < len(head):
        unit = "characters" if isinstance(text, str) else "bytes"
        result += f"…({len(text)} {unit})"
    return result


def clean(text: object, limit: int = 200) -> str | None:
    """Return text in a form that a database column can hold.

    NUL and lone surrogates, which PostgreSQL rejects, become U+FFFD. Nothing else changes, so
    secrets stay: use :func:`scrub` first, since half a secret is no longer recognized.

    :param text: text or bytes; None and False (Odoo's empty value) give None; of any other
        object, only the name of its type is kept
    :param limit: longest result in characters; the last one of a text that was cut is ``…``
    """
    if text is None or text is False:
        return None
    if not isinstance(text, (str, bytes, bytearray)):
        return f"<{type(text).__name__}>"[:limit]
    head = _head(text, limit + 1)
    if len(head) > limit:
        head = head[: max(limit - 1, 0)] + "…"[:limit]
    return _UNSTORABLE.sub("\ufffd", head)


def is_storable(text: object) -> bool:
    """Whether PostgreSQL accepts a text: it contains neither NUL nor a lone surrogate."""
    return isinstance(text, str) and not _UNSTORABLE.search(text)


def is_key_shaped(secret: object) -> bool:
    """Whether a secret has the shape of an API key: exactly 40 hexadecimal characters.

    Odoo creates keys in lower case. Upper case is accepted here, so that a key that a program
    changed to upper case is explained as an unknown key and not as a wrong password; it never
    verifies. A person may have a password of this shape, so this says nothing about validity.
    """
    return isinstance(secret, str) and _KEY_SHAPE.fullmatch(secret) is not None


def can_be_password(secret: object) -> bool:
    """Whether passlib can compare a secret with a hash; for any other secret it raises an error."""
    if not isinstance(secret, (str, bytes)) or len(secret) > MAX_PASSWORD_SIZE:
        return False
    return isinstance(secret, bytes) or not _SURROGATE.search(secret)


def is_short_number(value: object) -> bool:
    """Whether a value is an integer of at most 64 bits, such as a user ID, and so may be logged."""
    return type(value) is int and value.bit_length() <= 64


# Parts of names whose values are secrets: api_key, X-Auth-Token, session_id.
_SECRET_NAME = r"key|pass|pwd|secret|token|auth|signature|sig|credential|session|cookie|code|otp"
_SCRUBS: tuple[tuple[re.Pattern[str], str], ...] = (
    # user:password@ in a URL; the bound keeps the search for "@" linear
    (re.compile(r"(://)[^\s/@]{1,512}@"), rf"\1{REDACTED}@"),
    # the address of a webhook is its credential
    (re.compile(r"(/web/hook/)[^\s/?#&\"']+", re.I), rf"\1{REDACTED}"),
    (
        re.compile(r"\b(bearer|basic|digest|negotiate)(?:\s+|%20|\+)[^\s\"',;]+", re.I),
        rf"\1 {REDACTED}",
    ),
    (
        re.compile(
            rf"((?:{_SECRET_NAME})[\w.-]{{0,32}}[\"']?\s{{0,4}}(?:=|:|%3d)\s{{0,4}})"
            r"(?:\"[^\"]*\"?|'[^']*'?|[^\s&;,\"']+)",
            re.I,
        ),
        rf"\1{REDACTED}",
    ),
    # JSON web tokens and the marked tokens of well-known services
    (re.compile(r"eyJ[\w-]{4,}(?:\.[\w-]*){0,4}"), REDACTED),
    (
        re.compile(
            r"\b(?:(?:sk|pk|rk)_(?:live|test)_|gh[pousr]_|github_pat_|glpat-|hv[sb]\.|xox[a-z]-)"
            r"[\w.-]+"
        ),
        REDACTED,
    ),
    (re.compile(r"[0-9a-fA-F]{40,}"), REDACTED),
)
_CUT_HEX = re.compile(r"[0-9a-fA-F]{1,39}\Z")


def scrub(text: object, limit: int = 1000) -> str:
    """Return text, such as an agent or a path, with its secrets replaced by ``[redacted]``.

    Removed are runs of 40 and more hexadecimal characters, credentials after ``Bearer``,
    ``Basic`` and similar schemes, values of names such as ``api_key=``, ``password:`` or
    ``token=``, user and password in a URL, the ID in ``/web/hook/<id>``, and some well-known token
    shapes. This is a guess: harmless text may be removed too, and a password that stands alone is
    not recognized. Scrub before anything else shortens the text. Scrubbing twice changes nothing.

    :param text: text or bytes; of any other object, only the name of its type is written
    :param limit: longest result in characters, with a final ``…`` when it was cut
    """
    if not isinstance(text, (str, bytes, bytearray)):
        return f"<{type(text).__name__}>"
    limit = max(limit, 0)
    head = _head(text, limit + 1)
    was_cut = len(head) > limit
    if was_cut:  # a key that is cut here would be too short to be recognized
        head = _CUT_HEX.sub("", head[:limit])
    for pattern, replacement in _SCRUBS:
        head = pattern.sub(replacement, head)
    if was_cut or len(head) > limit:
        head = head[: max(limit - 1, 0)] + "…"[:limit]
    return head


# Secrets that this add-on hands out: API keys, signing secrets, second-factor seeds.
_HANDED_OUT = re.compile(
    r"[0-9a-fA-F]{40,}|whsec_[A-Za-z0-9+/=_-]{16,}|(?<![A-Za-z0-9])[A-Z2-7]{32}(?![A-Za-z0-9])"
)


def remove_keys(text: str) -> str:
    """Return text without API keys and other secrets of this add-on that were pasted into it.

    Each is replaced by ``[removed]``, so that a reader knows.  Secrets of other kinds stay: text
    that people write is kept as far as possible.
    """
    return _HANDED_OUT.sub("[removed]", text)


# -- logins that do not exist ----------------------------------------------------------------------

_MAX_LOGIN = 128  # characters of a login that are compared
_MAX_EDITS = 4  # a login that differs more is not a typing error
_MAX_HASHED = 4096  # characters of a login that are hashed, in addition to its length


def describe_unknown_login(login: object, candidates: Iterable[str], correlation_key: bytes) -> str:
    """Return what is stored for a login that does not exist.

    For instance ``unknown login (11 characters, nearest "magento" at distance 2, #3fa2)``. It never
    contains the login as typed, because people put passwords into the wrong field. The nearest
    existing login is named when at most a third of the typed characters, and at most 4, differ:
    that is typical of a typing error. The hash lets repeats be recognized as long as the key is
    kept, and is too short to test guesses against. 5,000 candidates take some 30 ms, 200 ms at
    worst: in a flood, pass none.

    :param login: what was sent as the login, of any type
    :param candidates: existing logins; their order does not matter
    :param correlation_key: secret shared by all workers and discarded daily, not empty
    :raise ValueError: when the key is empty
    """
    if not correlation_key:
        raise ValueError("the correlation key is empty")
    if not isinstance(login, str):
        return f"unknown login (<{type(login).__name__}>)"
    size = f"{len(login)} character{'' if len(login) == 1 else 's'}"
    parts = [size, _nearest_text(login, candidates), f"#{_login_hash(login, correlation_key)}"]
    return f"unknown login ({', '.join(filter(None, parts))})"


def describe_unknown_database(dbname: str, served: str) -> str:
    """Return what is stored for a database that does not exist.

    For instance ``unknown database (8 characters, nearest "acme_live" at distance 1)``, compared as
    in :func:`describe_unknown_login`: a secret may be in this field too.

    :param dbname: what was sent as the name
    :param served: the name of the database that stores it; others are not for its readers
    """
    size = f"{len(dbname)} character{'' if len(dbname) == 1 else 's'}"
    parts = filter(None, [size, _nearest_text(dbname, [served])])
    return f"unknown database ({', '.join(parts)})"


def nearest(login: str, candidates: Iterable[str], bound: int) -> tuple[str, int] | None:
    """Return the candidate with the smallest edit distance to a login, and that distance.

    Of several with the same distance, the one nearest in length is chosen, then the first in
    alphabetical order, so that the result does not depend on the order of the candidates.

    :param login: compared up to its first 128 characters, as are the candidates
    :param bound: largest distance that counts
    :return: None when no candidate is within the bound
    """
    login = login[:_MAX_LOGIN]
    # An edit changes at most one of these pairs, so a candidate that is near enough contains all
    # but `bound` of them. This check skips most other candidates cheaply.
    pairs = [login[start : start + 2] for start in range(0, len(login), 2)]
    best: tuple[str, int] | None = None
    by_length = sorted((abs(len(text[:_MAX_LOGIN]) - len(login)), text) for text in candidates)
    for difference, candidate in by_length:
        if difference > bound:
            break  # the lengths of all others differ even more
        if sum(map(candidate.__contains__, pairs)) < len(pairs) - bound:
            continue
        distance = edit_distance(login, candidate, bound)
        if distance is not None:
            best = (candidate, distance)
            bound = distance - 1
    return best


def edit_distance(one: str, two: str, bound: int) -> int | None:
    """Return the Levenshtein distance of two texts: insertions, deletions and replacements.

    For each number of edits it finds how far they reach along each diagonal (Ukkonen 1985), so the
    cost grows with the square of the bound and not with that of the length.

    :param one: compared up to its first 128 characters
    :param two: likewise
    :param bound: largest distance of interest
    :return: None when the distance is above the bound
    """
    one, two = one[:_MAX_LOGIN], two[:_MAX_LOGIN]
    height, width = len(one), len(two)
    target = width - height  # the diagonal that ends in the last cell
    if abs(target) > bound:
        return None
    # reached[d]: furthest row on diagonal d; negative d count from the end of the list
    reached = [-1] * (2 * bound + 3)
    for edits in range(bound + 1):
        slack = bound - edits  # diagonals further from the target can no longer get there
        further = [-2] * (2 * bound + 3)
        for diagonal in range(max(-edits, target - slack), min(edits, target + slack) + 1):
            row = max(reached[diagonal - 1], reached[diagonal] + 1, reached[diagonal + 1] + 1)
            end = min(height, width - diagonal)
            row = min(row, end)
            while row < end and one[row] == two[row + diagonal]:
                row += 1
            further[diagonal] = row
        if further[target] == height:
            return edits
        reached = further
    return None


def _nearest_text(login: str, candidates: Iterable[str]) -> str:
    if len(login) > _MAX_LOGIN:
        return ""
    candidates = list(candidates)
    folded = login.strip().casefold()
    alike = min((text for text in candidates if text.strip().casefold() == folded), default=None)
    if alike is not None:
        return f'same as "{escape(alike, 64)}" but for capitals or spaces'
    found = nearest(login, candidates, min(len(login) // 3, _MAX_EDITS))
    if found is None:
        return ""
    return f'nearest "{escape(found[0], 64)}" at distance {found[1]}'


def _login_hash(login: str, key: bytes) -> str:
    text = f"{len(login)}:{login[:_MAX_HASHED]}"
    return hmac.new(key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:4]


def _head(text: str | bytes | bytearray, limit: int) -> str:
    """Return the first characters of text or of UTF-8 bytes, without reading further."""
    if isinstance(text, str):
        return text[:limit]
    # A character has at most four bytes, so none before the limit is cut in two.
    return bytes(text[: 4 * limit]).decode("utf-8", "surrogateescape")[:limit]


def _escape_char(char: str) -> str:
    if char in _SPECIAL:
        return _SPECIAL[char]
    if char.isprintable() and char not in _UNPRINTABLE:
        return char
    number = ord(char)
    if number <= 0xFF:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"
