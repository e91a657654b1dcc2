"""What may be logged of a text that a caller sent."""

import re
import time
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from passlib.hash import pbkdf2_sha512

from odoo.addons.auth_integration.tools.attempt import redaction

KEY = "0123456789abcdef0123456789abcdef01234567"
HUGE = 10**7
texts = st.text(st.characters(exclude_categories=()), max_size=60)  # including lone surrogates
noisy = st.text(st.sampled_from('ab\\"\n\r\x00\u2028\u202e\u200b…x\ud800é\U000e0001'), max_size=40)


# -- escape ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("magento", "magento"),
        ("Jürgen 王 😀", "Jürgen 王 😀"),
        ("", ""),
        ("a\nb\r\tc", r"a\x0ab\x0d\x09c"),
        ("a\x00b\x1b[31m\x7f\x85", r"a\x00b\x1b[31m\x7f\x85"),
        ("a\u2028b\u2029c", r"a\u2028b\u2029c"),
        ("\u202etxt\u2066\u200f", r"\u202etxt\u2066\u200f"),
        ("a\u200bb\ufeffc\u00ad", r"a\u200bb\ufeffc\xad"),
        ("\u3164\u2800\ufe0f\u034f", r"\u3164\u2800\ufe0f\u034f"),
        ("\xa0\u3000", r"\xa0\u3000"),
        ("\ud800", r"\ud800"),
        ("\U000e0041", r"\U000e0041"),
        (r"a\nb", r"a\\nb"),
        ('x" cause="', r"x\" cause=\""),
        ("cut off…(9 characters)", r"cut off\u2026(9 characters)"),
        (b"caf\xc3\xa9 \xff\n", r"café \udcff\x0a"),
        (bytearray(b"abc"), "abc"),
        (7, "<int>"),
        (None, "<NoneType>"),
        (["a"], "<list>"),
        ({}, "<dict>"),
    ],
)
def test_escape(text, line):
    assert redaction.escape(text) == line


@pytest.mark.parametrize(
    ("text", "limit", "line"),
    [
        ("abcdef", 6, "abcdef"),
        ("abcdefg", 6, "abcdef…(7 characters)"),
        ("a\nb\nc", 6, r"a\x0ab…(5 characters)"),
        ("\n\n", 3, "…(2 characters)"),
        ("abc", 0, "…(3 characters)"),
        ("", 0, ""),
        (b"abcdefg", 6, "abcdef…(7 bytes)"),
        ("é".encode() * 4, 3, "ééé…(8 bytes)"),
        ("é".encode() * 3, 3, "ééé"),
    ],
)
def test_escape_tells_what_it_cut_off(text, limit, line):
    assert redaction.escape(text, limit) == line


@given(st.one_of(texts, noisy))
def test_escape_gives_one_printable_line_that_can_be_read_back(text):
    line = redaction.escape(text, 10_000)
    assert line.isprintable()
    assert len(line.splitlines()) <= 1
    ascii_line = line.encode("ascii", "backslashreplace")
    assert ascii_line.decode("unicode_escape") == text


@given(st.one_of(texts, noisy), st.integers(0, 30))
def test_escape_cut_off_is_the_start_of_the_whole(text, limit):
    line, _, note = redaction.escape(text, limit).partition("…")
    whole = redaction.escape(text, 10_000)
    assert len(line) <= limit
    assert whole.startswith(line)
    assert note == ("" if line == whole else f"({len(text)} characters)")


@given(st.binary(max_size=60), st.integers(0, 30))
def test_escape_of_bytes_is_printable(data, limit):
    assert redaction.escape(data, limit).isprintable()


# -- clean -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Jürgen\n\u202e", "Jürgen\n\u202e"),
        ("a\x00b\ud800c", "a\ufffdb\ufffdc"),
        (b"caf\xc3\xa9\xff", "café\ufffd"),
        ("", ""),
        (None, None),
        (False, None),
        (True, "<bool>"),
        ({}, "<dict>"),
        ("x" * 10, "x" * 10),
        ("x" * 11, "x" * 9 + "…"),
    ],
)
def test_clean(text, kept):
    assert redaction.clean(text, 10) == kept


