"""While any part of the add-on fails, Odoo alone decides: good credentials get in, no others."""

import xmlrpc.client

import pytest

from callers.clients import Authenticate, Json2, Jsonrpc, Line, Refused, Session, Xmlrpc, accepted
from dev.common import TEST_ADDONS

PASSWORD = "a person's password"
MAKE_WORLD = """
    from datetime import datetime, timedelta
    env["ir.config_parameter"].set_param("auth_integration.throttle_failures", "1000")
    person = env["res.users"].create({"name": "person", "login": "person", "password": password})
    owner = env.ref("base.user_admin")
    uids, keys = {"person": person.id}, {}
    rules = {"near": {"allowed_networks": "127.0.0.0/8"},
             "far": {"allowed_networks": "192.0.2.0/24"},
             "other": {"allowed_channels": "http"}}
    for code in ("good", "expired", "removed", "archived", *rules):
        integration = env["auth.integration"].create(
            {"name": code, "code": code, "owner_ids": [(4, owner.id)], **rules.get(code, {})})
        uids[code] = integration.user_id.id
        keys[code] = integration.issue_key()["key"]
    limited = {}
    for code, access in {"reader": {"access": "read_only"},
                         "lister": {"operations": [["res.partner", "search"]]}}.items():
        integration = env["auth.integration"].create(
            {"name": code, "code": code, "owner_ids": [(4, owner.id)]})
        integration.user_id.group_ids += env.ref("base.group_partner_manager")
        limited[code] = [integration.user_id.id, integration.issue_key(**access)["key"]]
    env.flush_all()
    cr.execute("UPDATE res_users_apikeys SET expiration_date = %s WHERE user_id = %s",
               [datetime.now() - timedelta(days=1), uids["expired"]])
    cr.execute("DELETE FROM res_users_apikeys WHERE user_id = %s", [uids["removed"]])
    cr.execute("UPDATE res_users SET active = FALSE WHERE id = %s", [uids["archived"]])
    env.invalidate_all()
    env["auth.integration.key"]._reconcile()
    env.registry.clear_cache()
    result = {"uids": uids, "keys": keys, "limited": limited}
"""

