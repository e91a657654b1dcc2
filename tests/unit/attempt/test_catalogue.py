"""docs/causes.rst is what the registry of causes and doctor.py say, and is proper text."""

import re

import pytest

import catalogue
from odoo.addons.auth_integration.tools.attempt import causes


def test_it_has_not_drifted():
    assert catalogue.CATALOGUE.read_text(encoding="utf-8") == catalogue.render(), (
        "docs/causes.rst is stale -> make catalogue"
    )


def test_every_cause_is_in_it_once():
    titles = re.findall(r"^``(\w+)``: ", catalogue.render(), re.M)
    assert sorted(titles) == sorted(causes.CAUSES)


def test_a_cause_without_a_chapter_is_not_forgotten(monkeypatch):
    monkeypatch.setattr(catalogue, "CHAPTERS", catalogue.CHAPTERS[:-1])
    with pytest.raises(SystemExit, match="internal_error"):
        catalogue.render()


def test_it_is_proper_text():
    """docutils has nothing to say against it."""
    core = pytest.importorskip("docutils.core")
    core.publish_string(
        catalogue.render(), writer_name="null",
        settings_overrides={"halt_level": 2, "report_level": 2},
    )
