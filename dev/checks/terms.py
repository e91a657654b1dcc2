"""``make lint``: find words that the product does not use in the texts that people read.

It checks the translation template, what ``doctor.py`` and ``rotate.py`` print, and the guides for
readers who are not Odoo engineers. Names in the code, such as fields and methods, are not checked.
"""

import ast
import re

from dev.common import ADDON, ROOT

TEMPLATE = ROOT / "i18n" / f"{ADDON}.pot"
SCRIPTS = (ROOT / "static" / "doctor.py", ROOT / "static" / "rotate.py")
GUIDES = [
    ROOT / "README.rst",
    *(ROOT / "docs" / f"{name}.rst" for name in ("administrator", "owner", "developer", "faq")),
]
# Regular expressions for whole words, and what to write instead.
TERMS = {
    "refus(e|es|ed|ing|al|als)": "reject",
    "technical users?|bots?": "integration user",
    "programs?|clients?|calling systems?": "external system",
    "callers?": "external system, or the call",
    "findings?": "issue",
    "live|alive": "active",
    "retir(e|es|ed|ing)": "being replaced",
    "superseded?": "replaced",
    "ends?|ended|ending": "expires, is revoked, is replaced",
    "tokens?": "key",
    "channels?": "protocol",
    "dormant": "unused",
    "issue (a|an|the|another|this|one|your|its|new)|issued|issuing": "create",
    "(hand|hands|handed|handing) over": "deliver",
    "(put|puts|putting)( rotation)? off": "postpone",
    "(take|takes|taken|took) over": "use",
    "switch(es|ed)? (on|off)": "turn on, turn off",
    "add-ons?": "app",
    "told|tells?": "notify, show",
    "whoever|whatever": "say who or what",
    "nobody|somebody|anybody": "no one, someone, anyone",
    "he|him|his|she|hers?": "they",
    "so long|any more|at once|meanwhile": "for this long, no longer, immediately, until then",
    "(go|goes|going) on": "continue, keep",
    "e-mails?": "email",
    "dialogues?": "dialog",
    "cancell(ed|ing)": "canceled, canceling",
    "recognis|behaviour|colour|licence|catalogue|authoris|organis|analys(e|ed)": "en_US spelling",
}
# Texts in which one of these words is right: the whole text or its beginning.
ALLOWED = (
    "Unidentified Caller",
    "The caller could not be identified.",
    "The code that the caller got in the X-Auth-Reference response header.",
    "Also found in the server log and in the caller's X-Auth-Reference response header.",
    "The window must start and end at different hours",
    "Window End",
    # The metrics token of Prometheus is not an Odoo key.
    "Auth Integration Has Metrics Token",
    "Create Token",
    "Enter this token in the scrape configuration of Prometheus.",
    "Metrics Token",
    "Prometheus reads metrics at",
    "Renew Token",
    "Show Token",
    "The current token stops working immediately.",
    "Token",
    "The Python package prometheus-client is not installed on this server.",
)
_WORDS = {re.compile(rf"\b(?:{words})\b", re.I): instead for words, instead in TERMS.items()}
# What is not prose: placeholders, tags with their content, code, and quoted names.
_NO_PROSE_OF_A_GUIDE = re.compile(
    r"^( *)\.\. [\w-]+::.*\n(?:\n|\1 +.*\n)*|``[^`]*``|<[^>`]*>`_", re.M
)
_NO_PROSE = re.compile(r"%\(\w+\)s|<[^>]*>|\{\{.*?\}\}|[\w./]*[_/][\w./]*|--[\w-]+|‘[^’]*’|“[^”]*”")


def check():
    """Yield each word that the product does not use, with the text that contains it."""
    for place, text in (*_template(), *_printed(), *_written()):
        prose = _NO_PROSE.sub(" ", text).strip()
        if prose.startswith(ALLOWED):
            continue
        for words, instead in _WORDS.items():
            found = words.search(prose)
            if found:
                yield f"{place}: “{found[0]}” in “{text[:100]}”: {instead}"


def _template():
    """Yield the location and the text of each translatable message."""
    for entry in TEMPLATE.read_text(encoding="utf-8").split("\n\n"):
        reference = re.search(r"^#: (\S+)", entry, re.M)
        message = re.search(r"^msgid ((?:\".*\"\n?)+)", entry, re.M)
        text = message and "".join(map(ast.literal_eval, message[1].splitlines()))
        if reference and text:
            yield reference[1], " ".join(text.split())


def _printed():
    """Yield the location and the text of each sentence that a script may print."""
    for path in SCRIPTS:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        inner = [n for n in ast.walk(tree) if isinstance(n, ast.ClassDef | ast.FunctionDef)]
        docstrings = {id(n.body[0].value) for n in inner if isinstance(n.body[0], ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                text = " ".join(node.value.split())
                if " " in text and id(node) not in docstrings:
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", text


def _written():
    """Yield the location and the text of each line of the guides."""
    for path in GUIDES:
        text = path.read_text(encoding="utf-8")
        prose = _NO_PROSE_OF_A_GUIDE.sub(lambda found: "\n" * found[0].count("\n"), text)
        for number, line in enumerate(prose.splitlines(), start=1):
            yield f"{path.relative_to(ROOT)}:{number}", line
