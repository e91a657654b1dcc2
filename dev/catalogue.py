"""``make catalogue``: write docs/causes.rst from the guide to causes and issues and from doctor.py.

The texts exist only once, in these registries. The documentation is generated from them, and a test
compares the two.
"""

import importlib.util
import sys
import textwrap

from dev.common import ROOT, say
from dev.environment import virtualenv
from dev.servers.odoo_command import make_importable

CATALOGUE = ROOT / "docs" / "causes.rst"
WIDTH = 100
SEVERITIES = {"info": "usually harmless", "warning": "warning", "critical": "critical"}


def render():
    """Return the text of the catalogue."""
    from odoo.addons.auth_integration.tools.health import guide

    parts = [_head(), *_causes(guide), _doctor(_load(ROOT / "static" / "doctor.py")), _verify()]
    return "\n".join([*parts, *_others(guide)])


def _load(path):
    """Import one file by its path."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _head():
    return f"""\
..
    Made by "make catalogue" from tools/health/guide.py and static/doctor.py: change those.

{_title("Causes", "=")}
{_wrap('''Every rejected attempt has one cause. Administrators see it under *Settings ▸
Integrations ▸ Attempts*, owners under *Integrations ▸ Attempts*: with what it means in their case
and the button that helps. *Learn More* opens this text in Odoo. The external system learns no more
than stock Odoo tells it. Its answer has the header X-Auth-Reference; a search for this reference
finds the attempt.''')}

.. contents::
   :local:
   :depth: 1
"""


def _causes(guide):
    for title, entries in guide.chapters():
        if title not in (guide.EVENTS, guide.ISSUES):
            yield _title(title, "-")
            yield from map(_cause, entries)


def _cause(entry):
    return "\n".join((
        f".. _{entry.anchor}:\n",
        _title(f"``{entry.code}``: {entry.title}", "~"),
        _wrap(entry.explanation) + "\n",
        _wrap(f"**What to do.** {entry.remedy}") + "\n",
        *([_wrap(f"**As an owner.** {entry.for_owners}") + "\n"] if entry.for_owners else ()),
        _wrap(f"**Good to know.** {entry.more}") + "\n",
        f"*Severity:* {SEVERITIES[entry.severity]}.\n",
    ))


def _others(guide):
    """Yield the security events and issues, whose titles are their descriptions."""
    for title, entries in guide.chapters():
        if title in (guide.EVENTS, guide.ISSUES):
            yield _title(title, "-")
            for entry in entries:
                yield f".. _{entry.anchor}:\n"
                yield f"{entry.title} (``{entry.code}``)"
                text = f"{entry.explanation} {guide.without_placeholders(entry.remedy)}"
                yield textwrap.indent(_wrap(text), "    ") + "\n"


def _doctor(doctor):
    rows = "\n".join(
        f"   * - {cause.exit_code}\n     - ``{code}``\n     - {cause.title}\n     - {cause.remedy}"
        for code, cause in doctor.CAUSES.items()
    )
    return f"""\
{_title("From the outside: doctor.py", "-")}
{_wrap('''An Odoo with this app serves ``/auth_integration/static/doctor.py``: one file for
Python 3.8 and up, nothing to install. Run it on the host that calls, with exactly the settings
of the external system:''')}

.. code-block:: sh
   :name: doctor-options

   python3 doctor.py "$ODOO_URL" --db "$ODOO_DB" --login "$ODOO_LOGIN" --protocol json2

{_wrap('''It reads the key, or the password of a session, from ODOO_KEY, ``--key-file`` or
``--key-stdin``. It also reads ODOO_URL, ODOO_DB and ODOO_LOGIN. ODOO_AUTHORIZATION is the header as
the external system sends it, ODOO_UID the user ID that it stores, and ODOO_SESSION_ID the session
that it holds. With ``--protocol``, name the protocol that the external system uses: ``json2``,
``xmlrpc``, ``jsonrpc`` or ``session`` (``/web/session/authenticate``, which takes a password).
Without it, all three protocols for keys are called. One that the integration does not allow is then
reported (exit code 67). ``--json`` prints JSON. The key is never printed. It leaves the host only
after the server has proved to be an Odoo. The exit code names the first cause. 0 means that nothing
was found, 2 that an option is wrong or the key file cannot be read.''')}

.. list-table::
   :header-rows: 1
   :widths: 5 20 35 40

   * - Exit
     - Cause
     - What it means
     - What to do
{rows}
"""


def _verify():
    return f"""\
{_title("The state of a key: verify", "-")}
{_wrap('''The holder of the right key may learn its state, also when it has expired. For anything
else the answer is 401. At most 30 requests a minute are answered per address. See the
`developer guide <developer.rst#find-out-why-a-call-fails>`_.''')}
"""


def _title(text, line):
    return f"{text}\n{line * len(text)}\n"


def _wrap(text):
    return textwrap.fill(" ".join(text.split()), WIDTH, break_long_words=False)


def main():
    """Write the catalogue."""
    make_importable()
    CATALOGUE.write_text(render(), encoding="utf-8")
    say(f"wrote {CATALOGUE.relative_to(ROOT)}")


if __name__ == "__main__":
    virtualenv.enter()
    main()
