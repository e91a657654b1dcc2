"""The life of a key on real servers, from its creation in any way to the record of its end."""

import functools
import http.cookies
import re
import time
import urllib.parse
from concurrent.futures import ThreadPoolExecutor

import pytest

from callers.clients import (
    Json2,
    Jsonrpc,
    Line,
    Refused,
    Session,
    Xmlrpc,
    accepted,
    administrator,
    ways,
)
from dev.common import TEST_ADDONS
from processes import each_worker, odoo

PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def server(live_server):
    """A server with two workers: what one of them learns, the other one must learn."""
    return live_server("main", workers=2)


@pytest.fixture(scope="module")
def admin(server):
    """The administrator, over XML-RPC."""
    return administrator(server)


def make_user(admin, login, **values):
    """Make an internal user with a password, and return the user's ID."""
    [uid] = admin.call(
        "res.users", "create", [{"name": login, "login": login, "password": PASSWORD, **values}]
    )
    return uid


def make_integration(admin, code, **values):
    """Make an integration; return its ID, its user's ID and a key."""
    [integration] = admin.call(
        "auth.integration", "create", [{"name": code, "code": code, **values}]
    )
    [read] = admin.call("auth.integration", "read", [integration], ["user_id"])
    issued = admin.call("auth.integration", "issue_key", [integration])
    return integration, read["user_id"][0], issued["key"]


def record(admin, key, *fields):
    """Read the add-on's record of a key, found by its prefix."""
    [found] = admin.call(
        "auth.integration.key", "search_read", [("prefix", "=", key[:8])], list(fields)
    )
    return found


def native(server, key):
    """Return the native row of a key, or None."""
    rows = server.sql("SELECT * FROM res_users_apikeys WHERE index = %s", [key[:8]])
    return rows[0] if rows else None


def last_failure(server):
    """Return the newest failure in the log."""
    [row] = server.sql(
        "SELECT * FROM auth_attempt WHERE outcome = 'failure' ORDER BY id DESC LIMIT 1"
    )
    return row


def causes_of(server, uid):
    """Return the causes of a user's refusals in the log, by channel."""
    rows = server.sql(
        "SELECT channel, array_agg(DISTINCT cause) AS causes FROM auth_attempt"
        " WHERE user_id = %s AND outcome = 'failure' GROUP BY channel",
        [uid],
    )
    return {row["channel"]: set(row["causes"]) for row in rows}


# Creation ----------------------------------------------------------------------------------------


def make_in_preferences(session, name, **values):
    """Make a key as the preferences page does, and return it."""
    wizard = session.call(
        "res.users.apikeys.description", "create", [{"name": name, "duration": "1", **values}]
    )
    shown = session.call_checked("res.users.apikeys.description", "make_key", wizard)
    return shown["context"]["default_key"]


def test_key_from_the_preferences_page(server, admin):
    """A key that users make for themselves is recorded with all its properties."""
    uid = make_user(admin, "pia")
    session = Session(server, "pia", PASSWORD)
    key = make_in_preferences(session, "my laptop")
    found = record(
        admin,
        key,
        "name",
        "state",
        "user_id",
        "issued_by",
        "expires_at",
        "imported",
        "login",
        "integration_id",
        "scope",
    )
    assert (found["name"], found["state"], found["login"]) == ("my laptop", "pending", "pia")
    assert found["user_id"] == found["issued_by"] == [uid, "pia"]
    assert found["integration_id"] is False and found["imported"] is False
    assert found["expires_at"] == str(native(server, key)["expiration_date"])
    assert all(map(accepted, ways(server, uid, "pia", key).values()))
    [own] = session.call("auth.integration.key", "search_read", [], ["state"])
    assert own == {"id": found["id"], "state": "active"}
    session.call_checked("res.users.apikeys", "remove", [native(server, key)["id"]])
    ended = record(admin, key, "state", "end_reason", "ended_by")
    assert (ended["state"], ended["ended_by"]) == ("revoked", [uid, "pia"])
    assert "pia" in ended["end_reason"]
    assert not any(map(accepted, ways(server, uid, "pia", key).values()))


def test_administrators_own_key_without_end(server, admin):
    """A personal key may have no end if Odoo allows that."""
    key = make_in_preferences(Session(server, "admin", "admin"), "forever", duration="0")
    assert record(admin, key, "state", "expires_at")["expires_at"] is False
    assert native(server, key)["expiration_date"] is None


