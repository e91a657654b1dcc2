"""Lists of allowed networks: parse them and match addresses.

An IPv4 address and the same address mapped into IPv6 (``::ffff:192.0.2.7``, as seen by a server
that listens on both) are treated as one address everywhere in this module.
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
    """An unusable entry in a list of networks.

    Its message is English and says how to correct the entry; the attributes allow another wording.

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
    """Parse a list of networks: one CIDR or address per line, or several separated by commas.

    Everything from a ``#`` to the end of its line is a comment. Example::

        10.0.0.0/8          # data centre, old and new
        192.0.2.7, 2001:db8:4::/48

    :param text: the list; None, False and blank text are the empty list
    :return: the networks in the order written, each once; IPv4 mapped into IPv6 as IPv4
    :raise NetworkError: at the first entry that is not a network or has host bits set. Such entries
        are never dropped silently, since ``10.0.0.5/8`` may mean one host or sixteen million.
    """
    entries: dict[Network, None] = {}
    for number, line in enumerate((text or "").splitlines(), start=1):
        for entry in line.partition("#")[0].split(","):
            if entry := entry.strip():
                entries[_unmapped(_read_entry(number, entry))] = None
    return tuple(entries)


@lru_cache(maxsize=1024)
def parse_cached(text: str | None) -> tuple[Network, ...]:
    """Like :func:`parse`, but cache the last 1,024 lists. Errors are not cached."""
    return parse(text)


def contains(networks: tuple[Network, ...], address: str | None) -> bool:
    """Whether an address is in one of the networks.

    ``::/0`` means all of IPv6 and no IPv4, however the IPv4 address is written.

    :param networks: from :func:`parse`; empty means any address, even a missing one
    :param address: IPv4 or IPv6 text; a zone ID (``%eth0``) is ignored
    :return: False if the address is missing or invalid
    """
    if not networks:
        return True
    parsed = _read_address(address)
    if parsed is None:
        return False
    return any(parsed in network for network in networks)  # False for another IP version


def one_line(text: str | None) -> str:
    """Return a list as parsed, in one line of text; '' where any address is allowed.

    A network of one address becomes that address.
    """
    return ", ".join(
        str(network.network_address if network.num_addresses == 1 else network)
        for network in parse(text)
    )


def is_within(inner: tuple[Network, ...], outer: tuple[Network, ...]) -> bool:
    """Whether a list allows no address that another list does not allow.

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
    """Whether a list, as text, allows an address that another one does not allow."""
    if new == old:
        return False
    try:
        return not is_within(parse(new), parse(old))
    except ValueError:  # the old list may not have been validated
        return True


def normalize(address: str | None) -> str:
    """Return the canonical text of an address, '' when it is not an address.

    IPv6 is compressed and in lower case, IPv4 mapped into IPv6 becomes IPv4, and a zone ID is
    removed.
    """
    parsed = _read_address(address)
    return "" if parsed is None else str(parsed)


@lru_cache(maxsize=1024)
def normalize_cached(address: str) -> str:
    """Like :func:`normalize`, but cache the last 1,024 addresses, since every call needs it."""
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
    """Return a network within ``::ffff:0:0/96`` as the corresponding IPv4 network."""
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
