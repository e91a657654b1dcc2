"""Lists of allowed networks: what users may write, and which addresses are allowed."""

from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odoo.addons.auth_integration.tools.integration import networks

ipv4 = st.ip_addresses(v=4)
ipv6 = st.ip_addresses(v=6).filter(lambda address: address.ipv4_mapped is None)


def test_lines_commas_and_comments():
    text = """
        # the data centre, old and new
        10.0.0.0/8      # a comment, with a comma
        192.0.2.7,2001:db8:4::/48 ,  # two in one line
        2001:DB8::1
    """
    assert networks.parse(text) == (
        IPv4Network("10.0.0.0/8"),
        IPv4Network("192.0.2.7/32"),
        IPv6Network("2001:db8:4::/48"),
        IPv6Network("2001:db8::1/128"),
    )


@pytest.mark.parametrize("text", [None, False, "", " \n\n", "# nothing", ",, ,"])
def test_nothing_written_is_the_empty_list(text):
    assert networks.parse(text) == ()
    assert networks.parse_cached(text) == ()


def test_an_entry_written_twice_is_kept_once():
    assert len(networks.parse("10.0.0.0/8\n10.0.0.0/255.0.0.0, ::ffff:10.0.0.0/104")) == 1


@pytest.mark.parametrize(
    ("text", "line", "entry", "suggestion"),
    [
        ("10.0.0.5/8", 1, "10.0.0.5/8", "10.0.0.0/8"),
        ("# office\n\n192.0.2.1, 192.0.2.9/24", 3, "192.0.2.9/24", "192.0.2.0/24"),
        ("2001:db8::1/32", 1, "2001:db8::1/32", "2001:db8::/32"),
    ],
)
def test_host_bits_are_refused_with_the_correction(text, line, entry, suggestion):
    with pytest.raises(networks.NetworkError) as caught:
        networks.parse(text)
    error = caught.value
    assert (error.line, error.entry, error.suggestion) == (line, entry, suggestion)
    assert str(error) == f"line {line}: '{entry}' has host bits set: did you mean {suggestion}?"


@pytest.mark.parametrize(
    "entry",
    [
        "example.com", "10.0.0.0/33", "10.0.0", "10.0.0.0/", "/8", "::/129", "10.0.0.0 - 10.0.0.9",
        "010.0.0.1", "10.0.0.0\\8", "fe80::1%eth0", "١٠.٠.٠.٠/٨", "\x1b[2J",
    ],
)  # fmt: skip
def test_anything_else_is_refused_with_its_line(entry):
    with pytest.raises(ValueError, match=r"^line 2: ") as caught:
        networks.parse("10.0.0.0/8\n" + entry)
    assert len(str(caught.value)) < 300
    assert str(caught.value).isprintable()
    assert caught.value.suggestion is None


def test_huge_input():
    assert networks.contains(networks.parse("0.0.0.0/0"), "1" * 10**7) is False
    with pytest.raises(ValueError) as caught:
        networks.parse("1" * 10**6)
    assert len(str(caught.value)) < 300


def test_an_error_is_raised_again_from_the_cache():
    for _again in range(2):
        with pytest.raises(ValueError):
            networks.parse_cached("10.0.0.5/8")
    assert networks.parse_cached("10.0.0.0/8") is networks.parse_cached("10.0.0.0/8")


@pytest.mark.parametrize(
    ("text", "address", "inside"),
    [
        ("10.0.0.0/8", "10.255.255.255", True),
        ("10.0.0.0/8", "11.0.0.0", False),
        ("10.0.0.0/8", " 10.1.2.3 ", True),
        ("192.0.2.7", "192.0.2.7", True),
        ("192.0.2.7", "192.0.2.8", False),
        ("10.0.0.0/8, 192.0.2.0/24", "192.0.2.1", True),
        ("2001:db8::/32", "2001:0DB8:0:0::1", True),
        ("2001:db8::/32", "2001:db9::1", False),
        # IPv4 mapped into IPv6, on either side
        ("10.0.0.0/8", "::ffff:10.1.2.3", True),
        ("10.0.0.0/8", "::ffff:a01:203", True),
        ("::ffff:10.0.0.0/104", "10.1.2.3", True),
        ("::ffff:10.0.0.0/104", "::ffff:10.1.2.3", True),
        ("::ffff:10.0.0.0/104", "::ffff:11.1.2.3", False),
        ("::ffff:0:0/96", "192.0.2.1", True),
        # all addresses of one version are not all of the other
        ("::/0", "2001:db8::1", True),
        ("::/0", "192.0.2.1", False),
        ("::/0", "::ffff:192.0.2.1", False),
        ("0.0.0.0/0", "::1", False),
        ("0.0.0.0/0", "::ffff:192.0.2.1", True),
        ("fe80::/10", "fe80::1%eth0", True),
        # not an address
        ("0.0.0.0/0", None, False),
        ("0.0.0.0/0", "", False),
        ("0.0.0.0/0", "n/a", False),
        ("0.0.0.0/0", "10.0.0.1:8069", False),
        ("0.0.0.0/0", "10.0.0.1, 192.0.2.1", False),
        ("0.0.0.0/0", 167772161, False),
        ("0.0.0.0/0", b"\x0a\x00\x00\x01", False),
        ("0.0.0.0/0", "10.0.0.1\x00", False),
    ],
)
def test_contains(text, address, inside):
    assert networks.contains(networks.parse(text), address) is inside


