"""The code blocks of README.rst and of the guides, which tests run as printed.

A block that a test runs has a name::

    .. code-block:: sh
       :name: first-call

One that nobody runs says why: it has the class ``output`` or ``configuration``.
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
# What docutils takes for a block too: ``::`` at the end of a line, or a directive we do not use.
_OTHER = re.compile(r"^(?!\s*\.\. ).*::$|^ *\.\. (?:code|sourcecode|parsed-literal)::", re.M)


@dataclass(frozen=True)
class Block:
    """A code block: where it is, and what it says, dedented.

    :ivar name: by which a test runs it; empty where none does
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
    """Yield all blocks."""
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
    """Yield the place of each block that a test cannot find."""
    for path in files():
        text = path.read_text(encoding="utf-8")
        for found in _OTHER.finditer(text):
            line = text.count("\n", 0, found.start()) + 1
            yield f"{path.relative_to(ROOT)}:{line}"
    for block in blocks():
        if bool(block.name) == (block.kind in NOT_RUN):
            yield block.place


def example(name):
    """Return the text of the block of this name.

    :raise LookupError: there is none, or there are two
    """
    found = [block.text for block in blocks() if block.name == name]
    if len(found) != 1:
        raise LookupError(f"{len(found)} blocks of the guides have the name {name}")
    return found[0]
