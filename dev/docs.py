"""``make docs``: build the guides with Sphinx, and check that every link in them has a target.

``make lint`` does the same and reports what is wrong with a guide.
"""

import html.parser
import os
import re
import subprocess
import sys
import urllib.parse

from dev.common import ROOT, entry_point, say, state_dir
from dev.environment.virtualenv import venv


def build():
    """Build the guides.

    :return: the complaints of Sphinx, empty if there are none
    """
    target = state_dir("docs")
    done = subprocess.run(
        [
            *(venv("requirements-docs.txt") / "bin/python", "-m", "sphinx", "-q", "-W"),
            *("--keep-going", "-b", "html", "-d", target / "doctrees"),
            *(ROOT / "docs", target / "html"),
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    output = (done.stdout + done.stderr).strip()
    return output.splitlines() or ["sphinx failed"] if done.returncode else []


class _Page(html.parser.HTMLParser):
    """The anchors and links of a page."""

    def __init__(self, path):
        super().__init__()
        self.anchors, self.links = set(), []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.anchors.add(attributes.get("id"))
        link = attributes.get("href") if tag == "a" else None
        if link and not urllib.parse.urlsplit(link).scheme:
            self.links.append(link)


def dead_links():
    """Yield each link of the built guides and of README.rst that has no target."""
    folder = state_dir("docs", "html")
    pages = {path.name: _Page(path) for path in folder.glob("*.html")}
    for name, page in pages.items():
        for link in page.links:
            path, _hash, anchor = link.partition("#")
            if path.startswith("../"):  # a file in the repository
                exists = (ROOT / path.removeprefix("../")).exists()
            else:
                target = pages.get(path or name)
                exists = target and (not anchor or anchor in target.anchors)
            if not exists:
                yield f"docs/{name.replace('.html', '.rst')}: {link} leads nowhere"
    yield from _dead_links_of_readme(pages)


def _dead_links_of_readme(pages):
    text = (ROOT / "README.rst").read_text(encoding="utf-8")
    for path, anchor in re.findall(r"<([\w/.-]+\.(?:rst|md))(?:#([\w-]+))?>`_", text):
        page = pages.get(path.removeprefix("docs/").replace(".rst", ".html"))
        if not (ROOT / path).exists() or (anchor and anchor not in page.anchors):
            yield f"README.rst: {path}#{anchor} leads nowhere"


def check():
    """Build the guides and yield each problem found."""
    yield from build() or dead_links()


def main():
    """Build the guides, print the problems found and return the exit code."""
    problems = list(check())
    for problem in problems:
        print(problem, file=sys.stderr)
    say(f"wrote {state_dir('docs', 'html').relative_to(ROOT)}/index.html")
    return 1 if problems else 0


if __name__ == "__main__":
    entry_point(main)
