"""The counters of a guess: by login and address, by address, and by login alone.

Counters are found by a keyed hash. Logins are never stored as typed (people type passwords into the
wrong field), and neither are addresses.
"""

from __future__ import annotations

import hashlib
import hmac
import unicodedata
from ipaddress import ip_address, ip_network
from typing import NamedTuple

from ..integration import networks

# An IPv6 customer has a /64 at least, and often a /48.
IPV6_PREFIXES = (64, 48)
# The limits of an address, and of a login over all addresses, are this many times that of a pair.
WIDE_FACTOR = 10
_KEY_SIZE = 16
_MAX_LOGIN = 4096  # characters that are hashed
# Characters that a directory ignores in comparisons (RFC 4518, 2.2): marks, format and control
# characters, and two others. Accents are marks: some directories ignore them.
_IGNORED_CATEGORIES = frozenset(("Mn", "Me", "Cf", "Cc"))
_IGNORED = frozenset("\u1806\ufffc")


class Counter(NamedTuple):
    """A counter and its limit.

    :ivar key: key of its row in the database
    :ivar maximum: failures after which further tries are rejected
    """

    key: bytes
    maximum: int


class Counters(NamedTuple):
    """All counters of one try.

    :ivar pair: of this login from this address
    :ivar login: of this login from all addresses
    :ivar addresses: of the networks that contain the address, for any login
    """

    pair: Counter
    login: Counter
    addresses: tuple[Counter, ...]

    @property
    def wide(self) -> tuple[Counter, ...]:
        """The counters that do not limit a known pair of login and address."""
        return (self.login, *self.addresses)


def counters_of(
    secret: bytes,
    login: str,
    address: str | None,
    failures: int,
    exempt: tuple[networks.Network, ...] = (),
) -> Counters:
    """Return the counters of a try.

    :param secret: key of the hashes
    :param login: as sent
    :param address: the caller's; callers with an unknown address share one counter
    :param failures: the limit of a pair of login and address
    :param exempt: networks whose addresses have no counters of their own
    """
    found = networks_of(address)
    wide = WIDE_FACTOR * failures
    is_exempt = bool(exempt) and networks.contains(exempt, address)
    return Counters(
        pair=Counter(_hash(secret, "pair", normalized(login), found[0]), failures),
        login=Counter(login_key(secret, login), wide),
        addresses=()
        if is_exempt
        else tuple(Counter(_hash(secret, "address", network), wide) for network in found),
    )


def login_key(secret: bytes, login: str) -> bytes:
    """Return the key of the counter of a login over all addresses."""
    return _hash(secret, "login", normalized(login))


def address_keys(secret: bytes, address: str | None) -> list[bytes]:
    """Return the keys of the counters of an address."""
    return [_hash(secret, "address", network) for network in networks_of(address)]


def networks_of(address: str | None) -> list[str]:
    """Return the networks under which guesses from an address are counted, the narrowest first.

    Example::

        networks_of("192.0.2.7")      # ["192.0.2.7"], also for "::ffff:192.0.2.7"
        networks_of("2001:db8:1:2::3")  # ["2001:db8:1:2::/64", "2001:db8:1::/48"]
        networks_of("unknown")        # ["unknown"]
    """
    plain = networks.normalize(address)
    if not plain:
        return ["unknown"]
    if ip_address(plain).version == 4:
        return [plain]
    return [str(ip_network((plain, prefix), strict=False)) for prefix in IPV6_PREFIXES]


def login_text(login: object) -> str | None:
    """Return the login by which core finds a user: for a number, its digits.

    :param login: as sent, None and False when there is none
    :return: None for any other type: given a list, core would find the user of any login in it
    """
    if login is None or login is False:
        return ""
    if isinstance(login, (int, float)):
        return str(login)
    return login if isinstance(login, str) else None


def normalized(login: str) -> str:
    """Return a login in the form in which directories compare it.

    LDAP ignores case, outer and repeated spaces, and invisible characters. Otherwise one account
    could be guessed under many names.
    """
    text = login[:_MAX_LOGIN]
    for _turn in range(2):  # the result of each step may need the other one again
        text = unicodedata.normalize("NFKD", text.casefold())
    return " ".join("".join(filter(_is_compared, text)).split())


def _is_compared(char):
    if char in _IGNORED:
        return False
    return char.isspace() or unicodedata.category(char) not in _IGNORED_CATEGORIES


def _hash(secret, *parts):
    text = "\0".join(f"{len(part)}:{part}" for part in parts)
    digest = hmac.new(secret, text.encode("utf-8", "surrogatepass"), hashlib.sha256)
    return digest.digest()[:_KEY_SIZE]