# Every function of the add-on that runs during authentication, by the place where it is looked up,
# except those that only set or read a context variable.
PLACES = (
    "models.res_users:ResUsers._integration_id",
    "models.res_users:ResUsers._rpc_user",
    "models.res_users:ResUsers._session_state",
    "models.res_users:ResUsers._memo_place",
    "models.res_users:ResUsers._acceptance_epoch",
    "models.res_users:ResUsers._remember_acceptance",
    "models.res_users:ResUsers._is_accepted_key",
    "models.res_users:ResUsers._recognize_key",
    "models.res_users:ResUsers._refusal_codes",
    "models.res_users:ResUsers._note_login",
    "models.res_users:ResUsers._note_rpc_credential",
    "models.res_users:ResUsers._note_checked_user",
    "models.res_users:ResUsers._is_malformed",
    "models.res_users:ResUsers._refuse_interactive",
    "models.res_users:ResUsers._requires_api_key",
    "models.res_users:ResUsers._require_api_key",
    "models.res_users:ResUsers._session_token_of_integration",
    "models.res_users:is_key_shaped",
    "models.res_users_apikeys:ResUsersApikeys._is_only_core_below",
    "models.res_users_apikeys:ResUsersApikeys._authorize_secret",
    "models.res_users_apikeys:ResUsersApikeys._recall",
    "models.res_users_apikeys:ResUsersApikeys._identify",
    "models.res_users_apikeys:ResUsersApikeys._authorize",
    "models.res_users_apikeys:ResUsersApikeys._refusal_codes",
    "models.res_users_apikeys:ResUsersApikeys._is_known_to_be_none",
    "models.res_users_apikeys:ResUsersApikeys._annotate",
    "models.res_users_apikeys:ResUsersApikeys._live_facts",
    "models.res_users_apikeys:is_key_shaped",
    "models.res_users_apikeys:refusal_codes",
    "models.ir_http:IrHttp._note_bearer_header",
    "models.ir_http:IrHttp._note_refusal",
    "models.attempt.auth_attempt_recorder:AuthAttempt._open",
    "models.attempt.auth_attempt_recorder:AuthAttempt._new_attempt",
    "models.attempt.auth_attempt_recorder:AuthAttempt._emit_in",
    "models.attempt.auth_attempt_recorder:AuthAttempt._emit_failure",
    "models.attempt.auth_attempt_recorder:AuthAttempt._successful_use",
    "models.attempt.auth_attempt_recorder:AuthAttempt._log_cursor",
    "models.attempt.auth_attempt_recorder:AuthAttempt._write_failure",
    "models.attempt.auth_attempt_recorder:AuthAttempt._write_use",
    "models.attempt.auth_attempt_recorder:AuthAttempt._add",
    "models.attempt.auth_attempt_recorder:AuthAttempt._upsert",
    "tools.attempt.attempt_logging:log_refusal",
    "models.attempt.auth_attempt_recorder:_was_emitted",
    "models.health.auth_integration_server:AuthIntegrationServer._detect_untrusted_proxy",
    "models.key.auth_integration_key_usage:AuthIntegrationKey._record_use",
    "models.key.auth_integration_key_usage:AuthIntegrationKey._lock_for_use",
    "models.key.auth_integration_key_usage:AuthIntegrationKey._add_uses",
    "tools.attempt.request_state:attempt",
    "tools.attempt.request_state:note",
    "tools.attempt.request_state:opened",
    "tools.attempt.request_state:serving",
    "tools.attempt.request_state:dispatching",
    "tools.attempt.request_state:Attempt.note",
    "tools.attempt.request_state:Attempt.attribute",
    "tools.attempt.caller:current",
    "tools.attempt.caller:new_attempt",
    "tools.key.identity_cache:IdentityCache.get",
    "tools.key.identity_cache:IdentityCache.set",
    "tools.key.identity_cache:IdentityCache.digest",
    "tools.key.identity_cache:PasswordMemo.get",
    "tools.key.identity_cache:PasswordMemo.counter",
    "tools.key.identity_cache:PasswordMemo.set",
    "tools.hook_queries:query",
    "tools.hook_queries:_query_on",
    "tools.hook_queries:_query_first",
    "tools.hook_queries:_query_within",
    "models.throttle.res_users_throttle:ResUsers._limit_login",
    "models.throttle.res_users_throttle:ResUsers._limit_user_id",
    "models.throttle.res_users_throttle:ResUsers._limit_check",
    "models.throttle.auth_throttle:AuthThrottle._guess",
    "models.throttle.auth_throttle:AuthThrottle._is_full",
    "models.throttle.auth_throttle:AuthThrottle._reserve",
    "models.throttle.auth_throttle:AuthThrottle._release",
    "models.throttle.auth_throttle:AuthThrottle._fail",
    "models.throttle.auth_throttle:AuthThrottle._window",
    "models.throttle.auth_throttle:counters_of",
    "models.throttle.auth_throttle_guard:AuthThrottle._admit",
    "models.throttle.auth_throttle_guard:AuthThrottle._count_failure",
    "models.throttle.auth_throttle_guard:AuthThrottle._spend_time",
    "models.throttle.auth_throttle_guard:_identity",
    "tools.throttle.guess:note_comparison",
    "models.attempt.auth_attempt_enrichment:AuthAttempt._enrich",
    "models.attempt.auth_attempt_enrichment:AuthAttempt._user_query",
    "models.attempt.auth_attempt_enrichment:AuthAttempt._lookup_context",
    "tools.attempt.flood_limits:failure_level",
    "tools.attempt.flood_limits:collapse_failure",
    "models.attempt.auth_attempt_enrichment:AuthAttempt._failure_values",
    "models.ir_http:strip_addon_frames",
    "tools.attempt.references:reference",
    "tools.attempt.buckets:bucket_hash",
    "tools.attempt.user_agent:describe",
    "tools.key.usage_writer:UsageWriter.add",
    "tools.key.usage_writer:UsageWriter.count",
    "tools.attempt.request_state:counting",
    "tools.access.operations:watch",
    "tools.access.operations:note",
    "tools.access.operations:is_write",
    "tools.access.operations:OperationCall.counts",
    "tools.access.operations:OperationCall.end",
    "models.attempt.auth_attempt_rpc_use:AuthAttempt._note_rpc_use",
    "tools.attempt.log_redaction:_describe",
    "tools.attempt.rpc_failures:report_refusal",
    "models.res_users:ResUsers._told_of_caller",
    "models.res_users_apikeys:ResUsersApikeys._authenticated_key",
    "tools.access.operations:note",
)
# Functions that only run for keys that may do less than their users.
LIMITING_PLACES = (
    "tools.access.enforcement:hold",
    "tools.access.enforcement:check_lookup",
    "tools.access.enforcement:make_read_only",
    "tools.access.enforcement:error_for_rejected_write",
    "tools.access.enforcement:_is_covered",
    "tools.access.enforcement:_refuse",
    "tools.access.enforcement:_is_write_rejected",
    "tools.access.enforcement:_is_reading",
    "models.access.auth_integration_key_refusal:AuthIntegrationKey._is_listed",
    "models.access.auth_integration_key_refusal:AuthIntegrationKey._is_in_star",
    "models.access.auth_integration_key_refusal:AuthIntegrationKey._refused_attempt",
    "models.access.auth_integration_key_refusal:AuthIntegrationKey._operation_error",
    "models.access.auth_integration_key_refusal:AuthIntegrationKey._listed_names",
)


