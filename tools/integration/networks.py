"""Lists of allowed networks: reading them as people write them, and matching addresses.

An IPv4 address and the same address mapped into IPv6 (``::ffff:192.0.2.7``, which a server sees
that listens on both) are one address everywhere in this module.
"""

from __future__ import annotations

import contextlib
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    collapse_addresses,
    ip_address,
    ip_network,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_MAPPED_BITS = 96  # length of the prefix ::ffff:0:0/96, which holds all of IPv4
_MAX_ADDRESS = 64  # characters; the longest written address has 45, a zone id some more


class NetworkError(ValueError):
    """An entry of a list of networks that cannot be used.

    Its text is English and says how to correct the entry; the parts allow another wording.

    :ivar line: number of the line, from 1
    :ivar entry: the entry as written, without surrounding space
    :ivar suggestion: the network that was probably meant, or None
    """

    def __init__(self, line: int, entry: str, problem: str, suggestion: str | None = None):
        self.line = line
        self.entry = entry
        self.suggestion = suggestion
        super().__init__(f"line {line}: {entry[:100]!r} {problem}")


def parse(text: str | None) -> tuple[Network, ...]:
    """Read a list of networks: one CIDR or address per line, or several with commas between them.

    Everything from a ``#`` to the end of its line is a comment. Example::

        10.0.0.0/8          # data centre, old and new
        192.0.2.7, 2001:db8:4::/48

    :param text: the list; None, False and blank text are the empty list
    :return: the networks in the order written, each once; IPv4 mapped into IPv6 as IPv4
    :raise NetworkError: at the first entry that is no network or has host bits set. These are
        never dropped silently, since ``10.0.0.5/8`` may have meant one host or sixteen million.
    """
    entries: dict[Network, None] = {}
    for number, line in enumerate((text or "").splitlines(), start=1):
        for entry in line.partition("#")[0].split(","):
            if entry := entry.strip():
                entries[_unmapped(_read_entry(number, entry))] = None
    return tuple(entries)


@lru_cache(maxsize=1024)
def parse_cached(text: str | None) -> tuple[Network, ...]:
    """Do as :func:`parse`, remembering the last 1,024 lists. An error is not remembered."""
    return parse(text)


def contains(networks: tuple[Network, ...], address: str | None) -> bool:
    """Tell whether an address lies in one of the networks.

    ``::/0`` means all of IPv6 and no IPv4, however the IPv4 address is written.

    :param networks: from :func:`parse`; empty means any address, a missing one included
    :param address: IPv4 or IPv6 text, a zone id (``%eth0``) is ignored
    :return: False for an address that is missing or no address
    """
    if not networks:
        return True
    parsed = _read_address(address)
    if parsed is None:
        return False
    return any(parsed in network for network in networks)  # another IP version is never "in"


def one_line(text: str | None) -> str:
    """Return a list as text in one line, as it is read; '' where any address is allowed.

    A network of one address is written as that address.
    """
    return ", ".join(
        str(network.network_address if network.num_addresses == 1 else network)
        for network in parse(text)
    )


def is_within(inner: tuple[Network, ...], outer: tuple[Network, ...]) -> bool:
    """Tell whether one list allows no address that another does not allow.

    :param inner: from :func:`parse`; empty means any address
    :param outer: likewise
    """
    if not outer:
        return True
    whole = [
        network
        for kind in (IPv4Network, IPv6Network)
        for network in collapse_addresses(entry for entry in outer if isinstance(entry, kind))
    ]
    return bool(inner) and all(
        any(type(entry) is type(network) and entry.subnet_of(network) for network in whole)
        for entry in inner
    )


def is_wider(new: str, old: str) -> bool:
    """Tell whether a list, as text, allows an address that another one does not allow."""
    if new == old:
        return False
    try:
        return not is_within(parse(new), parse(old))
    except ValueError:  # the old list comes from elsewhere
        return True


def normalize(address: str | None) -> str:
    """Return the one canonical text of an address, '' when it is none.

    IPv6 comes out compressed and in small letters, IPv4 mapped into IPv6 as IPv4, without zone id.
    """
    parsed = _read_address(address)
    return "" if parsed is None else str(parsed)


@lru_cache(maxsize=1024)
def normalize_cached(address: str) -> str:
    """Do as :func:`normalize`, remembering the last 1,024 addresses: of every call it is asked."""
    return normalize(address)


def _read_entry(line: int, entry: str) -> Network:
    if "%" in entry:
        raise NetworkError(line, entry, "has a zone ID: remove '%' and everything after it")
    with contextlib.suppress(ValueError):
        return ip_network(entry)
    try:
        meant = str(ip_network(entry, strict=False))
    except ValueError:
        raise NetworkError(
            line, entry, "is not an IP address or CIDR range, such as 192.0.2.7 or 2001:db8::/32"
        ) from None
    raise NetworkError(line, entry, f"has host bits set: did you mean {meant}?", meant)


def _unmapped(network: Network) -> Network:
    """Return a network within ``::ffff:0:0/96`` as the IPv4 network it stands for."""
    if isinstance(network, IPv6Network) and network.prefixlen >= _MAPPED_BITS:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((mapped, network.prefixlen - _MAPPED_BITS))
    return network


def _read_address(address: str | None) -> Address | None:
    if not isinstance(address, str) or len(address) > _MAX_ADDRESS:
        return None
    return _read_short_text(address)


@lru_cache(maxsize=1024)
def _read_short_text(address: str) -> Address | None:
    try:
        parsed = ip_address(address.strip().partition("%")[0])
    except ValueError:
        return None
    return getattr(parsed, "ipv4_mapped", None) or parsed
