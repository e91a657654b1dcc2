"""Data of 19.0.1.2.0, whose jobs moved the ends of keys later, and its update."""

import pytest
from old_versions import unpack

from callers.clients import Json2, Refused
from dev.common import ADDON
from processes import odoo

OLD = "19.0.1.2.0"

MAKE = """
    import datetime
    now, day = datetime.datetime.now().replace(microsecond=0), datetime.timedelta(days=1)
    keys, rotations = env["auth.integration.key"], env["auth.integration.rotation"]
    enforce = env["auth.integration.policy"].create({"name": "Enforced", "on_deadline": "enforce"})
    owner = env.ref("base.user_admin")

    def integration(code, **values):
        return env["auth.integration"].create(
            {"name": code, "code": code, "owner_ids": [(4, owner.id)], **values})

    def issue(code, end=False, **values):
        made = integration(code, **values)
        secret, key = keys._issue(made, code, end)
        secrets[code] = secret
        return key

    def move(key, **dates):
        for column, date in dates.items():
            env.cr.execute(
                f"UPDATE auth_integration_key SET {column} = %s WHERE id = %s", (date, key.id))
        env.cr.execute(
            "UPDATE res_users_apikeys n SET expiration_date = LEAST(k.expires_at, k.retire_at)"
            " FROM auth_integration_key k WHERE k.id = %s AND n.id = k.apikey_id", (key.id,))
        env.invalidate_all()

    def age(key, days):
        move(key, **{date: key[date] - days * day for date in (
            "issued_at", "expires_at", "original_expires_at") if key[date]})

    def rotate(key, code):
        rotation = rotations._open(key, owner)
        secret, new = rotation.with_user(owner)._claim()
        secrets[code] = secret
        new = new.with_env(env)
        move(new, first_used_at=now)
        new._confirm_first_use(now)
        return new

    def person(login, end):
        user = env["res.users"].with_context(no_reset_password=True).create(
            {"name": login, "login": login})
        secrets[login] = env["res.users.apikeys"].with_user(user).sudo()._generate(
            None, login, end)
        return user

    secrets = {}
    age(issue("policy"), 60)
    issue("enforced", policy_id=enforce.id)
    issue("chosen", now + 10 * day)
    issue("ended", policy_id=enforce.id).sudo()._end("revoked", "not needed", owner)
    age(issue("expired", policy_id=enforce.id), 91)
    integration("imported", user_id=person("imported", None).id)
    integration("native", user_id=person("native", now + 20 * day).id)
    person("person", now + 5 * day)
    person("forever", None)
    rotate(issue("retiring"), "replacement")
    age(issue("late"), 89.5)
    issue("hour", now + datetime.timedelta(hours=1))
    native = issue("set_by_sql")
    env.cr.execute("UPDATE res_users_apikeys SET expiration_date = %s WHERE id = %s",
                   (now - day, native.apikey_id.id))
    first = issue("first")
    second = rotate(first, "second")
    rotate(second, "third")
    second.revoke("leaked")
    rotations._cron_rotate()
    result = secrets
"""
JOBS = ("auth_integration.ir_cron_reconcile", "auth_integration.ir_cron_rotation",
        "base.autovacuum_job")


@pytest.fixture(scope="module")
def old_addons(tmp_path_factory):
    """An add-ons folder with the previous version."""
    return unpack(OLD, tmp_path_factory.mktemp("old"))


def dates(server):
    """Return every key with its dates, by prefix."""
    rows = server.sql(
        """
        SELECT k.*, n.expiration_date AS native_end, n.id IS NOT NULL AS has_native
        FROM auth_integration_key k
        LEFT JOIN res_users_apikeys n ON n.id = k.apikey_id AND n.key = k.hash ORDER BY k.id
        """
    )
    return {row["prefix"]: row for row in rows}


def works(server, secret):
    try:
        return bool(Json2(server, secret).call("res.users", "context_get"))
    except Refused:
        return False


class Upgraded:
    """The server after the update, and all keys before and after it."""

    def __init__(self, live_server, old_addons):
        self.server = live_server(
            "old", with_addon=False, extra_addons=[old_addons], modules=(ADDON,)
        )
        self.secrets = self.server.shell(MAKE)
        self.accepted = {name: works(self.server, key) for name, key in self.secrets.items()}
        self.before = self._by_name()
        self.server.stop()
        self.server.with_addon, self.server.extra_addons = True, ()
        odoo(self.server, "-u", ADDON)
        self.server.start()
        self.after = self._by_name()

    def _by_name(self):
        found = dates(self.server)
        return {name: found[secret[:8]] for name, secret in self.secrets.items()}


@pytest.fixture(scope="module")
def upgraded(live_server, old_addons):
    return Upgraded(live_server, old_addons)


def days(delta):
    return delta.total_seconds() / 86400


def test_the_old_jobs_did_what_they_did(upgraded):
    """Check the test data: the old jobs kept keys alive that had ended."""
    assert [name for name, ok in upgraded.accepted.items() if not ok] == [
        "ended", "expired", "second"
    ]
    for name in ("late", "hour", "set_by_sql"):
        row = upgraded.before[name]
        assert row["expires_at"] > row["original_expires_at"], name
    assert upgraded.before["first"]["retire_at"] is None


