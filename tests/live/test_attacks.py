"""What people with some rights try in order to see or do more: every attempt over RPC fails.

Each attacker has a key of his own; the victim is an integration that none of them may see.
"""

import base64
import secrets
import xmlrpc.client

import pytest
from clients import Jsonrpc, Refused

HIDDEN_NAME, HIDDEN_HOST = "Hidden Partner", "hidden.example"

MAKE_WORLD = """
    from datetime import datetime, timedelta
    soon = datetime.now() + timedelta(days=1)
    made = {}

    def person(login, *groups):
        user = env["res.users"].create({
            "name": login, "login": login, "password": f"password of {login}",
            "group_ids": [(6, 0, [env.ref(group).id for group in groups])]})
        secret = env["res.users.apikeys"].with_user(user).sudo()._generate(None, login, soon)
        made[login] = [user.id, secret]
        return user

    def integration(code, owner, **values):
        return env["auth.integration"].create(
            {"name": code, "code": code, "owner_ids": [(6, 0, owner.ids)], **values})

    person("portal", "base.group_portal")
    person("employee", "base.group_user")
    person("access_rights", "base.group_user", "base.group_erp_manager")
    person("manager", "base.group_user", "auth_integration.auth_integration_group_manager")
    own = integration("own", person("owner", "base.group_user"))
    hidden_owner = person("hidden_owner", "base.group_user")
    hidden = integration("hidden", hidden_owner, name=name, webhook_url=f"https://{host}/keys")
    privileged = integration("privileged", hidden_owner)
    privileged.user_id.group_ids = [(4, env.ref("base.group_system").id)]
    made["thief"] = [own.user_id.id, own.issue_key()["key"]]
    hidden_key = hidden.issue_key()["key"]
    record = env["auth.integration.key"].search([("prefix", "=", hidden_key[:8])])
    record.action_rotate_now()
    rotation = env["auth.integration.rotation"].search([("old_key_id", "=", record.id)])
    enrolment = env["auth.integration.second.factor"].with_user(hidden_owner).create(
        {"integration_id": hidden.id})
    revocation = env["auth.integration.revoke"].with_user(hidden_owner).create(
        {"key_ids": [(6, 0, record.ids)], "reason": "a hidden reason"})
    result = {
        "people": made, "own": own.id, "hidden": hidden.id, "privileged": privileged.id,
        "hidden_user": hidden.user_id.id, "privileged_user": privileged.user_id.id,
        "key": record.id, "rotation": rotation.id, "enrolment": enrolment.id,
        "revocation": revocation.id, "own_key": own.key_ids.id, "hidden_owner": hidden_owner.id,
        "system": env.ref("base.group_system").id,
        "owner_group": env.ref("auth_integration.auth_integration_group_owner").id,
        # No answer to an attacker may hold any of these.
        "hidden_texts": [name, host, hidden_key[:8], enrolment.seed, "a hidden reason"],
    }
"""


class World:
    """Who is who, and what is hidden."""

    def __init__(self, server):
        self.server = server
        made = server.shell(MAKE_WORLD, name=HIDDEN_NAME, host=HIDDEN_HOST)
        self.people, self.hidden_texts = made.pop("people"), made.pop("hidden_texts")
        self.ids = made

    def call(self, attacker, model, method, *args, **kwargs):
        """Call as an attacker; names of ids stand for them, wherever they are."""
        args, kwargs = self._filled(args), self._filled(kwargs)
        uid, secret = self.people[attacker]
        return Jsonrpc(self.server, uid, secret).call(model, method, *args, **kwargs)

    def _filled(self, value):
        if isinstance(value, str) and value.startswith("$"):
            return self.ids[value[1:]]
        if isinstance(value, list | tuple):
            return [self._filled(item) for item in value]
        if isinstance(value, dict):
            return {name: self._filled(item) for name, item in value.items()}
        return value


@pytest.fixture(scope="module")
def world(live_server):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(
            "AUTH_INTEGRATION_SECRET_KEY",
            base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        )
        yield World(live_server("main"))


WIZARD = "auth.integration."
EVERYBODY = ("portal", "employee", "access_rights", "owner", "thief")


def onchange(values, *fields):
    """Arguments of an onchange of a new record, which nothing is written for."""
    return [[], values, list(values), {name: {} for name in (*values, *fields)}]


READS = {
    "dialogue to claim, unsaved": (
        "claim", "onchange",
        *onchange({"rotation_id": "$rotation"}, "old_prefix", "old_expires_at", "integration_id",
                  "overlap_days"),
    ),
    "dialogue to put off, unsaved": (
        "postpone", "onchange", *onchange({"rotation_id": "$rotation"}, "deadline"),
    ),
    "dialogue to issue, unsaved": (
        "issue", "onchange", *onchange({"integration_id": "$hidden"}, "name", "max_age_days"),
    ),
    "dialogue of the signing secret, unsaved": (
        "signing.secret", "onchange",
        *onchange({"integration_id": "$hidden"}, "webhook_url", "set_at"),
    ),
    "dialogue of the second factor, unsaved": (
        "second.factor", "onchange", *onchange({"integration_id": "$hidden"}, "seed", "url"),
    ),
    "second factor being set up by another": (
        "second.factor", "read", ["$enrolment"], ["seed", "url"],
    ),
    "revocation being made by another": ("revoke", "read", ["$revocation"], ["reason", "key_ids"]),
}


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize("attacker", EVERYBODY)
def test_nothing_hidden_is_told(world, attacker, name):
    model, method, *args = READS[name]
    try:
        answer = world.call(attacker, WIZARD + model, method, *args)
    except (RuntimeError, Refused) as error:
        answer = error
    print(attacker, name, answer)
    assert not [text for text in world.hidden_texts if text in str(answer)]
