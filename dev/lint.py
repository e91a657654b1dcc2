"""``make lint``: ruff, pylint-odoo, well-formed files, and the product's terms."""

import ast
import csv
import os
import subprocess
import xml.etree.ElementTree as ElementTree

from dev import docs, pictures
from dev.checks import terms
from dev.common import CACHE, ROOT, addon_files, entry_point, export_addon, say, state_dir
from dev.environment.virtualenv import venv


def ruff():
    """Check the style of all Python files, including development and tests."""
    cache = state_dir("lint", "ruff")
    return _tool("ruff", "check", "--quiet", "--output-format=concise", "--cache-dir", cache, ROOT)


def pylint_odoo():
    """Check with Odoo's own rules.

    pylint-odoo takes the name of an add-on from its folder, and checks nothing if it does not
    recognize one. So it gets a copy in a folder with the add-on's name.
    """
    export = export_addon("lint")
    # A model is spread over several files on purpose, so its classes inherit the same model.
    allowed = "--disable=consider-merging-classes-inherited"
    return _tool("pylint", "--rcfile", ROOT / ".pylintrc", allowed, export, cwd=export.parent)


def xml_files():
    """Check that every XML file is well formed and no data file is missing from the manifest."""
    manifest = ast.literal_eval((ROOT / "__manifest__.py").read_text())
    listed = {*manifest.get("data", ()), *manifest.get("demo", ())}
    for name in sorted(listed):
        if not (ROOT / name).exists():
            yield f"__manifest__.py: {name} does not exist"
    for path in addon_files():
        if path.suffix != ".xml":
            continue
        name = str(path.relative_to(ROOT))
        try:
            ElementTree.parse(path)
        except ElementTree.ParseError as error:
            yield f"{name}: {error}"
        if name not in listed and not name.startswith("static/"):
            yield f"{name}: not listed in __manifest__.py"


def csv_files():
    """Check that the rows of a CSV file are as long as its header, and that its ids are unique."""
    for path in addon_files():
        if path.suffix != ".csv":
            continue
        name = path.relative_to(ROOT)
        with open(path, newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
        seen = set()
        for number, row in enumerate(rows, start=2):
            if len(row) != len(header):
                yield f"{name}:{number}: {len(row)} columns, the header has {len(header)}"
            elif "id" in header:
                identifier = row[header.index("id")]
                if identifier in seen:
                    yield f"{name}:{number}: id {identifier} occurs twice"
                seen.add(identifier)


def product_terms():
    """Check that texts use only the product's own terms."""
    return terms.check()


def readme():
    """Check that README.rst exists and is valid reStructuredText."""
    if not (ROOT / "README.rst").exists():
        return ["README.rst: missing"]
    options = ("--halt=2", "--report=2", ROOT / "README.rst", os.devnull)
    return _tool("docutils", *options, requirements="requirements-docs.txt")


def user_guides():
    """Check that the guides can be built, and that every link in them has a target."""
    return docs.check()


def app_pictures():
    """Check that the pictures exist and have the right size."""
    return pictures.check()


def _tool(name, *arguments, cwd=ROOT, requirements="requirements-lint.txt"):
    """Run a tool in its virtual environment and return its output if it found something."""
    done = subprocess.run(
        [venv(requirements) / "bin/python", "-m", name, *arguments],
        cwd=cwd,
        env={
            **os.environ,
            "PYLINTHOME": str(state_dir("lint", "pylint")),
            "PYTHONPYCACHEPREFIX": str(CACHE / "pycache"),
        },
        capture_output=True,
        text=True,
    )
    output = (done.stdout + done.stderr).strip()
    return output.splitlines() or [f"{name} failed"] if done.returncode else []


def main():
    """Run all checks, print what they found and return the exit code."""
    findings = 0
    for check in (ruff, pylint_odoo, xml_files, csv_files, product_terms, readme,
                  user_guides, app_pictures):
        say(f"lint: {check.__name__}")
        for line in check():
            print(line)
            findings += 1
    print("lint: failed" if findings else "lint: nothing found", flush=True)
    return 1 if findings else 0


if __name__ == "__main__":
    entry_point(main)
