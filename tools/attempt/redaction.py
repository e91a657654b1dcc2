"""What may be written about the text that a caller sent: to the server log and to the database.

Callers are not trusted, and honest ones put secrets in wrong places. So text is made harmless
(:func:`escape`, :func:`clean`), secrets in it are removed (:func:`scrub`), and what was typed as
a login is described instead of kept when no such login exists (:func:`describe_unknown_login`).
Every function takes any object and input of any size: it looks at a bounded part of it only.
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

# Printable by Python's rule, yet invisible or like a space; the ellipsis is our own mark.
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
_PLAIN = re.compile(r"[ !#-\[\]-~]*")  # printable ASCII but a double quote and a backslash


def escape(text: object, limit: int = 200) -> str:
    r"""Return text as one line that is safe in a log, with no way to forge what is around it.

    Control and format characters (line ends, right-to-left marks, zero width, NUL), lone
    surrogates and unusual spaces become ``\xNN``, ``\uNNNN`` or ``\UNNNNNNNN``. A backslash is
    doubled and a double quote gets one, so the result can stand between double quotes and can be
    read back by a ``unicode_escape`` decoder.

    :param text: text; bytes are read as UTF-8, bad ones as surrogates; of any other object only
        the name of its type is written: ``<int>``
    :param limit: longest result in characters, without the note ``…(<n> characters)`` or
        ``…(<n> bytes)`` that tells the full length of a text cut off
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
    """Return text as a database column can hold it, otherwise as it is.

    NUL and lone surrogates, which PostgreSQL refuses, become U+FFFD. Secrets stay: see
    :func:`scrub`, and use it first, since half a secret is no longer recognised.

    :param text: text or bytes; None and False (Odoo's empty value) give None; of any other
        object only the name of its type is kept
    :param limit: longest result in characters; the last one of a text cut off is ``…``
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
    """Tell whether PostgreSQL can be sent a text: neither NUL nor half a surrogate pair in it."""
    return isinstance(text, str) and not _UNSTORABLE.search(text)


def is_key_shaped(secret: object) -> bool:
    """Tell whether a secret has the shape of an API key: exactly 40 hexadecimal characters.

    Odoo makes keys in small letters. Capitals are accepted here, so that a key that some program
    changed to capitals is explained as an unknown key and not as a wrong password; it never
    verifies. A person may have a password of this shape, so this says nothing about validity.
    """
    return isinstance(secret, str) and _KEY_SHAPE.fullmatch(secret) is not None


def can_be_password(secret: object) -> bool:
    """Tell whether passlib can compare a secret with a hash: for any other it raises an error."""
    if not isinstance(secret, (str, bytes)) or len(secret) > MAX_PASSWORD_SIZE:
        return False
    return isinstance(secret, bytes) or not _SURROGATE.search(secret)


def is_short_number(value: object) -> bool:
    """Tell whether a value is a number that can be written down, as a user id is."""
    return type(value) is int and value.bit_length() <= 64


# Names of values that are secrets, anywhere in the name: api_key, X-Auth-Token, session_id.
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
    """Return text with the secrets in it replaced by ``[redacted]``: for agents and paths.

    Removed are runs of 40 and more hexadecimal characters, credentials after ``Bearer``,
    ``Basic`` and their like, values of names such as ``api_key=``, ``password:`` or ``token=``,
    user and password in a URL, the id in ``/web/hook/<id>``, and some well-known token shapes.
    It guesses: harmless text may go too, and a password that stands alone is not recognised.
    Scrub before anything else shortens the text. Scrubbing twice changes nothing.

    :param text: text or bytes; of any other object only the name of its type is written
    :param limit: longest result in characters, with a final ``…`` when it was cut off
    """
    if not isinstance(text, (str, bytes, bytearray)):
        return f"<{type(text).__name__}>"
    limit = max(limit, 0)
    head = _head(text, limit + 1)
    was_cut = len(head) > limit
    if was_cut:  # a key that is cut here would be too short to be recognised
        head = _CUT_HEX.sub("", head[:limit])
    for pattern, replacement in _SCRUBS:
        head = pattern.sub(replacement, head)
    if was_cut or len(head) > limit:
        head = head[: max(limit - 1, 0)] + "…"[:limit]
    return head


# What this add-on hands out: API keys, signing secrets, and seeds of a second factor.
_HANDED_OUT = re.compile(
    r"[0-9a-fA-F]{40,}|whsec_[A-Za-z0-9+/=_-]{16,}|(?<![A-Za-z0-9])[A-Z2-7]{32}(?![A-Za-z0-9])"
)


def remove_keys(text: str) -> str:
    """Return text without the API keys and other secrets of this add-on that were pasted into it.

    Each is replaced by ``[removed]``, so that whoever reads the text knows.  A word that is a
    secret elsewhere stays: what people write is kept as far as possible.
    """
    return _HANDED_OUT.sub("[removed]", text)


# -- logins that do not exist ----------------------------------------------------------------------

_MAX_LOGIN = 128  # characters of a login that are compared
_MAX_EDITS = 4  # a login further away than this was no slip of the finger
_MAX_HASHED = 4096  # characters of a login that are hashed, after its length


def describe_unknown_login(login: object, candidates: Iterable[str], correlation_key: bytes) -> str:
    """Return what is stored for a login that does not exist, for instance
    ``unknown login (11 characters, nearest "magento" at distance 2, #3fa2)``.

    Never the login as typed: people put passwords into the wrong field. The nearest existing
    login is named when at most a third of the typed characters, and at most 4, were edited: that
    is what a slip of the finger does. The hash lets repeats be recognised while the key lasts, and
    is too short to test guesses against. 5,000 candidates take some 30 ms, 200 ms at worst: under
    a flood, pass none.

    :param login: what was sent as the login, of any type
    :param candidates: existing logins; their order does not matter
    :param correlation_key: secret shared by all workers and thrown away daily, not empty
    :raise ValueError: when the key is empty
    """
    if not correlation_key:
        raise ValueError("the correlation key is empty")
    if not isinstance(login, str):
        return f"unknown login (<{type(login).__name__}>)"
    size = f"{len(login)} character{'' if len(login) == 1 else 's'}"
    parts = [size, _nearest_text(login, candidates), f"#{_login_hash(login, correlation_key)}"]
    return f"unknown login ({', '.join(filter(None, parts))})"


def nearest(login: str, candidates: Iterable[str], bound: int) -> tuple[str, int] | None:
    """Return the candidate with the smallest edit distance to a login, and that distance.

    Of several equally near, the one nearest in length and then first by alphabet, so that the
    answer does not depend on their order.

    :param login: compared up to its first 128 characters, as are the candidates
    :param bound: largest distance that counts
    :return: None when no candidate is within the bound
    """
    login = login[:_MAX_LOGIN]
    # An edit changes one of these pairs at most, so all but `bound` of them are in a candidate
    # that is near enough: most others are passed over at little cost.
    pairs = [login[start : start + 2] for start in range(0, len(login), 2)]
    best: tuple[str, int] | None = None
    by_length = sorted((abs(len(text[:_MAX_LOGIN]) - len(login)), text) for text in candidates)
    for difference, candidate in by_length:
        if difference > bound:
            break  # all others differ more in length alone
        if sum(map(candidate.__contains__, pairs)) < len(pairs) - bound:
            continue
        distance = edit_distance(login, candidate, bound)
        if distance is not None:
            best = (candidate, distance)
            bound = distance - 1
    return best


def edit_distance(one: str, two: str, bound: int) -> int | None:
    """Return the Levenshtein distance of two texts: insertions, deletions and replacements.

    For each number of edits it finds how far they reach along each diagonal (Ukkonen 1985), so
    its cost grows with the square of the bound and not with that of the length.

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
    # four bytes make one character at least, so nothing before the limit is cut in two
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