@given(st.one_of(texts, noisy, st.binary(max_size=60)), st.integers(0, 30))
def test_clean_can_be_stored(text, limit):
    kept = redaction.clean(text, limit)
    kept.encode("utf-8")
    assert "\x00" not in kept
    assert len(kept) <= limit
    assert redaction.is_storable(kept)


@given(st.one_of(texts, noisy))
def test_is_storable(text):
    try:
        encodable = bool(text.encode() or True)
    except UnicodeEncodeError:
        encodable = False
    assert redaction.is_storable(text) == (encodable and "\x00" not in text)
    assert not redaction.is_storable(text.encode("utf-8", "surrogatepass"))


# -- secrets ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", [KEY, KEY.upper(), "A" * 40, "0" * 40])
def test_the_shape_of_a_key(secret):
    assert redaction.is_key_shaped(secret)


@pytest.mark.parametrize(
    "secret",
    [
        "", KEY[1:], KEY + "0", KEY[1:] + "g", KEY + "\n", " " + KEY[1:], "٣" * 40, "ａ" * 40,
        KEY.encode(), None, False, 7, [KEY],
    ],
)  # fmt: skip
def test_not_the_shape_of_a_key(secret):
    assert not redaction.is_key_shaped(secret)


@given(texts)
def test_what_passlib_compares_can_be_a_password(text):
    for secret in (text, text.encode("utf-8", "surrogatepass")):
        try:
            pbkdf2_sha512.using(rounds=1).hash(secret)
            compared = True
        except UnicodeEncodeError:
            compared = False
        assert redaction.can_be_password(secret) == compared


@pytest.mark.parametrize("size", [4096, 4097])
def test_how_long_a_password_can_be(size):
    for secret in ("é" * size, b"x" * size):
        assert redaction.can_be_password(secret) == (size == 4096)


@pytest.mark.parametrize("secret", [None, False, 12, 1.5, ["x"], {"x": 1}, bytearray(b"x")])
def test_what_is_no_text_can_be_no_password(secret):
    assert not redaction.can_be_password(secret)


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        (f"client/{KEY}", "client/[redacted]"),
        (f"x{KEY.upper()}y", "x[redacted]y"),
        (f"{KEY}{KEY}", "[redacted]"),
        ("Authorization: Bearer abc.def", "Authorization: [redacted] [redacted]"),
        ("sent bearer   abc, sorry", "sent bearer [redacted], sorry"),
        ("Basic bWFnZW50bzpodW50ZXIy", "Basic [redacted]"),
        ("/x?api_key=hunter2&a=1", "/x?api_key=[redacted]&a=1"),
        ("/x?a=1&password=[hunter2];b=2", "/x?a=1&password=[redacted];b=2"),
        ("/x?access_token=hunter2#top", "/x?access_token=[redacted]"),
        ("/x?token%3Dhunter2", "/x?token%3D[redacted]"),
        ("PASSWORD : hunter2", "PASSWORD : [redacted]"),
        ('{"password": "hunter 2", "a": 1}', '{"password": [redacted], "a": 1}'),
        ("x-auth-token=hunter2 client/1", "x-auth-token=[redacted] client/1"),
        ("session_id=hunter2; lang=en", "session_id=[redacted]; lang=en"),
        ("https://magento:hunter2@erp.example.com/x", "https://[redacted]@erp.example.com/x"),
        ("/web/hook/5b9fc8a4-8d39-4b5c-a1fb-8b7c1c4c9f34?a=1", "/web/hook/[redacted]?a=1"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIx.sig-x", "[redacted]"),
        ("uses ghp_abcdefABCDEF0123456789 here", "uses [redacted] here"),
        ("sk_live_4eC39HqLyjWDarjtT1", "[redacted]"),
        ("hvs.CAESIJ", "[redacted]"),
        # harmless
        ("python-requests/2.31.0", "python-requests/2.31.0"),
        ("/json/2/res.partner/search_read", "/json/2/res.partner/search_read"),
        ("/json/2/res.users.apikeys/search?limit=1", "/json/2/res.users.apikeys/search?limit=1"),
        ("Mozilla/5.0 (X11; Linux x86_64)", "Mozilla/5.0 (X11; Linux x86_64)"),
        ("a" * 39, "a" * 39),
        ("", ""),
        (b"token=\xffhunter2", "token=[redacted]"),
        (7, "<int>"),
    ],
)
def test_scrub(text, scrubbed):
    assert redaction.scrub(text) == scrubbed
    assert redaction.scrub(scrubbed) == scrubbed


