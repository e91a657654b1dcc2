"""Which counters a guess adds to: by login and address, by address, and by login alone.

A counter is found by a keyed hash. A login is never kept as it was typed (people type passwords
into the wrong field), and neither are addresses.
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
# The limits of an address, and of a login over all addresses, are so many times that of a pair.
WIDE_FACTOR = 10
_KEY_SIZE = 16
_MAX_LOGIN = 4096  # characters that are hashed, after the length
# What a directory does not compare (RFC 4518, 2.2): marks, format and control characters, and two
# of other kinds. Accents are among the marks: some directories ignore them.
_IGNORED_CATEGORIES = frozenset(("Mn", "Me", "Cf", "Cc"))
_IGNORED = frozenset("\u1806\ufffc")


class Counter(NamedTuple):
    """A counter and its limit.

    :ivar key: what it is found by
    :ivar maximum: failures after which further tries are refused
    """

    key: bytes
    maximum: int


class Counters(NamedTuple):
    """All counters of one try.

    :ivar pair: of this login from this address
    :ivar login: of this login from all addresses
    :ivar addresses: of the networks that the address is in, whichever login
    """

    pair: Counter
    login: Counter
    addresses: tuple[Counter, ...]

    @property
    def wide(self) -> tuple[Counter, ...]:
        """Those that a known pair of login and address is not subject to."""
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
    :param address: the caller's; callers whose address is not known share one
    :param failures: the limit of a login and address
    :param exempt: networks whose addresses are not limited as such
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
    """Return the networks that guesses from an address are counted by, the narrowest first.

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
    """Return the login that core finds a user by: of a number, its digits.

    :param login: as sent, None and False when there is none
    :return: None for what is no login: core would find the user of any login in a list
    """
    if login is None or login is False:
        return ""
    if isinstance(login, (int, float)):
        return str(login)
    return login if isinstance(login, str) else None


def normalized(login: str) -> str:
    """Return a login as directories compare it, or one account could be guessed under many names.

    LDAP ignores case, outer and repeated spaces, and characters that cannot be seen.
    """
    text = login[:_MAX_LOGIN]
    for _turn in range(2):  # either may leave work for the other
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