@pytest.fixture(scope="module")
def server(live_server):
    return live_server(
        "main",
        modules=("auth_integration", "auth_integration_faults"),
        extra_addons=(TEST_ADDONS,),
    )


@pytest.fixture(scope="module")
def world(server):
    return server.shell(MAKE_WORLD, password=PASSWORD)


class FaultyLine(Line):
    """A line on which one function of the add-on fails during each call."""

    def __init__(self, server, place):
        super().__init__(server)
        self.place, self.reached = place, 0

    def request(self, method, path, body=None, headers=()):
        headers = {**dict(headers), "X-Fault": self.place}
        if self.place.endswith("_detect_untrusted_proxy"):
            # As through a proxy that Odoo is not configured for.
            headers["X-Forwarded-For"] = "203.0.113.1"
        status, answered, answer = super().request(method, path, body, headers)
        self.reached += int(answered["X-Fault-Reached"])
        return status, answered, answer


def calls_with_key(line, login, uid, key):
    """Return the clients for every way to use a key."""
    server = line.server
    return {
        "xmlrpc": Xmlrpc(server, uid, key, line),
        "jsonrpc": Jsonrpc(server, uid, key, line),
        "json2": Json2(server, key, line),
        "authenticate": Authenticate(server, login, key, line),
    }


def context_of(client):
    return lambda: client.call("res.users", "context_get")


def let_in(call):
    """Whether a call is accepted; an answer to try again later counts as no."""
    try:
        return accepted(call)
    except (RuntimeError, xmlrpc.client.Fault) as error:
        assert "Try again later" in str(error)
        return False


def logs_in(line, password):
    """Whether a user can log in as in the web client."""
    try:
        return Session(line.server, "person", password, line).uid
    except Refused:
        return False


def check(server, world, line):
    """Good keys and passwords are accepted, twice: what was cached may be wrong.

    Wrong and ended ones are refused, and so are those whose rules do not allow the call.
    """
    server.expect_log(".")
    uids, keys = world["uids"], world["keys"]
    found, expected = {}, {}
    for name, key in {**keys, "wrong": "0" * 40}.items():
        if name == "near":
            continue  # accepted with the add-on, refused by Odoo alone
        login = name if name in uids else "good"
        for way, client in calls_with_key(line, login, uids[login], key).items():
            for turn in (1, 2) if name == "good" else (1,):
                found[name, way, turn] = let_in(context_of(client))
                expected[name, way, turn] = name == "good"
    for name, password in (("right", PASSWORD), ("other", "a wrong password")):
        found[name, "web"] = bool(logs_in(line, password))
        found[name, "xmlrpc"] = accepted(context_of(Xmlrpc(server, uids["person"], password, line)))
        expected |= {(name, way): name == "right" for way in ("web", "xmlrpc")}
    assert {case: got for case, got in found.items() if got != expected[case]} == {}


def renew(server, world):
    """Make a good key that no process knows yet, and a password that was not yet accepted."""
    world["keys"]["good"] = server.shell(
        """
        env["res.users"].search([("login", "=", "person")]).password = password
        integration = env["auth.integration"].search([("code", "=", "good")])
        result = integration.issue_key()["key"]
        """,
        password=PASSWORD,
    )


@pytest.mark.parametrize("place", PLACES)
def test_odoo_alone_decides(server, world, place):
    renew(server, world)
    line = FaultyLine(server, place)
    check(server, world, line)
    assert line.reached, "no call came by this function"


@pytest.mark.parametrize("place", PLACES + LIMITING_PLACES)
def test_no_limit_of_a_key_is_lifted(server, world, place):
    """Whatever fails, a read-only key writes nothing, and one with a list keeps to it."""
    server.expect_log(".")
    line, before = FaultyLine(server, place), partners(server)
    for uid, key in world["limited"].values():
        for client in (Xmlrpc(server, uid, key, line), Jsonrpc(server, uid, key, line)):
            assert not succeeds(client.call, "res.partner", "create", [{"name": "x"}])
        client = Json2(server, key, line)
        assert not succeeds(client.call, "res.partner", "create", vals_list=[{"name": "x"}])
    assert partners(server) == before
    assert line.reached or place in PLACES, "no call came by this function"


