"""The code blocks of README.rst and of the guides, which tests run as printed.

A block that a test runs has a name::

    .. code-block:: sh
       :name: first-call

A block that no test runs has the class ``output`` or ``configuration``, which says why.
"""

import re
import textwrap
from dataclasses import dataclass

from dev.common import ROOT

NOT_RUN = ("output", "configuration")
_DIRECTIVE = re.compile(
    r"^(?P<indent> *)\.\. code-block:: (?P<language>\w+)\n"
    r"(?P<options>(?:(?P=indent)   :[\w-]+:.*\n)*)"
    r"\n(?P<body>(?:(?P=indent)   .*\n|\n)+)",
    re.M,
)
_OPTION = re.compile(r":([\w-]+): *(.*)")
# Other blocks of docutils: ``::`` at the end of a line, or a directive that we do not use.
_OTHER = re.compile(r"^(?!\s*\.\. ).*::$|^ *\.\. (?:code|sourcecode|parsed-literal)::", re.M)


@dataclass(frozen=True)
class Block:
    """A code block: its location and its text, dedented.

    :ivar name: the name by which a test runs it, or an empty string
    :ivar kind: its class
    """

    place: str
    language: str
    name: str
    kind: str
    text: str


def files():
    """Return README.rst and the guides."""
    return [ROOT / "README.rst", *sorted((ROOT / "docs").glob("*.rst"))]


def blocks():
    """Yield all code blocks."""
    for path in files():
        text = path.read_text(encoding="utf-8")
        for found in _DIRECTIVE.finditer(text):
            options = dict(_OPTION.findall(found["options"]))
            line = text.count("\n", 0, found.start()) + 1
            yield Block(
                f"{path.relative_to(ROOT)}:{line}",
                found["language"],
                options.get("name", ""),
                options.get("class", ""),
                textwrap.dedent(found["body"]).strip("\n") + "\n",
            )


def unmarked():
    """Yield the location of each block that a test cannot find."""
    for path in files():
        text = path.read_text(encoding="utf-8")
        for found in _OTHER.finditer(text):
            line = text.count("\n", 0, found.start()) + 1
            yield f"{path.relative_to(ROOT)}:{line}"
    for block in blocks():
        if bool(block.name) == (block.kind in NOT_RUN):
            yield block.place


def example(name):
    """Return the text of the block with this name.

    :raise LookupError: no block or more than one has this name
    """
    found = [block.text for block in blocks() if block.name == name]
    if len(found) != 1:
        raise LookupError(f"{len(found)} blocks of the guides have the name {name}")
    return found[0]
