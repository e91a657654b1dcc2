"""Attempts of users with some rights to see or do more: every attempt over RPC fails.

Each attacker has their own key; the victim is an integration that none of them may see.
"""


import pytest

from callers.clients import Jsonrpc, Line, Refused

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
    settings = person("settings", "base.group_user", "base.group_system")
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
        "hidden_user": hidden.user_id.id, "settings": settings.id,
        "key": record.id, "rotation": rotation.id, "enrolment": enrolment.id,
        "revocation": revocation.id, "own_key": own.key_ids.id, "hidden_owner": hidden_owner.id,
        "system": env.ref("base.group_system").id,
        "access_rights_group": env.ref("base.group_erp_manager").id,
        # No answer to an attacker may hold any of these.
        "hidden_texts": [name, host, hidden_key[:8], enrolment.seed, "a hidden reason"],
    }
"""


class World:
    """The attackers and the hidden records."""

    def __init__(self, server):
        self.server = server
        made = server.shell(MAKE_WORLD, name=HIDDEN_NAME, host=HIDDEN_HOST)
        self.people, self.hidden_texts = made.pop("people"), made.pop("hidden_texts")
        self.ids = made

    def call(self, attacker, model, method, *args, **kwargs):
        """Call as an attacker; names of ids are replaced wherever they are."""
        uid, secret = self.people[attacker]
        self.ids["me"] = uid
        args, kwargs = self._filled(args), self._filled(kwargs)
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
def world(live_server, environment):
    return World(live_server("main"))


INTEGRATION, KEY = "auth.integration", "auth.integration.key"
EVERYBODY = ("portal", "employee", "access_rights", "owner", "thief")
MANAGER = ("manager",)


def onchange(model, values, *fields):
    """An onchange of a new record, which writes nothing."""
    spec = {name: {} for name in (*values, *fields)}
    return f"auth.integration.{model}", "onchange", [], values, list(values), spec


# Reading -----------------------------------------------------------------------------------------

READS = {
    "dialogue to claim, unsaved": onchange(
        "claim", {"rotation_id": "$rotation"}, "old_prefix", "old_expires_at", "integration_id",
        "old_key_text",
    ),
    "dialogue to put off, unsaved": onchange("postpone", {"rotation_id": "$rotation"}, "deadline"),
    "dialog to extend, unsaved": onchange("extend", {"key_id": "$key"}, "current_end", "latest"),
    "dialog to change access, unsaved": onchange(
        "access", {"key_id": "$key", "access": "read_only"}, "effect", "unused_rights"
    ),
    "operations": ("auth.integration.key.operation", "search_read", [], ["key_id", "method"]),
    "dialog to shorten, unsaved": onchange("shorten", {"policy_id": 1}, "key_count"),
    "dialogue to issue, unsaved": onchange(
        "issue", {"integration_id": "$hidden"}, "name", "max_age_days"
    ),
    "dialogue of the signing secret, unsaved": onchange(
        "signing.secret", {"integration_id": "$hidden"}, "webhook_url", "set_at"
    ),
    "dialogue of the second factor, unsaved": onchange(
        "second.factor", {"integration_id": "$hidden"}, "seed", "url"
    ),
    "name in a dialog, unsaved": (
        "auth.integration.signing.secret", "onchange", [], {"integration_id": "$hidden"},
        [], {"integration_id": {"fields": {"display_name": {}}}},
    ),
    "second factor of another": (
        "auth.integration.second.factor", "read", ["$enrolment"], ["seed", "url"],
    ),
    "revocation of another": (
        "auth.integration.revoke", "read", ["$revocation"], ["reason", "key_ids"],
    ),
    "integration": (INTEGRATION, "read", ["$hidden"], ["name", "webhook_url"]),
    "integrations": (INTEGRATION, "search_read", [], ["name", "webhook_url"]),
    "names": (INTEGRATION, "name_search", "Hidden"),
    "key": (KEY, "read", ["$key"], ["prefix"]),
    "keys": (KEY, "search_read", [], ["prefix"]),
    "keys with what they belong to": (
        KEY, "web_search_read", [],
        {"prefix": {}, "integration_id": {"fields": {"display_name": {}}}},
    ),
    "keys by group": (KEY, "formatted_read_group", [], ["prefix"], ["__count"]),
    "keys of the user": (
        "res.users", "web_read", ["$hidden_user"],
        {"api_key_record_ids": {"fields": {"prefix": {}}}},
    ),
    "rotations": ("auth.integration.rotation", "search_read", [], ["integration_id"]),
    "findings": ("auth.integration.finding", "search_read", [], ["message"]),
    "attempts": ("auth.attempt", "search_read", [], ["integration_id"]),
    "policies": ("auth.integration.policy", "search_read", [], ["integration_ids"]),
    "history": ("mail.message", "search_read", [("model", "=", INTEGRATION)], ["body"]),
    "activities": ("mail.activity", "search_read", [("res_model", "=", INTEGRATION)], ["summary"]),
}


def answer_of(world, attacker, *call, **kwargs):
    try:
        return world.call(attacker, *call, **kwargs)
    except (RuntimeError, Refused) as error:
        return error


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize("attacker", EVERYBODY)
def test_nothing_hidden_is_told(world, attacker, name):
    answer = answer_of(world, attacker, *READS[name])
    assert not [text for text in world.hidden_texts if text in str(answer)]


# The attacker's own dialogs about records they may not read, with the values to save them.
DIALOGS = {
    "claim": {"rotation_id": "$rotation"},
    "postpone": {"rotation_id": "$rotation", "until": "2099-01-01 00:00:00", "reason": "x"},
    "signing.secret": {"integration_id": "$hidden"},
    "revoke.all": {"integration_id": "$hidden", "reason": "x"},
    "issue": {"integration_id": "$hidden", "name": "x", "access": "full", "operations": "x"},
    "access": {"key_id": "$key"},
    "revoke": {"key_ids": [[6, 0, ["$key"]]], "reason": "x"},
}


@pytest.mark.parametrize("name", DIALOGS)
@pytest.mark.parametrize("attacker", EVERYBODY)
def test_a_saved_dialog_tells_nothing_hidden(world, attacker, name):
    """Read all fields: reading a name as superuser may cache other fields with it."""
    model = f"auth.integration.{name}"
    dialog = answer_of(world, attacker, model, "create", DIALOGS[name])
    answer = dialog
    if not isinstance(dialog, Exception):
        answer = answer_of(world, attacker, model, "read", [dialog], [])
    assert not [text for text in world.hidden_texts if text in str(answer)]


# Filters on fields that an attacker may not read: if they worked, each letter could be guessed.
ORACLES = {
    "the endpoint, by key": (KEY, "integration_id.webhook_url", "%hidden%"),
    "the endpoint, by user": ("res.users", "integration_ids.webhook_url", "%hidden%"),
    "the name, by user": ("res.users", "owned_integration_ids.name", "%Hidden%"),
    "the prefix, by user": ("res.users", "api_key_record_ids.integration_id.name", "%Hidden%"),
    "the seed": (INTEGRATION, "totp_seed", "%"),
    "the seed, by address": ("auth.integration.key.address", "integration_id.totp_seed", "%"),
    "the signing secret, by key": (KEY, "integration_id.webhook_secret", "%"),
}


@pytest.mark.parametrize("name", ORACLES)
def test_no_filter_answers_for_a_field(world, name):
    model, field, pattern = ORACLES[name]
    # An integration administrator may read everything but secrets.
    for attacker in (*EVERYBODY, *(MANAGER if pattern == "%" else ())):
        answers = [
            str(answer_of(world, attacker, model, "search_count", [(field, "=like", like)]))
            for like in (pattern, "no such text")
        ]
        assert answers[0] == answers[1], attacker


def test_a_stolen_key_does_not_read_what_its_owners_write(world):
    """The integration user follows no integration, so it does not get the users' discussion."""
    world.call("owner", INTEGRATION, "message_post", ["$own"], body="Our key leaked, hush!",
               subtype_xmlid="mail.mt_comment")
    found = world.call("thief", "mail.message", "search_read", [("model", "=", INTEGRATION)])
    assert not found


