"""Names in the text of a webhook are shown as plain text in Slack, Teams and Mattermost."""

import pytest

from odoo.addons.auth_integration.tools.incident.chat_text import escape


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("Install the key “shop” (27567f30…).", "Install the key “shop” (27567f30…)."),
        ("<!channel> <@U012AB3CD>", "&lt;!channel&gt; &lt;@\u200bU012AB3CD&gt;"),
        ("<https://evil.example|Confirm>", "&lt;https://evil.example|Confirm&gt;"),
        ("&lt;!channel&gt; R&D", "&amp;lt;!channel&amp;gt; R&amp;D"),
        ("@all @here (@channel)", "@\u200ball @\u200bhere (@\u200bchannel)"),
        ("olivia@example.com", "olivia@example.com"),  # an address to copy
        ("[Confirm](https://evil.example)", "[Confirm]\u200b(https://evil.example)"),
        ("![](https://evil.example/a.png)", "![]\u200b(https://evil.example/a.png)"),
        ("[a][b] [b]: //evil.example", "[a]\u200b[b]\u200b [b]\u200b: //evil.example"),
        ("shop\n\nwarehouse:\u2028works\tagain", "shop warehouse: works again"),
    ],
)
def test_escape(text, escaped):
    assert escape(text) == escaped