@given(texts, texts, st.integers(0, 100))
def test_scrub_never_leaves_part_of_a_key(before, after, limit):
    scrubbed = redaction.scrub(f"{before} {KEY} {after}", limit)
    assert len(scrubbed) <= limit
    assert not re.search(r"0123456789abcdef|9abcdef0123", scrubbed)


def test_scrub_leaves_no_key_that_its_limit_cuts():
    for limit in range(len(KEY) + 10):
        for text in (f"agent {KEY}", f"x {KEY} {KEY} {KEY}", f"token={KEY}", f"Bearer {KEY}"):
            scrubbed = redaction.scrub(text, limit)
            assert len(scrubbed) <= limit
            assert "0123" not in scrubbed, (text, limit)


@given(st.one_of(texts, noisy))
def test_scrub_twice_changes_nothing(text):
    once = redaction.scrub(text)
    assert redaction.scrub(once) == once


# -- logins that do not exist ----------------------------------------------------------------------

DAY_KEY = b"changed every day"


def describe(login, *candidates):
    return redaction.describe_unknown_login(login, candidates, DAY_KEY)


@pytest.mark.parametrize(
    ("login", "candidates", "described"),
    [
        ("magneto-api", ["magento-api"], '11 characters, nearest "magento-api" at distance 2'),
        ("magento", ["magentoo", "magento2x"], '7 characters, nearest "magentoo" at distance 1'),
        ("Magento ", ["magento"], '8 characters, same as "magento" but for capitals or spaces'),
        ("magento", ["shopify"], "7 characters"),
        ("magento", [], "7 characters"),
        # two of five are more than a third
        ("mgnto", ["mgxxo"], "5 characters"),
        ("ab", ["abc"], "2 characters"),
        ("x", ["y"], "1 character"),
        ("", ["magento"], "0 characters"),
        # a typing error has at most four mistakes, however long the login
        ("m" * 30, ["m" * 25], "30 characters"),
        ("m" * 30, ["m" * 26], f'30 characters, nearest "{"m" * 26}" at distance 4'),
        # a candidate cannot forge the text, either
        ("magento\n", ["magento\nx"], '8 characters, nearest "magento\\x0ax" at distance 1'),
    ],
)  # fmt: skip
def test_an_unknown_login_is_described(login, candidates, described):
    text = describe(login, *candidates)
    assert re.fullmatch(re.escape(f"unknown login ({described}, #") + r"[0-9a-f]{4}\)", text)


def test_repeats_correlate_while_the_key_lasts():
    assert describe("hunter2") == describe("hunter2")
    assert describe("hunter2") != describe("hunter3")
    assert describe("hunter2") != redaction.describe_unknown_login("hunter2", (), b"next day")


def test_the_order_of_the_logins_does_not_matter():
    logins = ["magenta", "magentb", "magentoo", "magent"]
    described = {describe("magento", *order) for order in permutations(logins)}
    assert len(described) == 1
    assert 'nearest "magenta" at distance 1' in described.pop()


@pytest.mark.parametrize("login", [None, 7, ["a"], {}, b"magento", True])
def test_a_login_of_another_type(login):
    assert describe(login, "magento") == f"unknown login (<{type(login).__name__}>)"


def test_an_empty_key_is_refused():
    with pytest.raises(ValueError, match="empty"):
        redaction.describe_unknown_login("magento", [], b"")