# Changing ----------------------------------------------------------------------------------------

EVIL = "https://evil.example/"
CHANGES = {
    "revoke": (EVERYBODY, KEY, "revoke", ["$key"], "for fun"),
    "rotate a key": (EVERYBODY, KEY, "action_rotate_now", ["$key"]),
    "change access": (EVERYBODY, KEY, "set_access", ["$key"], "full", "enforce", False, "", "x"),
    "change access in the dialog": (EVERYBODY, KEY, "action_change_access", ["$key"]),
    "have access suggested": (EVERYBODY, KEY, "action_suggest_access", ["$key"]),
    "enforce access": (EVERYBODY, KEY, "action_enforce_access", ["$key"]),
    "write what a key may call": (
        (*EVERYBODY, "manager"), "auth.integration.key.operation", "create",
        {"key_id": "$own_key", "model": "res.partner", "method": "unlink", "allowed": True},
    ),
    "write what a key may do": (
        (*EVERYBODY, "manager"), KEY, "write", ["$own_key"],
        {"access": "full", "operation_ids": [[0, 0, {"model": "x", "method": "y"}]]},
    ),
    "undo a revocation": (EVERYBODY, KEY, "action_undo_revocation", ["$key"]),
    "undo a revocation in the dialog": (
        EVERYBODY, "auth.integration.undo.revocation", "create",
        {"key_id": "$key", "reason": "x"},
    ),
    "extend a key": (EVERYBODY, KEY, "action_extend", ["$key"]),
    "extend a key in the dialog": (
        EVERYBODY, "auth.integration.extend", "create",
        {"key_id": "$key", "expires_at": "2099-01-01 00:00:00", "reason": "x"},
    ),
    "shorten all keys": (
        EVERYBODY, "auth.integration.policy", "action_shorten_existing_keys", [1],
    ),
    "shorten all keys in the dialog": (
        EVERYBODY, "auth.integration.shorten", "create", {"policy_id": 1},
    ),
    "prolong a key": ((*EVERYBODY, "manager"), KEY, "write", ["$own_key"], {"expires_at": False}),
    "save a key": (EVERYBODY, KEY, "web_save", ["$own_key"], {"compromised": True}, {}),
    "prolong a key by its integration": (
        MANAGER, INTEGRATION, "write", ["$own"], {"key_ids": [[1, "$own_key", {"name": "x"}]]},
    ),
    "prolong a key by its user": (
        MANAGER, INTEGRATION, "write", ["$own"],
        {"owner_ids": [[1, "$hidden_owner", {"api_key_record_ids": [[5]]}]]},
    ),
    "make a key's record": ((*EVERYBODY, "manager"), KEY, "create", {"prefix": "x"}),
    "delete a key's record": ((*EVERYBODY, "manager"), KEY, "unlink", ["$own_key"]),
    "issue": (EVERYBODY, INTEGRATION, "issue_key", ["$hidden"]),
    "issue by the dialogue": (EVERYBODY, INTEGRATION, "action_issue_key", ["$hidden"]),
    "make himself an owner": (
        EVERYBODY, INTEGRATION, "write", ["$hidden"], {"owner_ids": [[4, "$me"]]},
    ),
    "make an owner of his own": (
        EVERYBODY, INTEGRATION, "write", ["$own"], {"owner_ids": [[4, "$hidden_owner"]]},
    ),
    "allow every network": (
        EVERYBODY, INTEGRATION, "write", ["$own"], {"allowed_networks": False},
    ),
    "lead new keys elsewhere": (
        EVERYBODY, INTEGRATION, "write", ["$own"], {"webhook_url": EVIL},
    ),
    "make an integration": (
        EVERYBODY, INTEGRATION, "create", {"name": "x", "code": "x", "user_id": "$hidden_owner"},
    ),
    "delete": (EVERYBODY, INTEGRATION, "unlink", ["$hidden"]),
    "restore": (EVERYBODY, INTEGRATION, "action_restore_user", ["$hidden"]),
    "remove the second factor": (EVERYBODY, INTEGRATION, "action_remove_totp", ["$hidden"]),
    "set up a second factor": (EVERYBODY, INTEGRATION, "action_set_up_totp", ["$hidden"]),
    "set up a second factor in the dialogue": (
        EVERYBODY, "auth.integration.second.factor", "create", {"integration_id": "$hidden"},
    ),
    "diagnose": (EVERYBODY, INTEGRATION, "action_diagnose", ["$hidden"]),
    "write into the history": (EVERYBODY, INTEGRATION, "message_post", ["$hidden"]),
    "follow": (EVERYBODY, INTEGRATION, "message_subscribe", ["$hidden"], [3]),
    "cancel a rotation": (
        EVERYBODY, "auth.integration.rotation", "action_cancel", ["$rotation"],
    ),
    "put a rotation off": (
        EVERYBODY, "auth.integration.rotation", "postpone", ["$rotation"], "2099-01-01", "x",
    ),
    "claim": (EVERYBODY, "auth.integration.rotation", "action_claim", ["$rotation"]),
    "change the policy": (
        EVERYBODY, "auth.integration.policy", "write", [1], {"max_age_days": 9999},
    ),
    "change the log": ((*EVERYBODY, "manager"), "auth.attempt", "write", [1], {"count": 0}),
    "empty the log": ((*EVERYBODY, "manager"), "auth.attempt", "unlink", [1]),
    "restore the user": (
        ("portal", "employee", "owner", "thief", "manager"),
        "res.users", "action_restore_archived", ["$hidden_user"],
    ),
    "slip rights under an owner": (
        ("access_rights",), "res.users", "write", ["$hidden_user"], {"group_ids": [[4, "$system"]]},
    ),
    "become owner of a privileged one": (
        MANAGER, INTEGRATION, "write", ["$privileged"], {"owner_ids": [[4, "$me"]]},
    ),
    "take a privileged user over": (
        MANAGER, INTEGRATION, "write", ["$own"], {"user_id": "$settings"},
    ),
    "have a privileged key sent": (
        MANAGER, INTEGRATION, "write", ["$privileged"], {"webhook_url": EVIL},
    ),
    "have a privileged key sent, by the policy": (
        MANAGER, "auth.integration.policy", "write", [1],
        {"integration_ids": [[1, "$privileged", {"webhook_url": EVIL}]]},
    ),
    "issue a privileged key": (MANAGER, INTEGRATION, "issue_key", ["$privileged"]),
    "take the superuser over": (
        MANAGER, INTEGRATION, "create", {"name": "x", "code": "x", "user_id": 1},
    ),
    "set a seed": (MANAGER, INTEGRATION, "write", ["$own"], {"totp_seed": "x"}),
    # PostgreSQL reads these numbers differently: no one would get any notice.
    "break the notices of all": (
        MANAGER, "auth.integration.policy", "write", [1], {"notice_days": "30,14,"},
    ),
}
UNCHANGED = (
    "SELECT id, name, active, user_id, webhook_url, allowed_networks, totp_seed"
    " FROM auth_integration ORDER BY id",
    "SELECT * FROM auth_integration_owner_rel ORDER BY 1, 2",
    "SELECT id, name, ended_at, replace_by, expires_at, retire_at, compromised"
    " FROM auth_integration_key"
    " ORDER BY id",
    "SELECT id, user_id, expiration_date FROM res_users_apikeys ORDER BY id",
    "SELECT id, login, active, password FROM res_users ORDER BY id",
    "SELECT * FROM res_groups_users_rel ORDER BY 1, 2",
    "SELECT id, cancelled_at, postponed_until, new_key_id FROM auth_integration_rotation",
    "SELECT id, notice_days, max_age_days FROM auth_integration_policy",
    "SELECT id FROM auth_integration_second_factor ORDER BY id",
    "SELECT id FROM auth_integration_diagnosis ORDER BY id",
    "SELECT id FROM mail_message WHERE model = 'auth.integration' ORDER BY id",
    "SELECT id FROM mail_followers WHERE res_model = 'auth.integration' ORDER BY id",
)