def generate(server, uid, end):
    """Make a key as other code does, for any user; ``end`` is a Python expression for its end."""
    return server.shell(
        f"""
        import datetime
        now = datetime.datetime.now()
        result = env["res.users.apikeys"].with_user(uid).sudo()._generate("rpc", "other", {end})
        """,
        uid=uid,
    )


def test_key_made_by_other_code_for_an_integration(server, admin):
    """``_generate`` respects the policy: it sets an end, and rejects a past or late one."""
    _integration, uid, _key = make_integration(admin, "generated")
    key = generate(server, uid, "None")
    found = record(admin, key, "expires_at", "integration_id", "rotate_after", "scope")
    assert found["integration_id"][1] == "generated" and found["scope"] == "rpc"
    assert found["expires_at"] == str(native(server, key)["expiration_date"])
    assert server.sql(
        "SELECT expiration_date - (now() AT TIME ZONE 'UTC') BETWEEN '119 days' AND '120 days'"
        " AS fits FROM res_users_apikeys WHERE index = %s",
        [key[:8]],
    ) == [{"fits": True}]
    assert all(map(accepted, ways(server, uid, "generated", key).values()))
    for end in ("now + datetime.timedelta(days=400)", "now - datetime.timedelta(days=1)"):
        with pytest.raises(RuntimeError, match="UserError"):
            generate(server, uid, end)


# End and record ----------------------------------------------------------------------------------


def test_tombstone_after_the_native_vacuum(server, admin):
    """After Odoo's vacuum, the record still says how the key ended, and identifies it."""
    _integration, uid, key = make_integration(admin, "vacuumed")
    assert accepted(ways(server, uid, "vacuumed", key)["json2"])
    server.sql(
        """
        WITH ended AS (
            UPDATE auth_integration_key
            SET expires_at = now() AT TIME ZONE 'UTC' - interval '3 days'
            WHERE prefix = %s RETURNING apikey_id, expires_at
        )
        UPDATE res_users_apikeys SET expiration_date = ended.expires_at FROM ended
        WHERE id = ended.apikey_id
        """,
        [key[:8]],
    )
    expected = str(native(server, key)["expiration_date"])
    server.shell("env['res.users.apikeys']._gc_user_apikeys()")
    assert native(server, key) is None
    tomb = record(admin, key, "state", "ended_at", "end_kind", "first_used_at", "last_used_address")
    assert (tomb["state"], tomb["end_kind"]) == ("expired", "expired")
    assert tomb["ended_at"][:19] == expected[:19]
    assert tomb["first_used_at"] and tomb["last_used_address"] == "127.0.0.1"
    for way in ways(server, uid, "vacuumed", key).values():
        assert not accepted(way)
        failure = last_failure(server)
        assert (failure["cause"], failure["key_id"]) == ("key_expired", tomb["id"])


def test_tombstone_of_a_deleted_user(server, admin):
    """After its user is deleted, the record keeps the login and identifies the key."""
    uid = make_user(admin, "leaver")
    key = make_in_preferences(Session(server, "leaver", PASSWORD), "left behind")
    assert accepted(ways(server, uid, "leaver", key)["json2"])
    server.shell("env['res.users'].browse(uid).unlink()", uid=uid)
    assert native(server, key) is None
    tomb = record(admin, key, "state", "login", "user_id", "end_reason", "ended_at")
    assert (tomb["state"], tomb["login"], tomb["user_id"]) == ("revoked", "leaver", False)
    assert tomb["ended_at"] and "deleted" in tomb["end_reason"]
    assert not accepted(ways(server, uid, "leaver", key)["json2"])
    failure = last_failure(server)
    assert (failure["cause"], failure["key_id"], failure["login"]) == (
        "key_revoked",
        tomb["id"],
        "leaver",
    )


def test_deletion_behind_our_back_is_written_down(server, admin):
    """A native row deleted by SQL counts as revoked immediately; the cron job records the date."""
    _integration, _uid, key = make_integration(admin, "deleted_by_sql")
    server.sql("DELETE FROM res_users_apikeys WHERE index = %s", [key[:8]])
    assert record(admin, key, "state", "ended_at")["state"] == "revoked"
    server.shell("env.ref('auth_integration.ir_cron_reconcile').method_direct_trigger()")
    tomb = record(admin, key, "state", "ended_at", "end_reason")
    assert tomb["state"] == "revoked" and tomb["ended_at"] and tomb["end_reason"]


