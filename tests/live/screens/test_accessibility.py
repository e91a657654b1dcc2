"""Every screen of the add-on, as an administrator and as an owner, on a desktop and on a phone.

axe-core finds no serious problem that it does not also find on a screen of stock Odoo, and nothing
must be scrolled sideways on a phone.
"""

import pytest
from accessibility import violations, wider_than_the_page

from dev.browser.page import open_page, open_session

SERVER = {"demo": True}
WIDTHS = (1280, 400)
ADDON = "auth_integration"
# Screens of stock Odoo with the same parts: their problems are not the add-on's to fix.
STOCK = (
    ("base.action_res_users", "list"),
    ("base.action_res_users", "kanban"),
    ("base.action_res_users", 2),
    ("base.ir_cron_act", "list"),
    ("base.ir_cron_act", 1),
    ("base.action_partner_form", "kanban"),
    ("base.action_partner_form", "list"),
    ("base.action_partner_form", "activity"),
    ("mail.action_view_mail_mail", "list"),
    ("base.ir_logging_all_act", "list"),
    ("base_setup.action_general_configuration", "form"),
    ("base.action_ui_view", "list"),
)
MENUS = (
    "auth_integration_action",
    "auth_integration_finding_action",
    "auth_integration_incident_action",
    "auth_integration_key_action",
    "auth_integration_rotation_action",
    "auth_attempt_action",
    "auth_attempt_report_action",
    "auth_attempt_hours_action",
    "auth_integration_diagnosis_action",
)
OF_ADMINISTRATORS = ("auth_integration_policy_action", "auth_integration_key_found_action")
# A button that opens a dialog, and the record whose form has it.
SHOP_KEY = [("integration_id.code", "=", "online_shop"), ("state", "=", "active")]
DIALOGS = (
    ("auth_integration_action", "action_issue_key", [("code", "=", "online_shop")]),
    ("auth_integration_action", "action_revoke_all_keys", [("code", "=", "online_shop")]),
    ("auth_integration_key_action", "action_change_access", SHOP_KEY),
    ("auth_integration_key_action", "action_extend", SHOP_KEY),
    ("auth_integration_key_action", "action_convert", [("integration_id", "=", False)]),
)


class Screens:
    """The page of a logged-in user, and the problems on the screens it opens."""

    def __init__(self, server, page):
        self.server, self.page = server, page
        self.url = f"http://127.0.0.1:{server.port}"
        self.uid = {}

    def sign_in(self, login):
        self.page.use_session(self.url, open_session(self.url, login, login, self.server.db))

    def open(self, action, view):
        """Open a view of an action, or the form of a record, at the current width."""
        path = f"/odoo/action-{action}"
        path += f"/{view}" if isinstance(view, int) else f"?view_type={view}"
        self.page.open(self.url + path)

    def problems(self, width):
        found = violations(self.page)
        if width < 768:
            found |= wider_than_the_page(self.page)
        return found

    def actions(self, login):
        """Return each action in the user's menus, with its views and its first record."""
        names = MENUS + (OF_ADMINISTRATORS if login == "admin" else ())
        return self.server.shell(
            """
            actions = [env.ref(f"auth_integration.{name}") for name in names]
            user = env["res.users"].search([("login", "=", login)])
            result = [
                [f"auth_integration.{name}", action.view_mode.split(","),
                 env[action.res_model].with_user(user).search([], limit=1).id]
                for name, action in zip(names, actions)]
            """,
            names=list(names),
            login=login,
        )


    def record(self, action, domain):
        """Return the first record of an action that matches a domain."""
        return self.server.shell(
            "result = env[env.ref(name).res_model].search(domain, limit=1).id",
            name=f"{ADDON}.{action}",
            domain=domain,
        )


@pytest.fixture(scope="module")
def screens(live_server):
    server = live_server("main")
    server.shell(  # the demo data have no personal key
        "env['res.users.apikeys'].with_user(2).sudo()._generate(None, 'mine', False)\nresult = None"
    )
    with open_page() as page:
        yield Screens(server, page)


@pytest.fixture(scope="module", params=WIDTHS)
def width(request, screens):
    screens.page.resize(request.param)
    return request.param


@pytest.fixture(scope="module")
def of_stock(screens, width):
    """Return the problems of stock Odoo's own screens at this width."""
    screens.sign_in("admin")
    found = {}
    for action, view in STOCK:
        screens.open(action, view)
        found |= screens.problems(width)
    return found


@pytest.mark.parametrize("login", ["admin", "demo"])
def test_menus_and_forms(screens, width, of_stock, login):
    screens.sign_in(login)
    problems = {}
    for action, views, record in screens.actions(login):
        shown = [view for view in views if view != "form"] + ([record] if record else [])
        for view in shown:
            screens.open(action, view)
            for problem, text in screens.problems(width).items():
                if problem not in of_stock:
                    problems.setdefault(problem, f"{action} {view}: {text}")
    assert not problems, "\n".join(f"{problem}\n    {text}" for problem, text in problems.items())


@pytest.mark.parametrize("width", [1280], indirect=True)
def test_dialogs(screens, width, of_stock):
    screens.sign_in("admin")
    problems = {}
    for action, button, domain in DIALOGS:
        screens.open(f"{ADDON}.{action}", screens.record(action, domain))
        screens.page.click(f"button[name={button}]")
        screens.page.wait_for(".o_dialog .o_form_view")
        for problem, text in screens.problems(width).items():
            if problem not in of_stock:
                problems.setdefault(problem, f"{action} {button}: {text}")
    assert not problems, "\n".join(f"{problem}\n    {text}" for problem, text in problems.items())