@pytest.mark.parametrize("name", CHANGES)
def test_nothing_is_changed(world, name):
    attackers, *call = CHANGES[name]
    before = [world.server.sql(query) for query in UNCHANGED]
    for attacker in attackers:
        assert isinstance(answer_of(world, attacker, *call), RuntimeError | Refused), attacker
        assert [world.server.sql(query) for query in UNCHANGED] == before, attacker


def test_settings_are_settings_business(world):
    """Odoo's methods of the settings page work for every user if there is no record."""
    parameters = (
        "SELECT key, value FROM ir_config_parameter"
        " WHERE key LIKE 'auth_integration.%' AND value IS NOT NULL ORDER BY key"
    )
    world.server.shell("""
        env["res.config.settings"].create({
            "auth_integration_throttle_failures": 7,
            "auth_integration_throttle_exempt_networks": "198.51.100.0/24",
            "auth_integration_weekly_summary_mail": True,
            "auth_integration_alert_quiet_hours": "21-6",
        }).execute()
    """)
    before = world.server.sql(parameters)
    assert {"key": "auth_integration.throttle_failures", "value": "7"} in before
    model, prefix = "res.config.settings", "auth_integration_"
    names = [f"{prefix}throttle_failures", f"{prefix}throttle_exempt_networks"]
    for attacker in (*EVERYBODY, *MANAGER):
        answers = [
            answer_of(world, attacker, model, *call)
            for call in (["set_values", []], ["get_values"], ["default_get", names])
        ]
        assert "198.51.100" not in str(answers) and "': 7" not in str(answers), attacker
        assert world.server.sql(parameters) == before, attacker
    shown = world.call("settings", model, "default_get", names)
    assert [shown[name] for name in names] == [7, "198.51.100.0/24"]