# Passwords over RPC ------------------------------------------------------------------------------

OTHER = "another horse battery"


def change_in_the_wizard(server, admin, uid):
    """An administrator sets a new password."""
    [wizard] = admin.call(
        "change.password.wizard",
        "create",
        [{"user_ids": [(0, 0, {"user_id": uid, "user_login": "x"})]}],
    )
    [line] = admin.call("change.password.user", "search", [("wizard_id", "=", wizard)])
    admin.call("change.password.user", "write", [line], {"new_passwd": OTHER})
    # It returns None, which XML-RPC cannot transmit.
    Jsonrpc(server, 2, admin.secret).call("change.password.user", "change_password_button", [line])


def change_by_himself(server, _admin, uid):
    """The users change the password in their preferences."""
    [user] = server.sql("SELECT login FROM res_users WHERE id = %s", [uid])
    session = Session(server, user["login"], PASSWORD)
    [wizard] = session.call(
        "change.password.own", "create", [{"new_password": OTHER, "confirm_password": OTHER}]
    )
    session.call_checked("change.password.own", "change_password", [wizard])


def change_by_sql(server, _admin, uid):
    """Write another hash by SQL, unnoticed by every process: no cache is cleared."""
    server.sql(
        "UPDATE res_users SET password = (SELECT password FROM res_users WHERE login = 'source')"
        " WHERE id = %s",
        [uid],
    )


@pytest.mark.parametrize(
    "change", [change_in_the_wizard, change_by_himself, change_by_sql], ids=lambda f: f.__name__
)
def test_old_password_is_refused_on_the_next_call(server, admin, change):
    """After a change, no worker accepts the old password, although all of them had cached it."""
    uid = make_user(admin, change.__name__)
    if change is change_by_sql:
        make_user(admin, "source", password=OTHER)

    def answers(password):
        found = set()
        for worker in each_worker(server):
            for client in (Xmlrpc(server, uid, password), Jsonrpc(server, uid, password)):
                found.add(accepted(functools.partial(client.call, "res.users", "context_get")))
                assert client.line.pid == worker
        return found

    assert answers(PASSWORD) == {True}
    change(server, admin, uid)
    assert answers(PASSWORD) == {False}
    assert last_failure(server)["cause"] == "password_wrong"
    assert answers(OTHER) == {True}


# Use ---------------------------------------------------------------------------------------------


def test_first_use_is_recorded_at_once(server, admin):
    """The key, channel, address and agent are stored before the caller gets its answer."""
    _integration, uid, key = make_integration(admin, "first_use")
    assert record(admin, key, "state", "first_used_at")["first_used_at"] is False
    line = Line(server, source="127.0.0.3", agent="erp-sync/1.0")
    Json2(server, key, line).call("res.users", "context_get")
    found = record(
        admin,
        key,
        "state",
        "first_used_at",
        "last_used_at",
        "last_used_address",
        "last_used_channel",
        "last_used_agent",
        "use_count",
    )
    assert found["state"] == "active"
    assert found["first_used_at"] and found["first_used_at"] == found["last_used_at"]
    assert (found["last_used_address"], found["last_used_channel"]) == ("127.0.0.3", "json2")
    assert (found["last_used_agent"], found["use_count"]) == ("erp-sync/1.0", 1)


