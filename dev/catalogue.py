"""``make catalogue``: write docs/causes.rst from the registry of causes and from doctor.py.

Everything that can be refused is said in one place, in the registry; the documentation is made of
it, and a test compares the two.
"""

import importlib.util
import sys
import textwrap

from common import ROOT, say

CATALOGUE = ROOT / "docs" / "causes.rst"
WIDTH = 100
# By what the reader has in mind, not by how Odoo goes about it; every code is in exactly one.
CHAPTERS = (
    (
        "Address, path and database",
        "database_unknown endpoint_unknown malformed_request webhook_unknown",
    ),
    (
        "What was not sent",
        "authenticate_skipped header_missing header_malformed login_missing secret_missing",
    ),
    (
        "API keys",
        "key_unknown key_expired key_revoked key_superseded key_wrong_scope key_user_mismatch",
    ),
    ("Users and passwords", "user_unknown user_archived password_wrong password_not_allowed"
     " interactive_not_allowed second_factor_wrong second_factor_replayed provider_error"),
    ("Sessions", "session_expired session_mismatch"),
    ("Rules and limits", "address_not_allowed channel_not_allowed operation_not_allowed"
     " cooldown throttled"),
    ("The server", "internal_error"),
)
SEVERITIES = {"info": "usually harmless", "warning": "warning", "critical": "critical"}


def _load(path):
    """Import one file of the add-on by its path, without the add-on and so without Odoo."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def render():
    """Return the text of the catalogue."""
    causes = _load(ROOT / "tools" / "attempt" / "causes.py").CAUSES
    doctor = _load(ROOT / "static" / "doctor.py")
    parts = [_head(), *_chapters(causes), _doctor(doctor)]
    return "\n".join(parts)


def _head():
    return f"""\
..
    Made by "make catalogue" from tools/attempt/causes.py and static/doctor.py: change those.

{_title("Catalogue of failures", "=")}
{_wrap('''Every refused attempt has one cause. Administrators and owners of integrations read it,
with what it means in their very case and the button that helps, under *Integrations ▸ Attempts*,
which administrators find in *Settings* and owners in a menu of their own. The caller is told no
more than stock Odoo tells; its answer carries the header X-Auth-Reference, by which the attempt is
found.''')}

.. contents::
   :local:
   :depth: 1
"""


def _chapters(causes):
    placed = [code for _title_, codes in CHAPTERS for code in codes.split()]
    if sorted(placed) != sorted(causes):
        raise SystemExit(f"CHAPTERS and the registry differ: {set(placed) ^ set(causes)}")
    for title, codes in CHAPTERS:
        yield _title(title, "-")
        for code in codes.split():
            cause = causes[code]
            yield _title(f"``{code}``: {cause.title}", "~")
            yield _wrap(cause.explanation) + "\n"
            yield _wrap(f"**What to do.** {cause.remedy}") + "\n"
            yield f"*Severity:* {SEVERITIES[cause.severity]}.\n"


def _doctor(doctor):
    rows = "\n".join(
        f"   * - {cause.exit_code}\n     - ``{code}``\n     - {cause.title}\n     - {cause.remedy}"
        for code, cause in doctor.CAUSES.items()
    )
    return f"""\
{_title("From the outside: doctor.py", "-")}
{_wrap('''An Odoo with this add-on serves ``/auth_integration/static/doctor.py``: one file for
Python 3.8 and up, nothing to install. Run it on the machine that calls, with exactly the settings
that the program has:''')}

.. code-block:: sh

   ODOO_KEY=... python3 doctor.py https://odoo.example.com --db mydb --login web_shop

{_wrap('''It also reads ODOO_URL, ODOO_DB and ODOO_LOGIN, and the key from ``--key-file`` or
``--key-stdin``; ODOO_AUTHORIZATION takes the header as the program sends it, ODOO_UID the user id
that it has stored and ODOO_SESSION_ID the session that it holds. ``--protocol`` names the protocol
in use, ``session`` among them (``/web/session/authenticate``, which takes a password); ``--json``
prints JSON. The key is never printed, and it leaves the machine only after the host has proved to
be an Odoo. The exit code names the first cause; 0 means that nothing was found.''')}

.. list-table::
   :header-rows: 1
   :widths: 5 20 35 40

   * - Exit
     - Cause
     - What it means
     - What to do
{rows}

{_title("The state of a key: verify", "-")}
{_wrap('''Whoever holds the right secret may learn what has become of it, also when the key has
ended. For anything else the answer is 401, and at most 30 requests a minute are answered per
address.''')}

.. code-block:: sh

   curl -X POST "$URL/auth_integration/verify" -H "Authorization: Bearer $KEY" \\
        -H "X-Odoo-Database: $DB"

{_wrap('''The answer is JSON: ``valid``, ``cause`` (one of the codes above, or false), ``state``,
``prefix``, ``integration``, ``expires_at`` (UTC) and ``reference``.''')}
"""


def _title(text, line):
    return f"{text}\n{line * len(text)}\n"


def _wrap(text):
    return textwrap.fill(" ".join(text.split()), WIDTH, break_long_words=False)


def main():
    """Write the catalogue."""
    CATALOGUE.parent.mkdir(exist_ok=True)
    CATALOGUE.write_text(render(), encoding="utf-8")
    say(f"wrote {CATALOGUE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