def test_owners_are_named_on_the_integration_only(world):
    """A user who may write users could become an owner without the integration's checks."""
    world.server.shell(
        "env['res.users'].browse(uid).group_ids = [(4, group)]",
        uid=world.people["manager"][0], group=world.ids["access_rights_group"],
    )
    world.call(
        "manager", "res.users", "write", ["$me"], {"owned_integration_ids": [[4, "$privileged"]]}
    )
    owners = world.server.sql(
        "SELECT user_id FROM auth_integration_owner_rel WHERE integration_id = %s",
        [world.ids["privileged"]],
    )
    assert owners == [{"user_id": world.ids["hidden_owner"]}]


def test_context_of_the_caller(world):
    """The caller's context cannot give an integration user a password or rights.

    Nor can it archive an integration without its user.
    """
    defaults = {"default_password": "known", "default_role": "group_system"}
    made = world.call(
        "manager", INTEGRATION, "create", {"name": "made", "code": "made"}, context=defaults
    )
    [user] = world.server.sql("SELECT password, active FROM res_users WHERE login = 'made'")
    assert user == {"password": None, "active": True}
    for name in ("auth_integration_following", "auth_integration_from_user"):
        for active in (False, True):
            world.call(
                "manager", INTEGRATION, "write", [made], {"active": active}, context={name: True}
            )
            [user] = world.server.sql("SELECT active FROM res_users WHERE login = 'made'")
            assert user["active"] == active