def succeeds(call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except (Refused, RuntimeError, ValueError, xmlrpc.client.Fault):
        return False
    return True


def partners(server):
    return server.sql("SELECT count(*) AS number FROM res_partner")[0]["number"]


def test_an_answer_that_cannot_be_looked_at_is_as_ever(server):
    """Refusals that no model sees are detected in the response."""
    server.expect_log(".")
    line = FaultyLine(server, "tools.attempt.http_failures:report")
    status, _headers, _answer = line.post(
        "/json/2/res.users", "{}", {"Content-Type": "application/json"}
    )
    assert (status, line.reached) == (404, 1)


@pytest.mark.parametrize(
    "table",
    [
        "auth_integration", "auth_integration_key", "auth_attempt", "auth_throttle",
        "auth_integration_key_operation", "auth_integration_rpc_use",
    ],
)
def test_without_a_table(server, world, table):
    """The login's transaction survives a failed query of the add-on."""
    renew(server, world)
    server.sql(f"ALTER TABLE {table} RENAME TO {table}_away")
    try:
        check(server, world, Line(server))
    finally:
        server.sql(f"ALTER TABLE {table}_away RENAME TO {table}")


def test_a_password_is_changed_all_the_same(server, world):
    """The password can be changed even if the time of the change cannot be recorded."""
    server.expect_log(".")
    table = "auth_integration_password_change"
    server.sql(f"ALTER TABLE {table} RENAME TO {table}_away")
    try:
        server.shell(
            "env['res.users'].search([('login', '=', 'person')]).password = 'another password'"
        )
    finally:
        server.sql(f"ALTER TABLE {table}_away RENAME TO {table}")
    assert logs_in(Line(server), "another password")


# Keys with rules ---------------------------------------------------------------------------------


def answers(line, world, name):
    """The answer to a key on every way: ``accepted``, ``refused``, or the error's text."""
    found = {}
    for way, client in calls_with_key(
        line, name, world["uids"][name], world["keys"][name]
    ).items():
        try:
            found[way] = "accepted" if accepted(context_of(client)) else "refused"
        except (RuntimeError, xmlrpc.client.Fault) as error:
            found[way] = str(error)
    return found


def test_rules_are_held(server, world):
    """Without a fault, a key with rules works where they allow it, and nowhere else."""
    line = Line(server)
    expected = {"near": {"accepted"}, "far": {"refused"}, "other": {"refused"}}
    assert {name: set(answers(line, world, name).values()) for name in expected} == expected


def test_unreadable_rules_are_no_wrong_key(server, world):
    """If the rules cannot be read, the call is refused with the message to try again later."""
    server.expect_log(".")
    line = FaultyLine(server, "models.res_users_apikeys:ResUsersApikeys._live_facts")
    for name in ("near", "far"):
        for way, answer in answers(line, world, name).items():
            assert "Try again later" in answer, (name, way)
            assert "auth_integration_faults" not in answer  # does not name the failed part, either
        assert answers(line, world, name)["json2"].startswith("503 ")
    assert set(answers(Line(server), world, "near").values()) == {"accepted"}


def test_native_scope_is_what_stock_refuses(server, world):
    """The native rows of keys with rules have a scope that stock does not accept; others do not."""
    rows = server.sql(
        "SELECT u.login, n.scope FROM res_users_apikeys n JOIN res_users u ON u.id = n.user_id"
        " WHERE u.login IN ('near', 'far', 'other', 'archived')"
    )
    restricted = dict.fromkeys(("near", "far", "other"), "auth_integration")
    assert {row["login"]: row["scope"] for row in rows} == restricted | {"archived": "rpc"}


def test_what_core_alone_accepted_is_not_taken_for_a_password(server):
    """A key that was accepted while the add-on failed is checked as a key on the next call."""
    server.expect_log(".")
    made = server.shell(
        """
        user = env["res.users"].with_context(no_reset_password=True).create(
            {"name": "holder", "login": "holder"})
        result = user.id, env["res.users.apikeys"].with_user(user).sudo()._generate(
            None, "holder", "2099-01-01")
        """
    )
    uid, key = made
    for place in (
        "models.res_users_apikeys:ResUsersApikeys._authorize_secret",
        "models.attempt.auth_attempt_recorder:AuthAttempt._open",
    ):
        client = Xmlrpc(server, uid, key, FaultyLine(server, place))
        assert accepted(context_of(client))
    server.sql("DELETE FROM res_users_apikeys WHERE user_id = %s", [uid])
    assert not accepted(context_of(Xmlrpc(server, uid, key)))
