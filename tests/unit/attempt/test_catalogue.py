"""docs/causes.rst equals the registries and doctor.py, and every code is in the guide."""

import re

from dev import catalogue
from odoo.addons.auth_integration.tools.attempt import causes
from odoo.addons.auth_integration.tools.health import findings, guide
from odoo.addons.auth_integration.tools.incident import kinds


def test_it_has_not_drifted():
    assert catalogue.CATALOGUE.read_text(encoding="utf-8") == catalogue.render(), (
        "docs/causes.rst is stale -> make catalogue"
    )


def test_every_cause_is_in_it_once():
    """A cause without a chapter would be missing."""
    titles = re.findall(r"^``(\w+)``: ", catalogue.render(), re.M)
    assert sorted(titles) == sorted(causes.CAUSES)


def test_every_anchor_that_a_record_may_have():
    anchors = [entry.anchor for _title, entries in guide.chapters() for entry in entries]
    events = [kind.code for kind in kinds.KINDS.values() if kind.is_event]
    assert sorted(anchors) == sorted([
        *map(guide.cause_anchor, causes.CAUSES),
        *map(guide.event_anchor, events),
        *(guide.issue_anchor(kind.code) for kind in findings.KINDS),
    ])
    assert len(anchors) == len(set(anchors))


def test_no_placeholder_is_left():
    assert "%(" not in catalogue.render()
    assert "confirm_move to the value that the issue shows." in catalogue.render()
