"""Which addresses a webhook may be sent to, and the form of its messages."""

from datetime import datetime, timezone
from unittest.mock import patch

import pytest
import standardwebhooks

from odoo.addons.auth_integration.tools.delivery import https_client, signatures
from odoo.addons.auth_integration.tools.integration import networks

INSIDE = """127.0.0.1 10.1.2.3 172.16.0.1 192.168.1.1 169.254.169.254 100.64.0.1 0.0.0.0
    224.0.0.1 255.255.255.255 192.0.2.1 ::1 :: fe80::1 fc00::1 ff02::1 ::ffff:10.0.0.1
    ::ffff:127.0.0.1 ::ffff:224.0.0.1 ::ffff:8.8.8.8 64:ff9b::a00:1 64:ff9b:1::1 2002:a00:1::
    2001:db8::1 192.0.0.192 192.88.99.1 fec0::1 3fff::1""".split()


@pytest.mark.parametrize("address", INSIDE)
def test_inside(address):
    assert not https_client.is_outside(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "8.8.8.8", "2606:4700::1111", "1.1.1.1"])
def test_outside(address):
    assert https_client.is_outside(address)


def resolving(*addresses):
    answers = [(2, 1, 6, "", (address, 443)) for address in addresses]
    return patch.object(https_client.socket, "getaddrinfo", lambda *args, **kwargs: answers)


def connecting():
    socket = https_client.socket
    return patch.object(socket, "create_connection", side_effect=ConnectionRefusedError)


@pytest.mark.parametrize("addresses", [["10.0.0.1"], ["93.184.216.34", "10.0.0.1"], []])
def test_a_name_with_any_address_inside_is_not_called(addresses):
    """With a public and a private address, an attacker could choose which one is used."""
    with resolving(*addresses), connecting() as connect, pytest.raises(https_client.NotSent):
        https_client.post("https://example.com/", "{}", {})
    connect.assert_not_called()


def test_connects_to_the_very_address_that_was_checked():
    """The name is not resolved again: it may resolve to another address by then."""
    with resolving("93.184.216.34"), connecting() as connect, pytest.raises(https_client.NotSent):
        https_client.post("https://example.com/", "{}", {})
    assert connect.call_args.args[0] == ("93.184.216.34", 443)


def test_allowed_inside():
    with resolving("10.0.0.1"), connecting() as connect, pytest.raises(https_client.NotSent):
        https_client.post("https://in.example/", "{}", {}, networks.parse("10.0.0.0/8"))
    connect.assert_called_once()


@pytest.mark.parametrize(
    "url",
    ["http://example.com", "https://", "https://a:b@c.d/", "https://c.d:x/", "", "https://[::1",
     "https://c.d/\r\nX: y", "https://c.d/ü"],
)
def test_bad_urls(url):
    """They are refused whatever they would resolve to."""
    with resolving("93.184.216.34"), connecting() as connect, pytest.raises(https_client.NotSent):
        https_client.post(url, "{}", {})
    connect.assert_not_called()


def test_signature_is_what_the_library_verifies():
    secret, now = signatures.new_secret(), datetime.now(timezone.utc)
    headers = signatures.headers(secret, "m-1", now, '{"a": 1}')
    assert standardwebhooks.Webhook(secret).verify('{"a": 1}', headers) == {"a": 1}
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(secret).verify('{"a": 2}', headers)


def test_without_the_library(monkeypatch):
    monkeypatch.setattr(signatures, "Webhook", None)
    with pytest.raises(signatures.SignatureError, match="pip install"):
        signatures.headers(signatures.new_secret(), "m", datetime.now(timezone.utc), "{}")


@pytest.mark.parametrize("secret", ["", "whsec_", "c2hvcnQ=", "whsec_" + "A" * 200, "é" * 40])
def test_unusable_secrets(secret):
    with pytest.raises(signatures.SignatureError):
        signatures.check_secret(secret)