@given(texts.filter(lambda text: len(text) > 3))
def test_a_login_is_never_kept_as_typed(login):
    described = redaction.describe_unknown_login(f"{login}\x01{login}", ["magento"], DAY_KEY)
    assert described.isprintable()
    assert re.fullmatch(r"unknown login \(\d+ characters, #[0-9a-f]{4}\)", described)


@given(texts.filter(lambda text: len(text) > 3))
def test_a_database_is_described_without_its_name(name):
    described = redaction.describe_unknown_database(f"{name}\x01{name}", "live")
    assert re.fullmatch(r"unknown database \(\d+ characters\)", described)
    described = redaction.describe_unknown_database("lives", "live")
    assert described == 'unknown database (5 characters, nearest "live" at distance 1)'


def plain_distance(one, two):
    """Return the Levenshtein distance with the textbook algorithm."""
    row = list(range(len(two) + 1))
    for index, char in enumerate(one, 1):
        above, row[0] = row[:], index
        for column, other in enumerate(two, 1):
            row[column] = min(
                above[column] + 1, row[column - 1] + 1, above[column - 1] + (char != other)
            )
    return row[-1]


words = st.text(st.sampled_from("abc"), max_size=12)


@given(words, words, st.integers(0, 12))
def test_edit_distance_agrees_with_the_textbook(one, two, bound):
    distance = plain_distance(one, two)
    assert redaction.edit_distance(one, two, bound) == (distance if distance <= bound else None)


@given(words, st.lists(words, max_size=8), st.integers(0, 6))
def test_nearest_is_the_smallest_distance(login, candidates, bound):
    distances = [plain_distance(login, candidate) for candidate in candidates]
    found = redaction.nearest(login, candidates, bound)
    if found is None:
        assert all(distance > bound for distance in distances)
    else:
        assert found[1] == min(distances) <= bound
        assert plain_distance(login, found[0]) == found[1]


# -- input of any size -----------------------------------------------------------------------------


def seconds(function, *args):
    start = time.perf_counter()
    function(*args)
    return time.perf_counter() - start


@pytest.mark.parametrize(
    "unit",
    ["a", "\x00", " ", "\ud800", "key", "pass-", "://a", "eyJ.", "bearer ", "token=", "xox--"],
)
def test_ten_megabytes_are_looked_at_in_part_only(unit):
    """Every function takes a millisecond or two; processing everything would take hundreds."""
    text = unit * (HUGE // len(unit))
    data = text.encode("utf-8", "surrogatepass")
    for function in (redaction.escape, redaction.clean, redaction.scrub):
        assert min(seconds(function, text) for _again in range(3)) < 0.05, function
        assert min(seconds(function, data) for _again in range(3)) < 0.05, function
    assert min(seconds(redaction.is_key_shaped, text) for _again in range(3)) < 0.05
    candidates = [f"{text[:100]}{number}" for number in range(100)]
    assert seconds(redaction.describe_unknown_login, text, candidates, DAY_KEY) < 0.5


def test_five_thousand_logins_are_compared_quickly():
    logins = [f"{name}{number}@example.com" for name in ("anna", "bo") for number in range(2500)]
    for login in ("anna.mueller@example.com", "bernd17@exampel.com"):
        assert min(seconds(describe, login, *logins) for _again in range(3)) < 0.5


KEY = "0123456789abcdefABCDEF0123456789abcdef01"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (f"for the shop: {KEY}", "for the shop: [removed]"),
        (f"{KEY}{KEY}", "[removed]"),
        (f"({KEY.upper()})", "([removed])"),
        (f"x{KEY}y", "x[removed]y"),
        ("signed with whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "signed with [removed]"),
        ("seed JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", "seed [removed]"),
        ("Basic rights; password: none", "Basic rights; password: none"),
        (KEY[:39], KEY[:39]),
        ("", ""),
    ],
)
def test_pasted_keys_are_removed(text, kept):
    """Only keys are removed: the rest is what a person wrote."""
    assert redaction.remove_keys(text) == kept
    assert redaction.remove_keys(kept) == kept
