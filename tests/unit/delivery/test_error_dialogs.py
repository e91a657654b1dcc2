"""The web client shows errors that users can cause or fix as messages, not as crashes."""

from pathlib import Path

from odoo.addons.auth_integration.tools.delivery import secret_box, signatures

SCRIPT = Path(__file__).parents[3] / "static/src/js/error_dialogs.js"


def test_each_is_named():
    text = SCRIPT.read_text()
    for error in (secret_box.NoKeyError, secret_box.UnreadableError, signatures.SignatureError):
        folder, _dot, module = error.__module__.rpartition(".")
        assert f'TOOLS = "{folder}"' in text
        assert f"${{TOOLS}}.{module}.{error.__name__}`" in text