def test_use_is_counted_exactly(server, admin):
    """Every use in every worker is counted, by key, address and channel, once all is written."""
    _integration, uid, key = make_integration(admin, "counted")
    expected = {}
    for source, times in (("127.0.0.4", 4), ("127.0.0.5", 3)):
        calls = ways(server, uid, "counted", key, source=source)
        for _worker in each_worker(server):
            for _ in range(times):
                for call in calls.values():
                    assert accepted(call)
        expected[source] = times * len(calls) * len(server.worker_pids())
    server.restart()  # a graceful stop writes what is buffered
    found = record(admin, key, "id", "use_count", "first_used_at", "last_used_at")
    assert found["use_count"] == sum(expected.values())
    rows = server.sql(
        "SELECT address, use_count, first_seen <= last_seen AS ordered"
        " FROM auth_integration_key_address WHERE key_id = %s",
        [found["id"]],
    )
    assert {row["address"]: row["use_count"] for row in rows} == expected
    assert all(row["ordered"] for row in rows)
    rows = server.sql(
        "SELECT remote_addr, channel, sum(count)::int AS count FROM auth_attempt"
        " WHERE key_id = %s AND outcome = 'success' GROUP BY 1, 2",
        [found["id"]],
    )
    for source, count in expected.items():
        share = {row["channel"]: row["count"] for row in rows if row["remote_addr"] == source}
        # ``authenticate`` also uses XML-RPC.
        assert share == {"xmlrpc": count // 2, "jsonrpc": count // 4, "json2": count // 4}


@pytest.mark.parametrize("what", ["agent", "address"])
def test_callers_at_will_do_not_fill_the_log(threaded, what):
    """The holder of a key chooses its agent and, with IPv6, its address.

    Above a number of rows per hour, calls share some rows and are still counted exactly. The
    addresses in the key's own list are limited, too.
    """
    admin = administrator(threaded)
    _integration, _uid, key = make_integration(admin, f"many_{what}")
    hour, calls, most = time.time() // 3600, 280, 260
    for number in range(calls):
        source = f"127.9.{number // 200}.{number % 200 + 1}"
        line = {"agent": f"made/{number}.0"} if what == "agent" else {"source": source}
        Json2(threaded, key, Line(threaded, **line)).call("res.users", "context_get")
    threaded.restart()  # a graceful stop writes what is buffered
    key_id = record(admin, key, "id")["id"]
    rows = threaded.sql("SELECT * FROM auth_attempt WHERE key_id = %s", [key_id])
    assert sum(row["count"] for row in rows) == calls
    assert len(rows) <= most + 1 or time.time() // 3600 > hour
    assert "(many)" in {row["user_agent"] for row in rows}
    addresses = threaded.sql(
        "SELECT address FROM auth_integration_key_address WHERE key_id = %s", [key_id]
    )
    assert {row["address"] for row in addresses} == {
        row["remote_addr"] for row in rows if row["remote_addr"] != "(many)"
    }


# Taking a user over ------------------------------------------------------------------------------


def test_sessions_of_a_user_taken_over_end(server, admin):
    """From then on, the user can only authenticate by key; open sessions end, too."""
    uid = make_user(admin, "taken_over")
    make_user(admin, "not_taken_over")
    session = Session(server, "taken_over", PASSWORD)
    other = Session(server, "not_taken_over", PASSWORD)

    def answers(session):
        call = functools.partial(session.call, "res.users", "context_get")
        return {accepted(call) for _worker in each_worker(server)}

    assert (answers(session), answers(other)) == ({True}, {True})
    admin.call("auth.integration", "create", [{"name": "T", "code": "t", "user_id": uid}])
    assert (answers(session), answers(other)) == ({False}, {True})


# Whose key ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def threaded(live_server):
    """A threaded server, where all callers share a process."""
    return live_server("threaded")


def whoami_answers(server, integrations, times):
    """Call ``whoami`` in parallel with several keys over all protocols; return which are right."""

    def ask(number):
        code, (_integration, uid, key) = integrations[number % len(integrations)]
        client = [
            Xmlrpc(server, uid, key),
            Jsonrpc(server, uid, key),
            Json2(server, key),
        ][number // len(integrations) % 3]
        answer = client.call("auth.integration.key", "whoami")
        return (code, key[:8]) == (answer["integration"], answer["prefix"])

    with ThreadPoolExecutor(6) as pool:
        return list(pool.map(ask, range(times)))


@pytest.mark.parametrize("mode", ["threaded", "workers2"])
def test_whoami_under_parallel_callers(request, server, mode):
    """Each of many concurrent callers gets its own key."""
    server = request.getfixturevalue("threaded") if mode == "threaded" else server
    admin = administrator(server)
    codes = [f"{mode}_{number}" for number in range(4)]
    integrations = [(code, make_integration(admin, code)) for code in codes]
    answers = whoami_answers(server, integrations, 72)
    assert len(answers) == 72 and all(answers)


def test_whoami_keeps_nothing_of_the_caller_before(server, admin):
    """A worker that has just served a key does not reveal it to other callers."""
    uid = make_user(admin, "whoami")
    session = Session(server, "whoami", PASSWORD)
    key = make_in_preferences(session, "mine")
    _integration, other_uid, other_key = make_integration(admin, "whoami_other")
    by_password = Xmlrpc(server, uid, PASSWORD)
    for _worker in each_worker(server):
        for client in (Xmlrpc(server, uid, key), Json2(server, key)):
            assert client.call("auth.integration.key", "whoami")["prefix"] == key[:8]
            # The same user without a key, in the same thread of the same worker.
            for call in (by_password.call, session.call):
                with pytest.raises(Exception, match="not authenticated with an API key"):
                    call("auth.integration.key", "whoami")
            for other in (Json2(server, other_key), Xmlrpc(server, other_uid, other_key)):
                answer = other.call("auth.integration.key", "whoami")
                assert (answer["prefix"], answer["integration"]) == (other_key[:8], "whoami_other")
            # A refused key leaves nothing, either.
            with pytest.raises(Refused):
                Xmlrpc(server, uid, other_key).call("auth.integration.key", "whoami")
            with pytest.raises(Exception, match="not authenticated with an API key"):
                by_password.call("auth.integration.key", "whoami")


# Beside other modules ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def extended(server):
    """The same server with Odoo's second factor, and modules that also check keys."""
    server.stop()
    server.extra_addons = (TEST_ADDONS,)
    odoo(server, "-i", "auth_totp,other_key_check,later_key_check")
    return server.start()


def test_other_modules_check_is_respected(extended, admin):
    """What another module refuses stays refused; a secret that only it knows stays accepted."""
    server = extended
    integration, uid, key = make_integration(admin, "checked_twice")
    guest = make_user(admin, "guest")
    for _worker in each_worker(server):
        assert all(map(accepted, ways(server, uid, "checked_twice", key).values()))

    def set_param(name, value):
        admin.call("ir.config_parameter", "set_param", f"other_key_check.{name}", value)

    set_param("refused_prefix", key[:8])
    for _worker in each_worker(server):
        assert not any(map(accepted, ways(server, uid, "checked_twice", key).values()))
    assert causes_of(server, uid) == {
        channel: {"provider_error"} for channel in ("xmlrpc", "jsonrpc", "json2")
    }
    set_param("refused_prefix", "")
    set_param("refused_after_all", key[:8])  # by a module whose override precedes ours
    for _worker in each_worker(server):
        assert not any(map(accepted, ways(server, uid, "checked_twice", key).values()))
    assert set().union(*causes_of(server, uid).values()) == {"provider_error"}
    set_param("refused_after_all", "")
    set_param("token_uid", str(guest))
    set_param("token", "a token of its own")
    for _worker in each_worker(server):
        calls = ways(server, guest, "guest", "a token of its own")
        assert all(map(accepted, calls.values()))
        assert all(map(accepted, ways(server, uid, "checked_twice", key).values()))
    # Stock, below both, refuses a key with rules; the add-on knows that they allow the call.
    values = {"allowed_networks": "127.0.0.1"}
    admin.call("auth.integration", "write", [integration], values)
    for _worker in each_worker(server):
        assert all(map(accepted, ways(server, uid, "checked_twice", key).values()))
        elsewhere = ways(server, uid, "checked_twice", key, source="127.0.0.2")
        assert not any(map(accepted, elsewhere.values()))
    set_param("refused_prefix", key[:8])
    for _worker in each_worker(server):
        assert not any(map(accepted, ways(server, uid, "checked_twice", key).values()))
    set_param("refused_prefix", "")
    # The other module accepts the key, and the add-on does not.
    admin.call("auth.integration.key", "revoke", [record(admin, key, "id")["id"]], "for the test")
    for _worker in each_worker(server):
        assert not any(map(accepted, ways(server, uid, "checked_twice", key).values()))


def test_other_modules_opinion_of_a_user_is_asked_again(extended, admin):
    """An accepted RPC call is cached only as long as in Odoo itself.

    That is until the caches are cleared, as when any setting changes.
    """
    server = extended
    uid = make_user(admin, "suspect")
    key = generate(server, uid, "now + datetime.timedelta(days=1)")
    for secret in (key, PASSWORD):
        client = Xmlrpc(server, uid, secret)
        call = functools.partial(client.call, "res.users", "context_get")
        for refused in ("", "suspect", ""):
            admin.call("ir.config_parameter", "set_param", "later_key_check.refused_login", refused)
            for _worker in each_worker(server):
                assert [accepted(call), accepted(call)] == [not refused] * 2


def test_public_generate_and_revoke_of_newer_builds(extended, admin):
    """A key that replaces itself with Odoo's own methods is subject to the policy and recorded."""
    server = extended
    admin.call("ir.config_parameter", "set_param", "base.enable_programmatic_api_keys", "True")
    _integration, uid, key = make_integration(admin, "newer_build")

    def generate(client, end):
        return client.call(
            "res.users.apikeys", "generate",
            key=client.secret, scope=None, name="its next", expiration_date=end,
        )

    client = Json2(server, key)
    for wrong in ("2020-01-01 00:00:00", "2099-01-01 00:00:00"):
        with pytest.raises(RuntimeError, match="422.*UserError"):
            generate(client, wrong)
    new = generate(client, None)
    found = record(admin, new, "state", "expires_at", "integration_id", "issued_by", "name")
    assert found["integration_id"][1] == "newer_build" and found["name"] == "its next"
    assert found["expires_at"] == str(native(server, new)["expiration_date"])
    for _worker in each_worker(server):
        assert all(map(accepted, ways(server, uid, "newer_build", new).values()))
        assert all(map(accepted, ways(server, uid, "newer_build", key).values()))
    assert Json2(server, new).call("res.users.apikeys", "revoke", key=key) is True
    for _worker in each_worker(server):
        assert not any(map(accepted, ways(server, uid, "newer_build", key).values()))
        assert all(map(accepted, ways(server, uid, "newer_build", new).values()))
    tomb = record(admin, key, "state", "ended_at", "ended_by")
    assert tomb["state"] == "revoked" and tomb["ended_at"] and tomb["ended_by"][0] == uid


class Browser:
    """The parts of a browser that a login needs: cookies, forms and redirects."""

    def __init__(self, server, **cookies):
        self.line, self.cookies = Line(server), cookies

    def open(self, path, **form):
        """Open a page or send a form; return the final path and the text of the page."""
        headers = {
            "Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items()),
            "Content-Type": "application/x-www-form-urlencoded",
        }
        status, answered, page = self.line.request(
            "POST" if form else "GET", path, urllib.parse.urlencode(form), headers
        )
        for line in answered.get_all("Set-Cookie", []):
            for name, morsel in http.cookies.SimpleCookie(line).items():
                self.cookies[name] = morsel.value
        if status in (302, 303):
            target = urllib.parse.urlsplit(answered["Location"])
            return self.open(target._replace(scheme="", netloc="").geturl())
        return urllib.parse.urlsplit(path).path, page.decode()

    def log_in(self, login, password):
        """Log in with the form and return the final path."""
        _path, page = self.open("/web/login")
        token = re.search(r'name="csrf_token" value="([^"]+)"', page)[1]
        return self.open("/web/login", login=login, password=password, csrf_token=token)[0]


def test_trusted_devices_are_left_alone(extended, admin):
    """A trusted device of the second factor uses the keys' model, but is not treated as a key."""
    server = extended
    uid = make_user(admin, "twofold")
    key = record(admin, admin.secret, "apikey_id")
    # The device's row gets the ID of an active API key.
    server.sql("SELECT setval('auth_totp_device_id_seq', %s, false)", [key["apikey_id"][0]])
    all_records = "SELECT id, ended_at, end_kind, hash FROM auth_integration_key ORDER BY id"
    server.shell("env['auth.integration.key']._reconcile()")
    records = server.sql(all_records)
    device = server.shell(
        """
        import datetime
        user = env["res.users"].browse(uid)
        user.totp_secret = "A" * 32
        device = env["auth_totp.device"].with_user(user)
        result = device.sudo()._generate(
            "browser", "a browser", datetime.datetime.now() + datetime.timedelta(days=30))
        """,
        uid=uid,
    )
    assert server.sql("SELECT id FROM auth_totp_device") == [{"id": key["apikey_id"][0]}]
    assert Browser(server).log_in("twofold", PASSWORD) == "/web/login/totp"
    for _worker in each_worker(server):
        assert Browser(server, td_id=device).log_in("twofold", PASSWORD).startswith("/odoo")
        # It is not an API key.
        assert not any(map(accepted, ways(server, uid, "twofold", device).values()))
    server.shell("env['auth_totp.device']._gc_user_apikeys()")
    server.shell("env['auth.integration.key']._reconcile()")
    assert server.sql(all_records) == records
    server.shell("env['auth_totp.device'].search([('user_id', '=', uid)])._remove()", uid=uid)
    assert Browser(server, td_id=device).log_in("twofold", PASSWORD) == "/web/login/totp"
    assert server.sql(all_records) == records
