from datetime import timedelta

from lxml import etree
from odoo import fields
from odoo.exceptions import AccessError, UserError
from odoo.fields import Command
from odoo.tests import tagged

from ...tools.attempt.flood_limits import COLLAPSED
from ...tools.health import findings, probe
from ..common import IntegrationCommon


@tagged("post_install", "-at_install")
class TestFinding(IntegrationCommon):
    """Each kind of finding is provoked, found, and gone once it is fixed."""

    def setUp(self):
        super().setUp()
        self.now = fields.Datetime.now()
        self.secret, self.key = self._issue(self.integration)

    def _codes(self, **values):
        values = values or {"integration_id": self.integration.id}
        self.env.flush_all()
        self.env.invalidate_all()
        domain = [(name, "=", value) for name, value in values.items()]
        return set(self.env["auth.integration.finding"].search(domain).mapped("code"))

    def _days(self, number):
        return self.now + timedelta(days=number)

    def _minutes(self, number):
        return self.now + timedelta(minutes=number)

    def _attempt(self, **values):
        attempts = self.env["auth.attempt"]
        columns = dict.fromkeys(
            ("cause", "auth_type", "login", "user_id", "integration_id", "attribution", "key_id",
             "remote_addr", "user_agent", "reference")
        )
        columns |= {"outcome": "failure", "channel": "xmlrpc", "database": self.env.cr.dbname}
        when = values.pop("when", self.now)
        attempts._upsert(columns | values, values.pop("count", 5), when, when)

    def test_a_healthy_integration_has_none(self):
        self.assertEqual(self._codes(), set())
        self.assertEqual(self.integration.health, "ok")

    def test_archived_user(self):
        self.integration.user_id.active = False
        self._attempt(cause="user_archived", user_id=self.integration.user_id.id,
                      integration_id=self.integration.id)
        self.assertLessEqual(
            {"archived_user_live_key", "archived_user_still_called"}, self._codes()
        )
        self.assertEqual(self.integration.health, "critical")
        finding = self.env["auth.integration.finding"].search(
            [("code", "=", "archived_user_live_key"), ("key_id", "=", self.key.id)]
        )
        finding.action_restore_user()
        self.assertEqual(self._codes() - {"failing_now"}, set())

    def test_health_is_found_as_it_is_read(self):
        """By search and by group, alone and among others."""
        integrations = self.integration
        for code in ("warned", "critical"):
            integrations |= self.integration.copy({"name": code, "code": code})
        _healthy, warned, critical = integrations
        for integration in (warned, critical):
            integration.issue_key()
        self._move(warned.key_ids, replace_by=self._days(3))
        self._move(critical.key_ids, replace_by=self._days(3))
        critical.user_id.active = False
        expected = ["ok", "warning", "critical"]
        self.assertEqual(integrations.mapped("health"), expected)
        integrations.invalidate_recordset()
        self.assertEqual([one.with_prefetch().health for one in integrations], expected)
        among = [("id", "in", integrations.ids), ("active", "in", (True, False))]
        for operator, value in (
            ("=", "ok"), ("=", "warning"), ("=", "critical"), ("!=", "warning"), ("in", expected),
            ("in", ["ok", "critical"]), ("not in", ["ok", "warning"]), ("=", False),
        ):
            with self.subTest(operator=operator, value=value):
                self.assertEqual(
                    integrations.search([("health", operator, value), *among]).sorted("id"),
                    integrations.filtered_domain([("health", operator, value)]),
                )
        groups = integrations._read_group(among, ["health"], ["id:recordset"])
        self.assertEqual({health: found for health, found in groups},
                         dict(zip(expected, integrations, strict=True)))

    def test_expired_key(self):
        self._move(self.key, issued_at=self._days(-91), expires_at=self._days(-1))
        self._attempt(cause="key_expired", key_id=self.key.id)
        self.assertEqual(self._codes(), {"key_expired", "key_expired_still_used", "no_valid_key"})
        self.integration.issue_key()
        self.assertEqual(self._codes(), {"key_expired_still_used"})

    def test_a_host_that_succeeds_again_was_put_right(self):
        """The same program must succeed: another one on that host may still have the old key."""
        self._move(self.key, issued_at=self._days(-91), expires_at=self._days(-1))
        self.integration.issue_key()
        host = {"remote_addr": "192.0.2.7", "integration_id": self.integration.id}
        rejected = {"cause": "key_expired", "key_id": self.key.id, "user_agent": "shop/1", **host}
        self._attempt(**rejected, when=self._days(-0.03))
        accepted = {"outcome": "success", "when": self._days(-0.02), **host}
        for other in ({"user_agent": "other/1"}, {"remote_addr": "192.0.2.8"}):
            self._attempt(**{**accepted, "user_agent": "shop/1", **other})
            self.assertIn("key_expired_still_used", self._codes())
        self._attempt(**accepted, user_agent="shop/1")
        self.assertNotIn("key_expired_still_used", self._codes())
        self._attempt(**rejected, when=self._days(-0.01))
        self.assertIn("key_expired_still_used", self._codes())

    def test_a_row_of_many_puts_nobody_right(self):
        """It is unknown whose row it was; without a user agent, the address decides."""
        self._move(self.key, issued_at=self._days(-91), expires_at=self._days(-1))
        self.integration.issue_key()
        for agent, address, is_found in (
            (COLLAPSED, COLLAPSED, True), (COLLAPSED, "192.0.2.9", True), (None, "192.0.2.7", False)
        ):
            self.env.cr.execute("DELETE FROM auth_attempt")
            host = {
                "user_agent": agent, "remote_addr": address, "integration_id": self.integration.id
            }
            self._attempt(
                **host, cause="key_expired", key_id=self.key.id, when=self._days(-0.03)
            )
            self._attempt(**host, outcome="success", when=self._days(-0.02))
            with self.subTest(agent=agent, address=address):
                self.assertEqual("key_expired_still_used" in self._codes(), is_found)

    def test_what_is_asked_on_purpose_is_no_call(self):
        """Neither for an ended key nor for an archived user; a program's call counts."""
        self._move(self.key, issued_at=self._days(-91), expires_at=self._days(-1))
        self.integration.user_id.active = False
        found = {"key_expired_still_used", "archived_user_still_called", "failing_now"}
        user = {"user_id": self.integration.user_id.id, "integration_id": self.integration.id}
        refused = ({"cause": "key_expired", "key_id": self.key.id}, {"cause": "user_archived"})
        for values in refused:
            self._attempt(**user, **values, auth_type=probe.VERIFY)
        self.assertFalse(self._codes() & found)
        for values in refused:
            self._attempt(**user, **values, auth_type="bearer")
        self.assertLessEqual(found, self._codes())

    def test_expiring_key_is_due_and_then_overdue(self):
        self._move(self.key, replace_by=self._days(29.5), first_used_at=self.now)
        self.assertEqual(self._codes(), {"key_expiring"})
        self._move(self.key, replace_by=self._days(20))
        self.assertEqual(self._codes(), {"key_expiring", "rotation_overdue"})
        self.key.action_rotate_now()
        self.assertEqual(self._codes(), {"key_expiring"})

    def test_key_that_works_past_its_chosen_end(self):
        """The update flags it; an owner can revoke it from the list."""
        self._move(self.key, outlived_end=True, replace_by=self._days(-3))
        self.assertIn("key_outlived_end", self._codes())
        finding = self._finding("key_outlived_end", self.owner)
        self.assertIn("now expires on", finding.message)
        action = finding.action_revoke()
        self.assertEqual(action["context"]["default_key_ids"], self.key.ids)
        self.key.revoke("not needed")
        self.assertNotIn("key_outlived_end", self._codes())

    def test_native_end_counts(self):
        """A date in Odoo's own table is the key's end, even before a job has found it."""
        self._move(self.key, first_used_at=self.now)
        self.env.cr.execute(
            "UPDATE res_users_apikeys SET expiration_date = %s WHERE id = %s",
            (self._days(-1), self.key.apikey_id.id),
        )
        self.assertEqual(self._codes(), {"key_expired", "no_valid_key"})

    def test_stuck_rotation(self):
        self.key.action_rotate_now()
        self.env.cr.execute(
            "UPDATE auth_integration_rotation SET opened_at = %s, delivered_at = NULL"
            " WHERE old_key_id = %s", (self._days(-4), self.key.id),
        )
        self.assertEqual(self._codes(), {"rotation_stuck"})
        message = self._finding("rotation_stuck", self.owner).message
        self.assertRegex(message, r"The old key expires on \w+ \d+")

    def test_a_new_integration_has_no_issue(self):
        """It has no key yet, or one that was not used in time: no calls are missing."""
        integration = self._create_integration("new", self.owner)
        self.assertEqual(self._codes(integration_id=integration.id), set())
        self.assertEqual(integration.health, "ok")
        _secret, key = self._issue(integration)
        self._move(key, expires_at=self.now)
        self.assertEqual(self._codes(integration_id=integration.id), {"key_expired"})
        self._attempt(cause="key_expired", key_id=key.id, integration_id=integration.id)
        self._codes()
        shown = integration.finding_ids
        self.assertEqual(shown.code, "key_expired", "and it is not folded under another")

    def test_an_integration_that_worked_misses_its_key(self):
        self._move(self.key, first_used_at=self.now, expires_at=self.now)
        self._codes()
        finding = self.integration.finding_ids
        self.assertEqual((finding.code, finding.severity), ("no_valid_key", "critical"))
        self.assertEqual(self.integration.main_finding_ids, finding)

    def test_the_form_has_one_banner(self):
        """It shows the most severe issue; the Issues button leads to all of them."""
        self._move(self.key, replace_by=self._days(3), first_used_at=self.now)
        self.integration.user_id.group_ids = [
            Command.link(self.env.ref("base.group_erp_manager").id)
        ]
        self.integration.user_id.active = False
        self._codes()
        self.assertGreater(self.integration.finding_count, 2)
        self.assertEqual(self.integration.main_finding_ids.code, "archived_user_live_key")
        action = self.integration.with_user(self.owner).action_view_findings()
        found = self.env[action["res_model"]].with_user(self.owner).search(
            [*action["domain"], ("accepted", "=", False), ("folded", "=", False)]
        )
        self.assertEqual(len(found), self.integration.finding_count)
        arch = etree.fromstring(self.integration.get_view(view_type="form")["arch"])
        self.assertFalse(arch.xpath("//field[@name='finding_ids']"))

    def test_information_is_no_banner(self):
        self.integration.user_id.password = "a password"
        self._codes()
        self.assertEqual(self.integration.finding_ids.code, "password_set")
        self.assertFalse(self.integration.main_finding_ids)
        self.assertEqual(self.integration.finding_count, 1)

    def test_owners(self):
        self.owner.active = False
        self.assertEqual(self._codes(), {"owner_archived"})
        self.owner.unlink()
        self.assertEqual(self._codes(), {"owner_missing"})

    def test_key_without_end(self):
        natives = self.env["res.users.apikeys"].with_user(self.owner).sudo()
        natives._generate(None, "forever", None)
        self.assertEqual(self._codes(user_id=self.owner.id), {"key_no_expiry"})

    def test_dormant_key(self):
        self._move(self.key, issued_at=self._days(-46))
        self.assertEqual(self._codes(), {"key_dormant"})
        self._move(self.key, last_used_at=self.now)
        self.assertEqual(self._codes(), set())

    def test_many_addresses(self):
        self.env["auth.integration.key.address"].create(
            [
                {"key_id": self.key.id, "address": f"192.0.2.{number}",
                 "first_seen": self.now, "last_seen": self.now}
                for number in range(6)
            ]
        )
        self.assertEqual(self._codes(), {"key_many_addresses"})

    def test_administration_rights_also_by_implication(self):
        implying = self.env["res.groups"].create(
            {
                "name": "Implies",
                "implied_ids": [Command.link(self.env.ref("base.group_erp_manager").id)],
            }
        )
        self.assertEqual(self._codes(), set())
        self.integration.user_id.group_ids = [Command.link(implying.id)]
        self.assertEqual(self._codes(), {"admin_rights"})

    def test_password(self):
        self.integration.user_id.password = "a password"
        self.assertEqual(self._codes(), {"password_set"})

    def _stored_password(self):
        self.env.flush_all()
        self.env.cr.execute(
            "SELECT password FROM res_users WHERE id = %s", (self.integration.user_id.id,)
        )
        return self.env.cr.fetchone()[0]

    def test_a_manager_removes_the_password(self):
        """From the issue or from the user's form."""
        user = self.integration.user_id
        for record in ("issue", "user"):
            with self.subTest(record=record):
                user.password = "a password"
                self.assertTrue(user.with_user(self.manager).has_unusable_password)
                finding = self._finding("password_set", self.manager)
                self.assertEqual(finding.fix, "remove_password")
                chosen = finding if record == "issue" else user.with_user(self.manager)
                self.assertTrue(chosen.action_remove_password())
                self.assertIsNone(self._stored_password())
                self.assertEqual(self._codes(), set())
                self.assertFalse(user.with_user(self.manager).has_unusable_password)
        self.assertIn("Mona Manager removed the password", self._history())
        self.assertTrue(self._check(self.secret), "the key keeps working")

    def test_nobody_else_removes_a_password(self):
        user = self.integration.user_id
        user.password = "a password"
        finding = self._finding("password_set", self.owner)
        for caller in (self.owner, self.stranger):
            for record in (finding, user):
                with self.subTest(user=caller.login, model=record._name):
                    with self.assertRaises(AccessError):
                        record.with_user(caller).action_remove_password()
        user.group_ids = [Command.link(self.env.ref("base.group_system").id)]
        with self.assertRaises(AccessError):
            finding.with_user(self.manager).action_remove_password()
        self.assertTrue(self._stored_password())
        finding.with_user(self.system).action_remove_password()
        self.assertFalse(self._stored_password())

    def test_the_password_of_a_person_is_kept(self):
        self.owner.password = "a password"
        self.owner.with_user(self.system).action_remove_password()
        self.assertFalse(self.owner.with_user(self.system).has_unusable_password)
        self.env.cr.execute("SELECT password FROM res_users WHERE id = %s", (self.owner.id,))
        self.assertTrue(self.env.cr.fetchone()[0])

    def test_personal_account(self):
        natives = self.env["res.users.apikeys"].with_user(self.owner).sudo()
        secret = natives._generate(None, "mine", self._days(1))
        key = self.env["auth.integration.key"].search([("prefix", "=", secret[:8])])
        self._move(key, use_count=10, last_used_at=self.now)
        self.assertEqual(self._codes(user_id=self.owner.id), {"personal_account_used"})

    def test_failing_now(self):
        self._attempt(cause="key_unknown", integration_id=self.integration.id)
        self.assertEqual(self._codes(), {"failing_now"})
        self._attempt(outcome="success", integration_id=self.integration.id)
        self.assertEqual(self._codes(), set())

    def test_last_call_rejected(self):
        """One call does not notify anybody, but nothing says that the integration works."""
        mistyped = {"cause": "key_unknown", "integration_id": self.integration.id}
        self._move(self.key, issued_at=self._days(-9))
        self._attempt(outcome="success", integration_id=self.integration.id, when=self._minutes(-9))
        self._attempt(**mistyped, count=1, when=self._minutes(-3))
        for _look in range(2):
            self.assertEqual(self._codes(), {"call_rejected"})
            self.assertEqual(self.integration.status, "rejected")
            self.assertEqual(self.integration.health, "warning")
            self.env["auth.integration.incident"]._detect()
        self.assertFalse(self.integration.open_incident_count)
        finding = self._finding("call_rejected", self.owner)
        self.assertEqual(finding.fix, "view_attempts")
        self.assertIn("To be fixed: Unknown key", finding.message)
        self.assertEqual(
            self.env["auth.integration"].search([("status", "=", "rejected")]), self.integration
        )
        self._attempt(**mistyped, count=2, when=self._minutes(-2))
        self.assertEqual(self._codes(), {"failing_now"}, "three calls are one issue")
        self.env["auth.integration.incident"]._detect()
        self.assertEqual(self._codes(), {"failing_now"})
        self._attempt(outcome="success", integration_id=self.integration.id)
        self.assertEqual(self._codes(), set())

    def test_a_rejected_call_that_proves_nothing(self):
        """Whoever knows a login or the start of a key cannot change what the screens say."""
        self._attempt(outcome="success", integration_id=self.integration.id, when=self._minutes(-9))
        self.env["auth.integration.key.address"].create(
            {"key_id": self.key.id, "address": "192.0.2.1", "first_seen": self.now,
             "last_seen": self.now}
        )
        self._move(self.key, first_used_at=self._days(-3), last_used_at=self._days(-3))
        for attribution, cause in (("login", "password_wrong"), ("key", "key_unknown")):
            self._attempt(
                cause=cause, integration_id=self.integration.id, attribution=attribution, count=2,
                remote_addr="203.0.113.77",
            )
        self.assertEqual(self._codes(), set())
        self._attempt(
            cause="key_unknown", integration_id=self.integration.id, attribution="key", count=2,
            remote_addr="192.0.2.1",
        )
        self.assertEqual(self._codes(), {"call_rejected"})

    def test_the_first_call_was_rejected(self):
        """No address is known yet: the owner sees that the call came, and why it was rejected."""
        self.assertTrue(self.integration.is_never_called)
        self._attempt(
            cause="key_unknown", integration_id=self.integration.id, attribution="key", count=1,
            remote_addr="203.0.113.77",
        )
        self.assertEqual(self._codes(), {"call_rejected"})
        self.assertEqual(self.integration.status, "rejected")

    def test_failing_since_the_night(self):
        """A nightly job that was rejected still fails in the morning, detected or not."""
        self.now -= timedelta(hours=5)
        self._attempt(cause="key_unknown", integration_id=self.integration.id, count=12)
        for _look in range(2):
            self.assertEqual(self._codes(), {"failing_now"})
            self.assertEqual(self.integration.health, "critical")
            self.env["auth.integration.incident"]._detect()
        self.assertEqual(self.integration.open_incident_count, 1)
        self.now += timedelta(hours=1)
        self._attempt(outcome="success", integration_id=self.integration.id)
        self.assertEqual(self._codes(), set(), "before the job has seen it, too")

    def test_silence(self):
        self.integration.expected_every_hours = 3
        self.assertEqual(self._codes(), set())
        self.env.cr.execute(
            "UPDATE auth_integration SET expected_since = expected_since - interval '4 hours'"
        )
        self.assertEqual(self._codes(), {"silent"})
        self._attempt(outcome="success", integration_id=self.integration.id)
        self.assertEqual(self._codes(), set())

    def test_symptoms_fold_under_the_root_cause(self):
        self._move(self.key, issued_at=self._days(-91), expires_at=self._days(-1))
        self._attempt(cause="key_expired", key_id=self.key.id, integration_id=self.integration.id)
        self._codes()
        found = self.env["auth.integration.finding"].search(
            [("integration_id", "=", self.integration.id)]
        )
        root = found.filtered(lambda finding: not finding.folded)
        self.assertEqual(root.code, "no_valid_key")
        self.assertEqual(
            set((found - root).mapped("code")),
            {"key_expired", "key_expired_still_used", "failing_now"},
        )
        self.assertEqual(len(root.evidence.splitlines()), 3)
        self.assertIn("Expired key", root.evidence)
        self.assertEqual(self.integration.finding_ids, root)
        self.env["auth.integration.finding.acceptance"].create(
            {"finding_id": root.id, "reason": "It is switched off."}
        )
        self._codes()
        self.assertEqual(self.integration.health, "ok", "its symptoms count no more than itself")

    def test_disabled_cron(self):
        before = self._codes(integration_id=False)
        self.assertNotIn("cron_disabled", before)
        self.env.ref("auth_integration.ir_cron_rotation").active = False
        self.assertIn("cron_disabled", self._codes(integration_id=False))

    def test_server_settings(self):
        parameters = self.env["ir.config_parameter"]
        parameters.set_param("auth_integration.server.proxy_mode", "off_behind_proxy")
        parameters.set_param("auth_integration.server.secret_key", "missing")
        self.integration.policy_id.delivery = "webhook"
        self.assertLessEqual(
            {"proxy_mode_off", "secrets_not_encrypted"}, self._codes(integration_id=False)
        )

    def test_copied_database(self):
        self.assertNotIn("database_copied", self._codes(integration_id=False))
        self.env["ir.config_parameter"].set_param("database.uuid", "another")
        self.assertIn("database_copied", self._codes(integration_id=False))

    def test_database_of_another_identity(self):
        """It is stored once, at installation or by the upgrade; until then it counts as a copy."""
        parameters = self.env["ir.config_parameter"]
        database = self.env["auth.integration.database"]
        identity = parameters.get_param("auth_integration.database_identity")
        self.assertEqual(identity, database._identity())
        system, oid = identity.split(":")
        for stored, copied in [
            (f"{system}:1", True),
            (f"1:{oid}", True),
            ("neutralized", True),
            (f":{oid}", False),
            (False, True),
        ]:
            with self.subTest(stored=stored):
                parameters.set_param("auth_integration.database_identity", stored)
                self.assertIs(database._is_copy(), copied)
                self.assertIs("database_copied" in self._codes(integration_id=False), copied)
                if stored:
                    database.init()
                    self.assertIs(database._is_copy(), copied)
        database.init()
        self.assertFalse(database._is_copy())
        self.assertNotIn("database_copied", self._codes(integration_id=False))

    def test_event_log_that_cannot_be_written(self):
        self.assertNotIn("event_log_unwritable", self._codes(integration_id=False))
        self.env.cr.execute("UPDATE auth_attempt_event_log SET error = 'OSError'")
        self.assertIn("event_log_unwritable", self._codes(integration_id=False))

    def test_every_kind_is_tested_and_numbered_once(self):
        self.assertEqual(len({kind.number for kind in findings.KINDS}), 33)
        self.assertLess(max(kind.number for kind in findings.KINDS), findings.ID_STEP)

    def test_texts_have_their_values(self):
        """No finding shows a placeholder."""
        self._move(self.key, issued_at=self._days(-91), expires_at=self._days(-1))
        self.env.ref("auth_integration.ir_cron_rotation").active = False
        for finding in self.env["auth.integration.finding"].search([]):
            with self.subTest(finding.code):
                self.assertTrue(finding.message and finding.remedy)
                self.assertNotIn("%(", finding.message + finding.remedy)

    def test_acceptance_ends_at_its_time(self):
        self.integration.user_id.password = "a password"
        self.env.flush_all()
        finding = self.env["auth.integration.finding"].search(
            [("integration_id", "=", self.integration.id)]
        )
        acceptance = (
            self.env["auth.integration.finding.acceptance"]
            .with_user(self.manager)
            .create({"finding_id": finding.id, "reason": "known", "until": self._days(1)})
        )
        self.assertEqual(self._codes(integration_id=self.integration.id, accepted=False), set())
        self.env.cr.execute(
            "UPDATE auth_integration_finding_acceptance SET until = %s WHERE id = %s",
            (self._days(-1), acceptance.id),
        )
        self.assertEqual(
            self._codes(integration_id=self.integration.id, accepted=False), {"password_set"}
        )

    # A host that is gone

    def _retire_host(self):
        """Expire the key after a call of its host; a new key is in use, so the host is retired."""
        self._move(self.key, issued_at=self._days(-91), expires_at=self._days(-1))
        _secret, new = self._issue(self.integration)
        self._move(new, first_used_at=self.now, last_used_at=self.now)
        self._attempt(cause="key_expired", key_id=self.key.id, remote_addr="192.0.2.7",
                      integration_id=self.integration.id, when=self._days(-0.01))
        return self._finding("key_expired_still_used", self.owner)

    def test_an_owner_dismisses_a_host_that_is_retired(self):
        finding = self._retire_host()
        self.assertTrue(finding.may_dismiss)
        self.assertIn("dismiss the issue", finding.remedy)
        incident = self.env["auth.integration.incident"].sudo().create(
            {"kind": "failing", "source": f"key:{self.key.id}", "cause": "key_expired",
             "key_id": self.key.id, "integration_id": self.integration.id, "opened_at": self.now}
        )
        finding.action_dismiss()
        self.assertEqual((incident.state, incident.dismissed_by), ("dismissed", self.owner))
        self.assertEqual(self._codes(), set())
        self.assertEqual(self._history().count("Olivia Owner dismissed: Expired key"), 1)
        with self.assertRaises(AccessError):
            self.key.with_user(self.owner).calls_dismissed_at = self._days(7)
        # The host calls again, so it was not retired.
        self._attempt(cause="key_expired", key_id=self.key.id, remote_addr="192.0.2.7",
                      integration_id=self.integration.id, when=self._days(0.01))
        self.assertIn("key_expired_still_used", self._codes())
        seen = self._finding("key_expired_still_used", self.manager)
        self.assertFalse(seen.accepted, "nothing is hidden from administrators")

    def test_a_dismissed_host_opens_no_incident(self):
        """There is none, neither before nor after the job has read the log."""
        finding = self._retire_host()
        finding.action_dismiss()
        self.assertIn("Olivia Owner dismissed: An external system still uses", self._history())
        self.env["auth.integration.incident"].sudo()._detect()
        self.assertFalse(self.integration.open_incident_count)
        self.assertEqual(self._codes(), set())

    def test_to_dismiss_the_incident_is_to_dismiss_the_issue(self):
        self._retire_host()
        self.env["auth.integration.incident"].sudo()._detect()
        self.assertTrue(self.integration.open_incident_id)
        self.integration.open_incident_id.with_user(self.owner).action_dismiss()
        self.assertEqual(self._codes(), set())

    def test_nobody_else_dismisses(self):
        finding = self._retire_host()
        for user in (self.stranger, self.integration.user_id):
            with self.subTest(user=user.login), self.assertRaises(AccessError):
                finding.with_user(user).action_dismiss()
        system = self.env.ref("base.group_system")
        self.integration.user_id.group_ids = [Command.link(system.id)]
        for user in (self.owner, self.manager):
            with self.subTest(user=user.login), self.assertRaises(AccessError):
                finding.with_user(user).action_dismiss()
        self.assertIn("key_expired_still_used", self._codes())
        finding.with_user(self.system).action_dismiss()
        self.assertNotIn("key_expired_still_used", self._codes())

    def test_no_other_issue_is_dismissed(self):
        self.integration.user_id.password = "a password"
        finding = self._finding("password_set", self.owner)
        self.assertFalse(finding.may_dismiss)
        with self.assertRaises(UserError):
            finding.action_dismiss()

    # Fixes

    def _finding(self, code, user):
        self.env.flush_all()
        self.env.invalidate_all()
        findings = self.env["auth.integration.finding"]
        domain = [("code", "=", code), ("integration_id", "=", self.integration.id)]
        return findings.browse(findings.search(domain, limit=1).id).with_user(user)

    def _history(self):
        return " ".join(self.integration.message_ids.mapped("body"))

    def test_who_may_write_users_restores_them(self):
        self.integration.user_id.active = False
        for user in (self.stranger, self.owner, self.manager):
            with self.subTest(user.login), self.assertRaises(AccessError):
                self._finding("archived_user_live_key", user).action_restore_user()
            self.assertFalse(self.integration.user_id.active)
        self._finding("archived_user_live_key", self.system).action_restore_user()
        self.assertTrue(self.integration.user_id.active)
        self.assertIn("Sys Administrator restored the integration user", self._history())

    def test_an_owner_who_is_an_integration_user(self):
        """The data is older than the check that refuses it."""
        self.env.cr.execute(
            "INSERT INTO auth_integration_owner_rel (integration_id, user_id) VALUES (%s, %s)",
            (self.integration.id, self.env["res.users"].search([("login", "=", "warehouse")]).id),
        )
        self.assertIn("owner_is_integration_user", self._codes())
        finding = self._finding("owner_is_integration_user", self.owner)
        self.assertIn("warehouse, an integration user, is an owner of Shop", finding.message)

    def test_administrators_restore_a_person(self):
        natives = self.env["res.users.apikeys"].with_user(self.owner).sudo()
        natives._generate(None, "mine", self._days(1))
        self.owner.active = False
        self.env.flush_all()
        finding = self.env["auth.integration.finding"].search(
            [("code", "=", "archived_user_live_key"), ("user_id", "=", self.owner.id)]
        )
        with self.assertRaises(UserError):
            finding.with_user(self.manager).action_restore_user()
        finding.with_user(self.system).action_restore_user()
        self.assertTrue(self.owner.active)

    def test_owners_issue_rotate_and_revoke(self):
        self._move(self.key, issued_at=self._days(-80), replace_by=self._days(5))
        for code, action in (("key_expiring", "action_rotate"), ("key_dormant", "action_revoke")):
            with self.assertRaises(AccessError, msg=action):
                getattr(self._finding(code, self.stranger), action)()
        action = self._finding("key_expiring", self.owner).action_rotate()
        rotation = self.env["auth.integration.rotation"].browse(action["res_id"])
        self.assertEqual(rotation.old_key_id, self.key)
        self.assertIn("Olivia Owner started the rotation", self._history())
        action = self._finding("key_dormant", self.owner).action_revoke()
        wizard = self.env[action["res_model"]].with_user(self.owner)
        wizard = wizard.with_context(**action["context"]).create({"reason": "not needed"})
        wizard.action_revoke()
        self.assertEqual(self.key.state, "revoked")
        self.assertIn("Olivia Owner revoked the API key", self._history())
        finding = self._finding("no_valid_key", self.owner)
        self.assertIn(
            f"the key {self.key.prefix}… was revoked on {finding._format_day(self.now)} by Olivia"
            " Owner. Recorded reason: not needed",
            finding.message,
        )
        action = finding.action_issue_key()
        self.assertEqual(action["context"]["default_integration_id"], self.integration.id)

    def test_who_revoked_the_last_key_is_said_to_readers_of_keys(self):
        self._move(self.key, first_used_at=self.now)
        self.key.with_user(self.owner).revoke("a secret reason")
        self.patch(type(self.key), "has_access", lambda key, operation: False)
        message = self._finding("no_valid_key", self.owner).message
        self.assertIn("was revoked on", message)
        self.assertNotIn("Olivia", message)
        self.assertNotIn("secret", message)

    def test_the_last_key_that_ended_is_named(self):
        self.key.revoke("not needed")
        _secret, later = self._issue(self.integration)
        self._move(self.key, ended_at=self._days(-1), first_used_at=self._days(-2))
        self._move(later, issued_at=self._days(-0.9), expires_at=self._days(-0.5))
        self.assertIn(f"{later.prefix}… expired", self._finding("no_valid_key", self.owner).message)
        self._move(later, issued_at=self._days(-3), expires_at=self._days(-2))
        self.assertEqual(self._finding("no_valid_key", self.owner).key_id, self.key)

    def test_a_mistaken_revocation_is_undone_from_the_issue(self):
        self._move(self.key, first_used_at=self.now)
        self.key.revoke("wrong line")
        self.assertFalse(self._finding("no_valid_key", self.owner).may_undo_revocation)
        finding = self._finding("no_valid_key", self.manager)
        self.assertTrue(finding.may_undo_revocation)
        action = finding.action_undo_revocation()
        self.assertEqual(action["context"]["default_key_id"], self.key.id)
        self._move(self.key, ended_at=self._days(-0.1))
        finding = self._finding("no_valid_key", self.manager)
        self.assertFalse(finding.may_undo_revocation)

    def test_stuck_and_failing_lead_to_where_it_is_seen(self):
        self.key.action_rotate_now()
        self.env.cr.execute(
            "UPDATE auth_integration_rotation SET opened_at = %s WHERE old_key_id = %s",
            (self._days(-4), self.key.id),
        )
        action = self._finding("rotation_stuck", self.owner).action_view_rotation()
        rotation = self.env["auth.integration.rotation"].browse(action["res_id"])
        self.assertEqual(rotation.old_key_id, self.key)
        self._attempt(cause="key_unknown", integration_id=self.integration.id)
        action = self._finding("failing_now", self.owner).action_view_attempts()
        attempts = self.env["auth.attempt"].with_user(self.owner).search(action["domain"])
        self.assertEqual(attempts.mapped("cause"), ["key_unknown"])

    def test_an_owner_sees_his_and_accepts_none(self):
        for integration in (self.integration, self.foreign):
            integration.user_id.password = "a password"
        self.env.flush_all()
        seen = self.env["auth.integration.finding"].with_user(self.owner).search([])
        self.assertEqual(seen.integration_id, self.integration)
        with self.assertRaises(AccessError):
            self.env["auth.integration.finding.acceptance"].with_user(self.owner).create(
                {"finding_id": seen[0].id, "reason": "no"}
            )
