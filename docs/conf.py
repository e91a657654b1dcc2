"""How Sphinx builds the guides; ``make docs`` calls it."""

import re
from pathlib import Path

from docutils import nodes

project = "API Integrations"
author = "Auth Integration Contributors"
html_theme = "alabaster"
html_theme_options = {
    "description": "An app for Odoo 19",
    "fixed_sidebar": True,
    "body_max_width": "100%",
    "page_width": "1180px",
    "sidebar_width": "230px",
}
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False
pygments_style = "friendly"

HERE = Path(__file__).parent


def link_pages(app, doctree, docname):
    """Let links to other guides work in the built pages too.

    They are written as links to files, which is what a repository's site shows.
    """
    for node in doctree.findall(nodes.reference):
        found = re.fullmatch(r"([\w-]+)\.rst(#.*)?", node.get("refuri", ""))
        if found and (HERE / f"{found[1]}.rst").exists():
            node["refuri"] = app.builder.get_relative_uri(docname, found[1]) + (found[2] or "")


def setup(app):
    """Register what is ours."""
    app.connect("doctree-resolved", link_pages)
