"""The reference of an attempt: stable, keyed, and readable over the phone."""

import re
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odoo.addons.auth_integration.tools.attempt import references

KEY = b"sixteen bytes ok"
SENT = {
    "minute": datetime(2026, 3, 4, 5, 6),
    "address": "192.0.2.1",
    "channel": "json2",
    "identity": "magento",
}


def reference(key=KEY, **changes):
    return references.reference(key, **{**SENT, **changes})


def test_its_form_and_its_value_do_not_change():
    """References are in logs and tickets: the same attempt must always have the same one."""
    assert reference() == "HG44S-20TNP"


def test_every_part_matters():
    variants = [
        reference(),
        reference(key=KEY[::-1]),
        reference(minute=SENT["minute"] + timedelta(minutes=1)),
        reference(address="192.0.2.2"),
        reference(channel="xmlrpc"),
        reference(identity="magento2"),
        reference(identity=7),
        reference(identity=None),
        # the same characters, split differently
        reference(address="192.0.2.1j", channel="son2"),
        reference(channel="json2m", identity="agento"),
    ]
    assert len(set(variants)) == len(variants)


def test_seconds_and_the_time_zone_do_not_matter():
    assert reference(minute=datetime(2026, 3, 4, 5, 6, 59, 999)) == reference()
    east = timezone(timedelta(hours=2))
    assert reference(minute=datetime(2026, 3, 4, 7, 6, 30, tzinfo=east)) == reference()


def test_what_is_missing_is_like_empty():
    assert reference(address=None) == reference(address="")
    assert reference(identity=None) == reference(identity="")


def test_a_user_id_is_the_same_as_number_and_as_text():
    assert reference(identity=7) == reference(identity="7")


class Hostile:
    def __str__(self):
        raise RuntimeError

    __repr__ = __hash__ = __str__


def test_any_identity_gives_a_reference():
    for identity in (True, 1.5, [], {}, b"x", Hostile(), 10**6000, "\ud800", "x" * 10**7):
        assert references.normalize(reference(identity=identity))


@pytest.mark.parametrize("key", [b"", b"short"])
def test_a_weak_key_is_refused(key):
    with pytest.raises(ValueError):
        reference(key=key)


@given(st.text(), st.text(), st.datetimes())
def test_only_letters_that_cannot_be_misread(identity, address, minute):
    text = reference(identity=identity, address=address, minute=minute)
    assert re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{5}-[0-9A-HJKMNP-TV-Z]{5}", text)


@given(st.text(), st.sampled_from(["", " ", "-", " – ", "."]))
def test_normalize_finds_what_was_meant(identity, separator):
    text = reference(identity=identity)
    typed = f"  {text.lower().replace('-', separator)} "
    misread = typed.replace("0", "o").replace("1", "l")
    assert references.normalize(text) == text
    assert references.normalize(typed) == text
    assert references.normalize(misread) == text
    assert references.normalize(misread.upper()) == text


@pytest.mark.parametrize(
    "text", [None, False, 7, "", "7KQ2M", "7KQ2M-WX94T-X", "7KQ2M-WX9é4", "٣" * 10]
)
def test_normalize_of_anything_else_is_empty(text):
    assert references.normalize(text) == ""
    assert references.normalize("x" * 10**7) == ""


@given(st.text(max_size=30))
def test_normalize_twice_changes_nothing(text):
    normal = references.normalize(text)
    assert references.normalize(normal) == normal
