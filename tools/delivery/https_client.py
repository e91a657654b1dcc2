"""Send one POST to an address that a user entered, without reaching internal networks.

HTTPS only; redirects are not followed and proxies are not used. The name is resolved once, every
address is checked, and the connection uses a checked address, so a name that resolves differently a
moment later reaches nothing inside the network.
"""

import contextlib
import http.client
import ipaddress
import socket
import ssl
import threading
from urllib.parse import urlsplit

from ..integration import networks

CONNECT_TIMEOUT = 10  # seconds
ANSWER_TIMEOUT = 30
# Addresses that embed another address: they reach a host other than they seem to.
_TRANSLATED = tuple(
    ipaddress.ip_network(network)
    for network in ("::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16")
)
# Special in IANA's registry, but public for the ipaddress module of some Python versions: protocol
# assignments (which include a cloud's metadata), relays, documentation, formerly private networks.
_SPECIAL = tuple(
    ipaddress.ip_network(network)
    for network in ("192.0.0.0/24", "192.88.99.0/24", "3fff::/20", "fec0::/10")
)


class NotSent(Exception):
    """Nothing left this server; the message says why."""


class NoAnswer(Exception):
    """The request may have arrived; the message says what happened."""


def check_url(url: str) -> None:
    """Check the form of a URL.

    :raise ValueError: the URL is not valid; the message says why
    """
    parts = urlsplit(url)
    if parts.scheme != "https":
        raise ValueError("The address must start with https://.")
    if not parts.hostname:
        raise ValueError("The address has no host.")
    if parts.username is not None or parts.password is not None:
        raise ValueError("The address must not contain a user name or password.")
    if any(character <= " " for character in url):
        raise ValueError("The address contains a space or control character.")
    if not (parts.path + parts.query).isascii():
        raise ValueError("The address contains a letter that must be written as %xx.")
    parts.port  # noqa: B018  # raises ValueError if it is invalid


def is_outside(address: str) -> bool:
    """Whether an address is public and belongs to one host."""
    ip = ipaddress.ip_address(address)
    if any(ip in network for network in (*_TRANSLATED, *_SPECIAL)):  # False for another version
        return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)


class _CheckedConnection(http.client.HTTPSConnection):
    """A connection to a checked address, with TLS for the requested host name."""

    def __init__(self, host, port, allowed):
        super().__init__(
            host, port, timeout=CONNECT_TIMEOUT, context=ssl.create_default_context()
        )
        self._allowed = allowed

    def connect(self):
        # Mirrors http.client.HTTPSConnection.connect, with a check of the resolved addresses.
        address = self._checked_address()
        plain = socket.create_connection((address, self.port), self.timeout)
        try:
            self.sock = self._context.wrap_socket(
                plain, server_hostname=self.host, do_handshake_on_connect=False
            )
        except BaseException:
            plain.close()
            raise
        with _deadline(CONNECT_TIMEOUT, self.sock):
            self.sock.do_handshake()
        self.sock.settimeout(ANSWER_TIMEOUT)

    def _checked_address(self):
        found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(info[4][0] for info in found))
        for address in addresses:
            allowed = self._allowed and networks.contains(self._allowed, address)
            if not allowed and not is_outside(address):
                raise NotSent(
                    f"{self.host} has the internal address {address}. An administrator can"
                    " allow it in the system parameter"
                    " auth_integration.webhook_allowed_networks."
                )
        if not addresses:
            raise NotSent(f"{self.host} has no address.")
        return addresses[0]


def post(url: str, body: str, headers: dict, allowed=()) -> int:
    """Send one request and return the status of the response; the response body is not read.

    :param allowed: networks from :func:`networks.parse` that may be reached although internal
    :raise NotSent: an invalid address, no connection, or an invalid certificate
    :raise NoAnswer: sent at least in part, but no response came
    """
    try:
        check_url(url)
    except ValueError as error:
        raise NotSent(str(error)) from error
    parts = urlsplit(url)
    connection = _CheckedConnection(parts.hostname, parts.port or 443, allowed)
    with contextlib.closing(connection):
        try:
            connection.connect()
        except NotSent:
            raise
        except ssl.SSLCertVerificationError as error:
            raise NotSent(f"Its certificate is not valid: {error.verify_message}") from error
        except (OSError, UnicodeError) as error:
            raise NotSent(f"No connection to {parts.hostname}: {_error_text(error)}") from error
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            with _deadline(ANSWER_TIMEOUT, connection.sock):
                connection.request(
                    "POST", path, body.encode(), {"Content-Type": "application/json", **headers}
                )
                return connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            raise NoAnswer(f"No response from {parts.hostname}: {_error_text(error)}") from error


@contextlib.contextmanager
def _deadline(seconds, sock):
    """Shut a connection down after some seconds.

    Its own timeout restarts with every received byte.
    """

    def cut_off():
        with contextlib.suppress(OSError):  # the socket has just been closed
            socket.socket.shutdown(sock, socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut_off)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _error_text(error):
    return getattr(error, "strerror", None) or type(error).__name__
