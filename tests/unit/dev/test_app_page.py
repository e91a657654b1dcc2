"""The page for the app store, and the figures that README.rst and the guides repeat."""

import html.parser
import re

from benchmarks.beside_stock import rows
from dev.common import ROOT
from odoo.addons.auth_integration.tools import settings
from odoo.addons.auth_integration.tools.attempt import causes

PAGE = (ROOT / "static/description/index.html").read_text(encoding="utf-8")
README = (ROOT / "README.rst").read_text(encoding="utf-8")


class Elements(html.parser.HTMLParser):
    """Collects the elements of the page."""

    def __init__(self):
        super().__init__()
        self.found = []
        self.feed(PAGE)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def test_no_script_and_nothing_from_elsewhere():
    for tag, attributes in Elements().found:
        assert tag not in ("script", "link", "style", "iframe"), tag
        assert not any(name.startswith("on") for name in attributes), attributes
        assert ":" not in attributes.get("src", ""), attributes
        assert tag != "img" or attributes["alt"]


def test_number_of_causes():
    for text in (PAGE, README):
        assert {int(number) for number in re.findall(r"one of (\d+) causes", text)} == {
            len(causes.CAUSES)
        }


def test_figures_of_the_benchmark():
    """The guide promises what ``make bench`` requires."""
    guide = (ROOT / "docs/faq.rst").read_text(encoding="utf-8")
    promises = {row.name: row.promise for row in rows.ROWS}
    for text, row in {
        "``/json/2`` with a valid key": "/json/2, good key",
        "``execute_kw`` with a valid key": "execute_kw, good key, warm",
        "``authenticate`` with a key": "authenticate, key",
        "a wrong key, logged": "/json/2, wrong key",
        "``authenticate`` with a wrong password, logged": "authenticate, wrong password",
        "``authenticate`` with a password over the limit":
            "authenticate, wrong password over the limit",
    }.items():
        said = re.search(rf"^{re.escape(text)} +at most ([\d.]+)", guide, re.M)[1]
        assert float(said) == promises[row], text


def test_defaults_of_the_settings():
    """The reference lists each setting with its default."""
    reference = (ROOT / "docs/reference.rst").read_text(encoding="utf-8")
    for name, default in settings.DEFAULTS.items():
        said = re.search(rf"^``{name}`` +([\d,]+) ", reference, re.M)
        assert said and int(said[1].replace(",", "")) == default, name