def test_in_one_line_a_single_host_is_an_address():
    text = "10.0.0.0/8  # here\n192.0.2.7/32, 2001:db8::1/128\n::ffff:192.0.2.8"
    assert networks.one_line(text) == "10.0.0.0/8, 192.0.2.7, 2001:db8::1, 192.0.2.8"


@pytest.mark.parametrize("address", ["192.0.2.1", "::1", "n/a", "", None])
def test_an_empty_list_lets_any_address_through(address):
    assert networks.contains((), address) is True


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:0DB8:0000::0001", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        (" 192.0.2.1\n", "192.0.2.1"),
        ("192.0.2.256", ""),
        ("", ""),
        (None, ""),
        (7, ""),
    ],
)
def test_normalize(address, text):
    assert networks.normalize(address) == text


@given(ipv4, st.integers(0, 32))
def test_a_network_contains_its_addresses_however_written(address, length):
    text = str(ip_network((address, length), strict=False))
    mapped = IPv6Address((0xFFFF << 32) + int(address))
    for written in (str(address), str(mapped), mapped.exploded):
        assert networks.contains(networks.parse(text), written)
        assert networks.normalize(written) == str(address)


@given(st.one_of(ipv4, ipv6), st.one_of(ipv4, ipv6), st.data())
def test_contains_agrees_with_arithmetic(address, base, data):
    bits = base.max_prefixlen
    length = data.draw(st.integers(0, bits))
    text = str(ip_network((base, length), strict=False))
    shift = bits - length
    expected = address.version == base.version and int(address) >> shift == int(base) >> shift
    assert networks.contains(networks.parse(text), str(address)) is expected


@given(st.text(max_size=60))
def test_any_text_is_a_list_or_a_value_error(text):
    try:
        parsed = networks.parse(text)
    except ValueError as error:
        assert str(error).startswith("line ")
    else:
        assert networks.parse("\n".join(map(str, parsed))) == parsed


@given(st.text(max_size=50))
def test_normalize_is_canonical_for_any_text(text):
    normal = networks.normalize(text)
    assert normal == "" or str(ip_address(normal)) == normal


@pytest.mark.parametrize(
    ("inner", "outer", "expected"),
    [
        ("", "", True),
        ("10.0.0.0/8", "", True),
        ("", "10.0.0.0/8", False),
        ("", "0.0.0.0/0\n::/0", False),
        ("10.1.0.0/16", "10.0.0.0/8", True),
        ("10.0.0.0/8", "10.1.0.0/16", False),
        ("10.0.0.0/24", "10.0.0.0/25\n10.0.0.128/25", True),
        ("10.0.0.1\n192.0.2.1", "10.0.0.0/8", False),
        ("2001:db8::/48", "10.0.0.0/8\n2001:db8::/32", True),
        ("10.0.0.1", "::/0", False),
        ("::ffff:10.0.0.1", "10.0.0.0/8", True),
    ],
)
def test_a_list_within_another(inner, outer, expected):
    assert networks.is_within(networks.parse(inner), networks.parse(outer)) is expected


@given(st.lists(ipv4, max_size=3), st.lists(ipv4, max_size=3), ipv4)
def test_within_agrees_with_contains(inner, outer, address):
    inner, outer = (networks.parse("\n".join(map(str, each))) for each in (inner, outer))
    if networks.is_within(inner, outer) and networks.contains(inner, str(address)):
        assert networks.contains(outer, str(address))
