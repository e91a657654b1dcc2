"""The translations are complete, and keep the placeholders and the markup of the texts."""

import re

import polib
import pytest

from dev.common import ROOT

FOLDER = ROOT / "i18n"
LANGUAGES = ["de", "es", "fr", "nl"]
KEPT = re.compile(r"%\(\w+\)[sd]|%[sd]|\{\{.*?\}\}|</?[a-zA-Z][^>]*>|``[^`]+``")
# Translated texts within a tag.
TEXT_OF_TAG = re.compile(r'(title|aria-label|placeholder|alt)="[^"]*"')


@pytest.fixture(scope="module")
def template():
    return polib.pofile(FOLDER / "auth_integration.pot")


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_is_missing(template, language):
    translation = polib.pofile(FOLDER / f"{language}.po")
    done = {entry.msgid for entry in translation.translated_entries()}
    assert not [entry.msgid for entry in template if entry.msgid not in done]
    assert not translation.obsolete_entries()
    assert not translation.fuzzy_entries()


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_is_lost_within_a_text(language):
    lost = [
        (entry.msgid, entry.msgstr)
        for entry in polib.pofile(FOLDER / f"{language}.po").translated_entries()
        if _kept(entry.msgid) != _kept(entry.msgstr)
        or _ends(entry.msgid) != _ends(entry.msgstr)
    ]
    assert not lost


def _kept(text):
    return sorted(TEXT_OF_TAG.sub("", part) for part in KEPT.findall(text))


def _ends(text):
    """Return the white space around a text, which separates it from its neighbors."""
    return text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]


def test_each_translation_is_checked():
    assert sorted(path.stem for path in FOLDER.glob("*.po")) == LANGUAGES
