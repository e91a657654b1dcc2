"""The update of every published version, with keys in use and a log."""

import pytest
from old_versions import unpack

from callers.clients import Json2, Refused
from dev.common import ADDON
from processes import odoo

VERSIONS = ("19.0.1.0.0", "19.0.1.1.0", "19.0.1.2.0", "19.0.1.3.0")
WRONG_KEY = "0123456789abcdef0123456789abcdef01234567"

MAKE = """
    owner = env.ref("base.user_admin")
    secrets = {}

    def integration(code, **values):
        return env["auth.integration"].create(
            {"name": code, "code": code, "owner_ids": [(4, owner.id)], **values})

    def issue(code, **values):
        made = integration(code, **values)
        secrets[code] = made.issue_key()["key"]
        return made.key_ids

    issue("plain")
    issue("near", allowed_networks="127.0.0.0/8")
    issue("far", allowed_networks="10.0.0.0/8")
    issue("old_ways", allowed_channels="xmlrpc")
    issue("revoked").revoke("not needed")
    issue("archived").user_id.active = False
    old = issue("rotated")
    old.action_rotate_now()
    rotation = env["auth.integration.rotation"].search([("old_key_id", "=", old.id)])
    secrets["rotated_new"] = rotation.with_user(owner)._claim()[0]
    person = env["res.users"].with_context(no_reset_password=True).create(
        {"name": "person", "login": "person"})
    secrets["person"] = env["res.users.apikeys"].with_user(person).sudo()._generate(
        None, "person", False)
    if "operation_ids" in env["auth.integration.key"]:
        issue("starred").set_access(
            access="listed", operations=[["res.company", "*"], ["res.partner", "*"]], reason="test")
    result = secrets
"""
# Every list and form of the add-on, as a manager opens it.
OPEN = """
    env = env(user=env.ref("base.user_admin").id)
    menus = env["ir.actions.act_window"].search([("res_model", "=like", "auth.%")])
    result = []
    for action in menus:
        model = env[action.res_model]
        views = model.get_views([(False, "list"), (False, "form"), (False, "search")])
        names = list(model.fields_get(attributes=["type"]))
        rows = [] if model.is_transient() else model.search_read([], names, limit=20)
        result.append([action.res_model, len(rows)])
"""


def works(server, secret):
    try:
        return bool(Json2(server, secret).call("res.users", "context_get"))
    except Refused:
        return False


class Updated:
    """A server in use with the old version, then updated to this one."""

    def __init__(self, live_server, version, folder):
        self.server = live_server(
            version, with_addon=False, extra_addons=[unpack(version, folder)], modules=(ADDON,)
        )
        self.secrets = self.server.shell(MAKE)
        self.starred = self.secrets.pop("starred", None)
        if self.starred:
            Json2(self.server, self.starred).call("res.company", "search_read", fields=["name"])
        self.accepted = self.which_work()
        assert not works(self.server, WRONG_KEY)
        self.attempts = self.count_attempts()
        self.server.stop()
        self.server.with_addon, self.server.extra_addons = True, ()
        odoo(self.server, "-u", ADDON)
        self.server.start()

    def which_work(self):
        return {name for name, secret in self.secrets.items() if works(self.server, secret)}

    def count_attempts(self):
        rows = self.server.sql(
            "SELECT coalesce(cause, outcome) AS cause, sum(count)::integer AS count"
            " FROM auth_attempt GROUP BY 1"
        )
        return {row["cause"]: row["count"] for row in rows}


@pytest.fixture(scope="module", params=VERSIONS)
def updated(request, live_server, tmp_path_factory):
    return Updated(live_server, request.param, tmp_path_factory.mktemp("old"))


def test_the_same_keys_work(updated):
    """The same keys work as before, and the log continues."""
    assert updated.count_attempts() == updated.attempts
    assert updated.accepted == {"plain", "near", "rotated", "rotated_new", "person"}
    assert updated.which_work() == updated.accepted
    assert updated.count_attempts()["address_not_allowed"] == 2


def test_keys_with_rules_fail_closed(updated):
    rows = updated.server.sql(
        "SELECT i.code FROM res_users_apikeys n JOIN auth_integration i ON i.user_id = n.user_id"
        " WHERE n.scope = 'auth_integration' AND i.code <> 'starred' ORDER BY i.code"
    )
    assert [row["code"] for row in rows] == ["far", "near", "old_ways"]


def test_what_a_key_may_do_is_as_it_was(updated):
    """The update adds no restriction, which would be an outage."""
    whoami = Json2(updated.server, updated.secrets["plain"]).call("auth.integration.key", "whoami")
    assert (whoami["integration"], whoami["state"]) == ("plain", "active")
    assert whoami["replace_by"] and whoami["expires_at"]


def test_a_star_is_replaced_by_what_was_called(updated):
    """Where rows are code or rights ``*`` no longer exists; other lists stay as they were."""
    operations = updated.server.sql(
        "SELECT o.model, o.method FROM auth_integration_key_operation o"
        " JOIN auth_integration_key k ON k.id = o.key_id"
        " WHERE o.allowed AND k.access_narrowed_at IS NOT NULL ORDER BY o.model"
    )
    if updated.starred is None:
        assert not operations
        return
    assert [tuple(row.values()) for row in operations] == [
        ("res.company", "search_read"), ("res.partner", "*"),
    ]
    client = Json2(updated.server, updated.starred)
    assert client.call("res.company", "search_read", fields=["name"])
    with pytest.raises(RuntimeError, match="^403"):
        client.call("res.company", "write", ids=[1], vals={})


def test_every_screen_opens(updated):
    opened = dict(updated.server.shell(OPEN))
    assert opened["auth.integration"] >= 7
    assert opened["auth.integration.key"] >= 8
    assert opened["auth.attempt"]


def test_every_job_runs(updated):
    updated.server.shell(
        """
        jobs = env["ir.model.data"].search(
            [("module", "=", "auth_integration"), ("model", "=", "ir.cron")])
        for job in env["ir.cron"].browse(jobs.mapped("res_id")):
            job.method_direct_trigger()
        result = len(jobs)
        """
    )
    assert updated.which_work() == updated.accepted