@pytest.mark.parametrize("name", ["policy", "imported", "late", "third", "replacement"])
def test_a_key_of_the_policy_gets_its_extension(upgraded, name):
    old, new = upgraded.before[name], upgraded.after[name]
    assert new["replace_by"] == old["original_expires_at"]
    assert days(new["expires_at"] - new["replace_by"]) == 30
    assert new["native_end"] == new["expires_at"]
    assert not new["outlived_end"]


@pytest.mark.parametrize("name", ["enforced", "chosen", "native"])
def test_any_other_end_stays(upgraded, name):
    old, new = upgraded.before[name], upgraded.after[name]
    assert new["replace_by"] == new["expires_at"] == new["native_end"] == old["expires_at"]
    assert not new["outlived_end"]


@pytest.mark.parametrize("name", ["person", "forever"])
def test_personal_keys_stay(upgraded, name):
    old, new = upgraded.before[name], upgraded.after[name]
    assert (new["replace_by"], new["expires_at"]) == (None, old["expires_at"])
    assert new["native_end"] == old["native_end"]


def test_an_overlap_ends_as_announced(upgraded):
    old, new = upgraded.before["retiring"], upgraded.after["retiring"]
    assert new["native_end"] == new["retire_at"] == old["retire_at"]


@pytest.mark.parametrize("name", ["ended", "expired", "second"])
def test_what_has_ended_stays_so(upgraded, name):
    old, new = upgraded.before[name], upgraded.after[name]
    assert not works(upgraded.server, upgraded.secrets[name])
    assert (new["expires_at"], new["native_end"]) == (old["expires_at"], old["native_end"])


@pytest.mark.parametrize("name", ["hour", "set_by_sql", "first"])
def test_what_the_old_jobs_kept_alive_is_a_finding(upgraded, name):
    """It works until the end that was announced; an owner revokes it from the list of findings."""
    server, new = upgraded.server, upgraded.after[name]
    assert works(server, upgraded.secrets[name])
    if name != "first":
        old = upgraded.before[name]
        assert new["native_end"] == new["expires_at"] == old["expires_at"]
        assert new["replace_by"] == old["original_expires_at"]
    [action] = server.shell(
        """
        findings = env["auth.integration.finding"].search([
            ("code", "=", "key_outlived_end"), ("key_id.prefix", "=", prefix)])
        result = [finding.action_revoke()["res_model"] for finding in findings]
        """,
        prefix=upgraded.secrets[name][:8],
    )
    assert action == "auth.integration.revoke"


def test_nothing_else_is_flagged(upgraded):
    flagged = {name for name, row in upgraded.after.items() if row["outlived_end"]}
    assert flagged == {"hour", "set_by_sql", "first"}


def test_no_job_moves_an_end(upgraded):
    """A second update does not move one either."""
    server = upgraded.server
    for name in JOBS:
        server.shell("env.ref(name).method_direct_trigger()", name=name)
    server.stop()
    server.sql("UPDATE ir_module_module SET latest_version = %s WHERE name = %s", [OLD, ADDON])
    odoo(server, "-u", ADDON)
    server.start()
    columns = ("replace_by", "expires_at", "retire_at", "outlived_end", "native_end")
    live = {name: row for name, row in upgraded.after.items() if row["has_native"]}
    found = upgraded._by_name()
    for name, row in live.items():
        if works(server, upgraded.secrets[name]):
            assert [found[name][c] for c in columns] == [row[c] for c in columns], name
    accepted = {name: works(server, key) for name, key in upgraded.secrets.items()}
    assert accepted == upgraded.accepted


def test_the_digest_has_its_new_text(upgraded):
    """An update does not replace the template, which an administrator may have changed."""
    [row] = upgraded.server.sql(
        "SELECT body_html->>'en_US' AS body FROM mail_template t JOIN ir_model_data d"
        " ON d.res_id = t.id AND d.model = 'mail.template'"
        " WHERE d.module = 'auth_integration' AND d.name = 'mail_template_digest'"
    )
    assert "Overdue" in row["body"]


def test_metrics_and_export_know_what_was_there(upgraded):
    """The update creates the token, and triggers the job that counts the log."""
    server = upgraded.server
    [row] = server.sql(
        "SELECT p.value, (SELECT count(*) FROM ir_cron_trigger t JOIN ir_model_data d"
        " ON d.res_id = t.cron_id AND d.model = 'ir.cron'"
        " WHERE d.name = 'ir_cron_attempt_rollup') AS triggers"
        " FROM ir_config_parameter p WHERE p.key = 'auth_integration.metrics_token'"
    )
    assert len(row["value"]) == 43 and row["triggers"]
    counted = server.shell("""
        counter = env["auth.attempt.counter"]
        before = counter._counts()
        env["auth.attempt.report"]._cron_rollup()
        result = [before, counter._counts(), len(env["auth.attempt"].export(0, 10000)["events"])]
    """)
    [rows] = server.sql("SELECT count(*), sum(count) AS seen FROM auth_attempt")
    assert counted[0] == counted[1] and sum(count for *_place, count in counted[0]) == rows["seen"]
    assert counted[2] == rows["count"] > 0