# Without any account -----------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/auth_integration/verify", "/json/2/res.users/context_get"])
@pytest.mark.parametrize(
    "secret",
    {
        "NUL": "\x00", "40 NULs": "\x00" * 40, "NUL later": "12345678\x00", "no ASCII": "\xff\xfe",
        "60 kB": "a" * 60000, "7 characters": "1234567", "words": "a b c", "a format": "%s",
    }.items(),
    ids=lambda item: item[0],
)
def test_whatever_is_sent_as_a_key(world, path, secret):
    """It is refused like any wrong key, and recorded; it causes no error in the add-on."""
    _name, secret = secret
    before = world.server.sql("SELECT COALESCE(sum(count), 0)::int AS n FROM auth_attempt")
    status, headers, _body = Line(world.server).post(
        path, "{}", {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
    )
    assert status == 401 and headers["X-Auth-Reference"]
    after = world.server.sql("SELECT COALESCE(sum(count), 0)::int AS n FROM auth_attempt")
    assert after[0]["n"] == before[0]["n"] + 1


def test_verify_is_limited(world):
    """No address can try keys without limit, and none prevents another one from asking."""

    def ask(source):
        line = Line(world.server, source=source)
        return line.post("/auth_integration/verify", "", {"Authorization": f"Bearer {'0' * 40}"})[0]

    answers = [ask("127.0.0.7") for _number in range(61)]  # a new minute may begin once
    assert answers[:30] == [401] * 30 and 429 in answers
    assert ask("127.0.0.8") == 401


def test_no_header_opens_a_network(world):
    """Without ``proxy_mode``, the address is that of the connection, whatever the headers say.

    A header that makes the add-on fail would let the caller in.
    """
    rule = "UPDATE auth_integration SET allowed_networks = %s WHERE code = 'own'"
    world.server.sql(rule, ["10.0.0.0/8"])
    _uid, key = world.people["thief"]
    for headers in (
        {"X-Forwarded-For": "10.0.0.1", "X-Forwarded-Host": "x"},
        {"X-Forwarded-For": "10.0.0.1, \xff"},
        {"X-Real-IP": "10.0.0.1", "Forwarded": "for=10.0.0.1"},
        {"User-Agent": "\xff\xfe\x80"},
        {"User-Agent": "x/1.0 " * 9000},
    ):
        for path in ("/json/2/res.users/context_get", "//json/2/res.users/context_get"):
            status, _headers, body = Line(world.server).post(
                path, "{}",
                {"Authorization": f"Bearer {key}", "Content-Type": "application/json", **headers},
            )
            assert status == 401, (path, headers, body)
    world.server.sql(rule, [None])
