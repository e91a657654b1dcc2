"""Commands, names and labels are not cut off, on a desktop and on a phone."""

import pytest

from dev.browser.page import open_page, open_session

SERVER = {"demo": True}
WIDTHS = (1280, 400)
ADDON = "auth_integration"
# The number of lines of an element beyond those in its text.
BROKEN_LINES = """
    (selector) => [...document.querySelectorAll(selector)].map((element) => {
        const range = document.createRange();
        range.selectNodeContents(element);
        const tops = new Set([...range.getClientRects()].map((rect) => Math.round(rect.top)));
        return tops.size - element.textContent.trimEnd().split("\\n").length;
    }).filter((lines) => lines > 0).length
"""
CUT = """
    (selector) => [...document.querySelectorAll(selector)]
        .filter((cell) => [cell, ...cell.querySelectorAll("*")].some(
            (part) => part.clientWidth && part.scrollWidth > part.clientWidth))
        .map((cell) => cell.textContent)
"""
NAMES = {
    "auth_integration_key_action": ("name", "integration_id", "user_id"),
    "auth_attempt_action": ("login", "integration_id"),
    "auth_integration_rotation_action": ("integration_id", "state", "old_key_id", "new_key_id"),
}


@pytest.fixture(scope="module")
def server(live_server):
    return live_server("main")


@pytest.fixture(scope="module")
def url(server):
    return f"http://127.0.0.1:{server.port}"


@pytest.fixture(scope="module")
def page(server, url):
    with open_page() as page:
        page.use_session(url, open_session(url, "admin", "admin", server.db))
        yield page


@pytest.fixture
def new_integration(server):
    """An integration that waits for its first call, and the command for that call."""
    return server.shell(
        """
        integration = env["auth.integration"].search([("code", "=", "laid_out")])
        if not integration:
            integration = env["auth.integration"].create({
                "name": "Laid Out", "code": "laid_out", "owner_ids": [2]})
            integration.issue_key()
        result = [integration.id, integration.first_call_command]
        """
    )


@pytest.mark.parametrize("width", WIDTHS)
def test_a_command_breaks_between_words(page, url, new_integration, width):
    id_, command = new_integration
    page.resize(width)
    page.open(f"{url}/odoo/action-{ADDON}.auth_integration_action/{id_}")
    field = "[name=first_call_command]"
    shown = page.evaluate(f"document.querySelector('{field} .font-monospace').textContent")
    assert shown == command
    assert page.evaluate(f"document.querySelectorAll('{field} .o_word').length") > 5
    assert page.evaluate(f"({BROKEN_LINES})('{field} .o_word')") == 0


@pytest.mark.parametrize("width", WIDTHS)
def test_code_on_the_connection_sheet_keeps_its_lines(page, url, new_integration, width):
    page.resize(width)
    page.open(f"{url}/auth_integration/sheet/{new_integration[0]}")
    assert page.evaluate("document.querySelectorAll('pre').length") > 3
    assert page.evaluate(f"({BROKEN_LINES})('pre')") == 0


@pytest.mark.parametrize("action", NAMES)
def test_names_are_whole(page, url, action):
    page.resize(1280)
    page.open(f"{url}/odoo/action-{ADDON}.{action}?view_type=list")
    cells = ", ".join(f"td[name={name}]" for name in NAMES[action])
    assert page.evaluate(f"document.querySelectorAll('{cells}').length") > 3
    assert page.evaluate(f"({CUT})('{cells}')") == []


def test_a_personal_key_shows_whose_it_is(page, url):
    page.resize(1280)
    page.open(f"{url}/odoo/action-{ADDON}.auth_integration_key_action?view_type=list")
    rows = page.evaluate(
        "[...document.querySelectorAll('.o_data_row')].map((row) => ['integration_id', 'user_id']"
        ".map((name) => row.querySelector(`td[name=${name}]`).textContent))"
    )
    assert ["", "Marc Demo"] in rows
    assert all(bool(integration) != bool(user) for integration, user in rows), rows


def test_cards_on_a_telephone(page, url):
    page.resize(400)
    page.open(f"{url}/odoo/action-{ADDON}.auth_attempt_action?view_type=kanban")
    assert page.evaluate(
        "[...document.querySelectorAll('.o_kanban_record:not(.o_kanban_ghost)')]"
        ".every((card) => /[0-9A-Z]{5}-[0-9A-Z]{5}/.test(card.textContent))"
    )
    page.open(f"{url}/odoo/action-{ADDON}.auth_integration_action?view_type=kanban")
    assert page.evaluate("document.querySelectorAll('.o_kanban_record .fa-pencil').length") == 0


@pytest.mark.parametrize("width", WIDTHS)
def test_what_helps_is_a_few_keys_away(page, server, url, width):
    page.resize(width)
    attempt = server.shell(
        "result = env['auth.attempt'].search([('cause', '=', 'key_expired')], limit=1).id"
    )
    page.open(f"{url}/odoo/action-{ADDON}.auth_attempt_action/{attempt}")
    reached = []
    for _key in range(5):
        page.page.keyboard.press("Tab")
        reached.append(page.evaluate(
            "document.activeElement.closest('.o_form_sheet .alert button.btn-primary')?.name"))
    assert "action_fix_issue_key" in reached, reached


@pytest.mark.parametrize("width", WIDTHS)
def test_labels_of_quiet_hours_are_in_one_line(page, url, width):
    page.resize(width)
    page.open(f"{url}/odoo/settings")
    page.click(f"[data-key={ADDON}]")
    label = "label[for^=auth_integration_quiet_]"
    assert page.evaluate(f"document.querySelectorAll('{label}').length") == 2
    assert page.evaluate(f"({BROKEN_LINES})('{label}')") == 0
