"""Users who see a key in a list, or who get one, see what it may do."""

from pathlib import Path

import pytest
from lxml import etree

ROOT = Path(__file__).resolve().parents[3]
DIALOGS = {
    "rotation/auth_integration_claim_views.xml": "access_summary",
    "key/auth_integration_issue_views.xml": "access",
    "access/auth_integration_access_views.xml": "access",
}


def lists_of_keys():
    """Yield each list and kanban view of keys, recognized by their status and liveness fields."""
    for path in sorted([*ROOT.glob("views/**/*.xml"), *ROOT.glob("wizard/**/*.xml")]):
        for node in etree.parse(path).iter("list", "kanban"):
            fields = set(node.xpath(".//field/@name"))
            if {"status", "is_live"} <= fields:
                yield f"{path.name}:{node.sourceline}", fields


def test_every_list_of_keys():
    found = dict(lists_of_keys())
    assert len(found) >= 5
    assert [name for name, fields in found.items() if "access_summary" not in fields] == []


@pytest.mark.parametrize("name", DIALOGS)
def test_every_dialog_about_one(name):
    [path] = ROOT.glob(f"wizard/**/{name}")
    tree = etree.parse(path)
    assert DIALOGS[name] in tree.xpath("//field/@name")
