from datetime import timedelta

from odoo.exceptions import AccessError
from odoo.tests import tagged

from ...models.incident.auth_integration_incident_schedule import trigger_gate
from ...tools.attempt.flood_limits import COLLAPSED
from ...tools.health import probe
from .common import ELSEWHERE, HOME, NOW, IncidentCommon


@tagged("post_install", "-at_install")
class TestIncidentDetection(IncidentCommon):
    """When incidents open and close, and what they say."""

    def test_third_refusal_since_the_last_success(self):
        self._fail(count=2, at=-1)
        self._detect()
        self.assertFalse(self._open())
        self._fail()
        self._detect()
        incident = self._open()
        self.assertRecordValues(
            incident,
            [{
                "kind": "failing", "integration_id": self.integration.id, "key_id": self.key.id,
                "cause": "internal_error", "failure_count": 3, "remote_addr": HOME,
                "reference": "ABCDE-12345", "opened_at": NOW - timedelta(seconds=1),
                "last_failure_at": NOW, "closed_at": False,
            }],
        )

    def test_the_setting_says_how_many(self):
        self.env["ir.config_parameter"].set_param("auth_integration.incident_threshold", "2")
        self._fail(count=2)
        self._detect()
        self.assertTrue(self._open())

    def test_refusals_between_successes_open_none(self):
        for minute in range(0, 600, 60):
            self._fail(at=minute)
            self._succeed(at=minute + 30)
        self._pass(minutes=20)
        self._detect()
        self.assertFalse(self.incidents.search([]))

    def test_of_a_minute_with_a_success_one_refusal_is_later(self):
        """Equal failures of a minute share a row: two of these three came before the success."""
        self._fail(count=2, at=-40)
        self._succeed(at=-30)
        self._fail(count=1, at=-20)
        self._pass(minutes=1)
        self._detect()
        self.assertFalse(self._open())

    def test_first_refusal_when_all_must_fail(self):
        for cause in ("key_expired", "key_revoked", "user_archived", "address_not_allowed"):
            with self.subTest(cause=cause):
                self._fail(cause)
                self._detect()
                self.assertEqual(self._open().cause, cause)
                self._succeed(at=1)
                self._pass(hours=2)
                self._detect()
                self.assertFalse(self._open())

    def test_it_closes_with_a_success_of_the_key(self):
        self._fail(count=3)
        self._detect()
        self._pass(minutes=10)
        self._succeed(remote_addr=ELSEWHERE)
        self._detect()
        self.assertRecordValues(
            self.incidents.search([]),
            [{"state": "recovered", "closed_at": self.now, "failure_count": 3}],
        )
        self.assertEqual(self.incidents.search([]).duration, "10 min")

    def test_it_closes_with_a_success_of_the_same_second(self):
        self._fail(count=3)
        self._detect()
        self._succeed()
        self._detect()
        self.assertFalse(self._open())

    def test_it_is_recovered_before_the_job_has_run(self):
        """It is shown as recovered right after the success, by the same condition as in the job."""
        _secret, newer = self._issue(self.integration)
        self._fail("key_superseded")
        self._detect()
        self._pass(minutes=1)
        self._succeed(key=newer, remote_addr=ELSEWHERE)
        self._assert_still_open("waiting")
        self._succeed(key=newer, remote_addr=HOME)
        self._assert_recovered()

    def test_silence_is_over_before_the_job_has_run(self):
        self.integration.expected_every_hours = 1
        self._pass(hours=3)
        self._detect()
        self._assert_still_open("open")
        self._succeed()
        self._assert_recovered()

    def _assert_still_open(self, status):
        self.env.invalidate_all()
        incident = self._open()
        self.assertEqual(incident.status, status)
        self.assertEqual(self.incidents.search([("is_open", "=", True)]), incident)
        self.assertEqual(self.integration.open_incident_count, 1)
        self.assertEqual(self.integration.open_incident_id, incident)

    def _assert_recovered(self):
        self.env.invalidate_all()
        incident = self._open()
        self.assertRecordValues(
            incident, [{"state": "open", "status": "recovered", "is_open": False}]
        )
        self.assertFalse(incident.can_ask or incident.may_revoke or incident.is_solved)
        self.assertFalse(self.incidents.search([("is_open", "=", True)]))
        self.assertFalse(self.integration.open_incident_count)
        self.assertFalse(self.integration.open_incident_id)
        incident.with_user(self.manager).action_dismiss()
        self.assertEqual(incident.state, "open", "the job closes it, and says that it works again")
        self._detect()
        self.assertEqual(incident.state, "recovered")

    def test_a_list_looks_for_recoveries_once(self):
        """A single query is enough for any number of open incidents."""
        for address in (HOME, ELSEWHERE):
            self._fail("key_unknown", 3, key=None, attribution="address", remote_addr=address)
        self._detect()
        incidents = self._open()
        self.assertEqual(len(incidents), 2)
        self.env.invalidate_all()
        self.env.flush_all()
        incidents.mapped("state")
        with self.assertQueryCount(1):
            self.assertEqual(incidents.mapped("is_open"), [True, True])

    def test_it_closes_with_a_success_of_the_replacement(self):
        self._fail(count=3)
        self._detect()
        self._pass(minutes=1)
        _secret, newer = self._issue(self.integration)
        self._move(newer, replaces_id=self.key.id, last_used_at=self.now)
        self._detect()
        self.assertFalse(self._open())

    def test_the_ended_key_of_one_host_recovers_from_there_only(self):
        """Of two hosts, one has the old key; a success of the other one says nothing about it."""
        _secret, newer = self._issue(self.integration)
        self._know(newer, ELSEWHERE)
        for _turn in range(5):
            self._fail("key_superseded", remote_addr=HOME)
            self._succeed(key=newer, remote_addr=ELSEWHERE, at=1)
            self._pass(minutes=2)
            self._detect()
            self.assertEqual(self._open().mapped("state"), ["open"])
        self.assertEqual(len(self.incidents.search([])), 1)
        self.assertFalse(self.incidents.search([]).reopened_at)
        self._succeed(key=newer, remote_addr=HOME)
        self._detect()
        self.assertFalse(self._open())

    def test_two_hosts_with_one_ended_key(self):
        """There is one incident, which ends when the last of them works."""
        _secret, newer = self._issue(self.integration)
        self._know(self.key, ELSEWHERE)
        self._fail("key_expired", remote_addr=HOME)
        self._fail("key_expired", remote_addr=ELSEWHERE)
        self._detect()
        self.assertEqual(self._open().failure_count, 2)
        self._pass(minutes=1)
        self._succeed(key=newer, remote_addr=HOME)
        self._detect()
        self.assertEqual(len(self._open()), 1)
        self._succeed(key=newer, remote_addr=ELSEWHERE)
        self._detect()
        self.assertFalse(self._open())

    def test_a_host_that_is_gone_keeps_nothing_open(self):
        _secret, newer = self._issue(self.integration)
        self._fail("key_expired")
        self._detect()
        self._pass(hours=25)
        self._detect()
        self.assertTrue(self._open(), "nothing has succeeded since")
        self._succeed(key=newer, remote_addr=ELSEWHERE)
        self._detect()
        self.assertFalse(self._open())

    def test_a_success_from_anywhere_ends_what_several_addresses_share(self):
        """In a flood, the rejected calls of many addresses share a row."""
        for shared in (COLLAPSED, "2001:db8:1:2::/64"):
            with self.subTest(shared):
                self._fail("key_unknown", 3, key=None, attribution="address", remote_addr=shared)
                self._detect()
                self.assertTrue(self._open())
                self._pass(minutes=1)
                self._succeed(remote_addr=ELSEWHERE)
                self._detect()
                self.assertFalse(self._open())
                self._pass(minutes=1)

    def test_wrong_keys_from_a_known_address(self):
        """A wrong bearer key identifies no integration, but its address does."""
        self._fail("key_unknown", 3, key=None, attribution="address")
        self._detect()
        self.assertEqual(self._open().source, f"address:{self.integration.id}:{HOME}")
        self._pass(minutes=1)
        self._succeed(remote_addr=ELSEWHERE)
        self._detect()
        self.assertTrue(self._open())
        self._succeed()
        self._detect()
        self.assertFalse(self._open())

    def test_guesses_by_login_from_nowhere_open_none(self):
        for cause in ("password_wrong", "password_not_allowed", "key_unknown", "throttled"):
            self._fail(cause, 50, key=None, attribution="login", remote_addr=ELSEWHERE)
        self._detect()
        self.assertFalse(self._open().filtered(lambda n: n.kind == "failing"))
        self._fail("password_not_allowed", 3, key=None, attribution="login", remote_addr=HOME)
        self._detect()
        self.assertEqual(self._open().filtered(lambda n: n.kind == "failing").remote_addr, HOME)

    def test_a_flood_from_many_addresses_opens_one(self):
        """Someone who knows a login or has an old key may call from any number of addresses."""
        for number in range(20):
            values = {"attribution": "login", "remote_addr": f"2001:db8::{number}"}
            self._fail("user_archived", 3, key=None, **values)
            self._fail("malformed_request", 3, key=None, **values)
            self._fail("key_superseded", 3, **values)
        self._detect()
        self.assertEqual(sorted(self._open().mapped("kind")), ["failing", "key_reused"])
        self.assertEqual(
            self._open().filtered(lambda n: n.kind == "failing").failure_count, 60
        )
        self._pass(minutes=5)
        self._succeed()
        self._detect()
        self.assertEqual(self._open().mapped("kind"), ["key_reused"])

    def test_a_superseded_key_of_a_stranger_is_a_security_event(self):
        self._fail("key_superseded", remote_addr=ELSEWHERE)
        self._detect()
        self.assertEqual(self._open().mapped("kind"), ["key_reused"])

    def test_questions_open_none(self):
        self._fail("key_expired", 5, auth_type=probe.VERIFY)
        self._detect()
        self.assertFalse(self._open())

    def test_personal_keys_count_once_a_system_uses_them(self):
        _none = self.env["auth.integration"]
        self.env["res.users.apikeys"].with_user(self.stranger).sudo()._generate(None, "Mine", False)
        key = self.env["auth.integration.key"].search([("user_id", "=", self.stranger.id)])
        values = {"integration": _none, "key": key, "user_id": self.stranger.id}
        self._fail("key_revoked", **values)
        self._detect()
        self.assertFalse(self._open())
        self._move(key, use_count=10)
        self._detect()
        self.assertRecordValues(
            self._open(),
            [{"integration_id": False, "key_id": key.id, "user_id": self.stranger.id}],
        )
        self._pass(minutes=1)
        self._succeed(**{**values, "key": None})
        self._detect()
        self.assertFalse(self._open())

    def test_running_again_changes_nothing(self):
        self._fail(count=7)
        self._detect()
        before = self.incidents.search([]).read()
        for _again in range(3):
            self._detect()
        self.assertEqual(self.incidents.search([]).read(), before)

    def test_the_count_is_exact(self):
        self._fail(count=3)
        for minute in range(30):
            self._detect()
            self._fail(count=minute)
            self._detect()
            self._pass(minutes=1)
        self._detect()
        self.assertEqual(self._open().failure_count, 3 + sum(range(30)))

    def test_another_cause_within_the_hour_is_another_incident(self):
        self._fail("user_archived")
        self._detect()
        self._succeed(at=10)
        self._pass(minutes=2)
        self._detect()
        self._fail("address_not_allowed")
        self._detect()
        self.assertEqual(self._open().cause, "address_not_allowed")
        self.assertEqual(len(self.incidents.search([])), 2)

    def test_reopened_within_the_hour_it_is_the_same(self):
        self._fail(count=3)
        self._detect()
        self._pass(minutes=1)
        self._succeed()
        self._detect()
        self._pass(minutes=30)
        self._fail(count=3, reference="LATER-12345")
        self._detect()
        incident = self.incidents.search([])
        self.assertRecordValues(
            incident,
            [
                {
                    "state": "open", "reopened_at": self.now, "closed_at": False,
                    "reference": "LATER-12345",
                }
            ],
        )
        self._pass(minutes=1)
        self._succeed()
        self._detect()
        self._pass(minutes=61)
        self._fail(count=3)
        self._detect()
        self.assertEqual(len(self.incidents.search([])), 2)

    def test_the_start_of_a_key_proves_nothing(self):
        """Whoever has seen it can make rejected calls from any number of addresses."""
        for number in range(5):
            self._fail(
                "key_unknown", 9, key=None, attribution="key", remote_addr=f"2001:db8::{number}"
            )
        self._detect()
        self.assertFalse(self._open())
        self._fail("key_unknown", 3, key=None, attribution="key", remote_addr=HOME)
        self._detect()
        self.assertEqual(self._open().remote_addr, HOME)

    def test_a_key_that_has_ended_since_needs_no_success_of_its_own(self):
        """The user was archived, then the key was revoked: a call with a new key ends it."""
        self._fail("user_archived")
        self._detect()
        self._pass(minutes=1)
        new = self._issue(self.integration)[1]
        self._succeed(key=new, remote_addr=ELSEWHERE)
        self._detect()
        self.assertEqual(self._open().cause, "user_archived", "the rejected key may still be used")
        self.key.revoke("gone")
        self.env.flush_all()
        self._detect()
        self.assertFalse(self._open())

    def test_dismissed_it_stays_so_until_a_success(self):
        self._fail("key_expired")
        self._detect()
        with self.assertRaises(AccessError):
            self._open().with_user(self.stranger).action_dismiss()
        self._open().with_user(self.owner).action_dismiss()
        self._pass(minutes=5)
        self._fail("key_expired", 5)
        self._detect()
        self.assertFalse(self._open())
        self._pass(minutes=5)
        self._succeed()
        self._pass(minutes=5)
        self._fail("key_expired")
        self._detect()
        self.assertTrue(self._open())

    def test_where_successes_may_be_on_their_way_it_waits(self):
        """A success may be buffered for up to 45 seconds; calls that always fail do not wait."""
        self._succeed(at=-20)
        self._fail(count=3, at=-10)
        self.assertEqual(self.incidents._detect(), self.now + timedelta(seconds=45))
        self.assertFalse(self._open())
        self._pass(seconds=46)
        self.assertFalse(self.incidents._detect())
        self.assertTrue(self._open())

    def test_what_happened_while_the_job_was_off(self):
        self._detect()
        self._fail(count=3)
        self._pass(days=3)
        self._detect()
        self.assertTrue(self._open())

    def test_an_archived_integration_has_none(self):
        self._fail("key_expired")
        self._detect()
        self.integration.active = False
        self._detect()
        self.assertFalse(self._open())
        self._fail("key_expired", 5)
        self._detect()
        self.assertFalse(self._open())

    def test_what_was_deleted_meanwhile(self):
        """The log has no foreign keys: its rows outlive the records they are about."""
        self._fail("key_expired", integration=self.foreign, key=None)
        self._fail("key_expired")
        self.foreign.unlink()
        self._detect()
        self.assertEqual(self._open().integration_id, self.integration)

    def test_silence(self):
        self.integration.expected_every_hours = 2
        self._pass(hours=1, minutes=59)
        self._detect()
        self.assertFalse(self._open())
        self._pass(minutes=2)
        self._detect()
        incident = self._open()
        self.assertRecordValues(
            incident,
            [{"kind": "silent", "opened_at": NOW + timedelta(hours=2), "failure_count": 0}],
        )
        self._pass(minutes=3)
        self._succeed()
        self._detect()
        self.assertRecordValues(incident, [{"state": "recovered", "closed_at": self.now}])

    def test_what_fails_is_not_silent_too(self):
        self.integration.expected_every_hours = 2
        self._fail("key_expired")
        self._pass(hours=3)
        self._detect()
        self.assertEqual(self._open().mapped("kind"), ["failing"])

    def test_no_longer_expected(self):
        self.integration.expected_every_hours = 2
        self._pass(hours=3)
        self._detect()
        self.integration.expected_every_hours = 0
        self._detect()
        self.assertFalse(self._open())

    def test_a_proposal_of_what_to_expect(self):
        for night in range(10):
            self._succeed(at=-night * 86400 - 3000)
        self.assertEqual(self.integration.proposed_every_hours, 36)
        self.integration.action_expect_proposal()
        self.assertEqual(self.integration.expected_every_hours, 36)

    def _call_from_elsewhere(self):
        self._detect()
        self.env.cr.execute(
            "INSERT INTO auth_integration_key_address (key_id, address, first_seen, last_seen,"
            " use_count) VALUES (%s, %s, %s, %s, 1)",
            [self.key.id, ELSEWHERE, self.now, self.now],
        )
        self._detect()

    def test_a_call_from_a_new_address(self):
        self._call_from_elsewhere()
        self._detect()
        self.assertRecordValues(
            self._open(), [{"kind": "new_address", "remote_addr": ELSEWHERE}]
        )
        incident = self._open().with_user(self.owner)
        self.assertTrue(incident.may_revoke)
        self.assertEqual(incident.action_revoke()["context"]["default_key_ids"], self.key.ids)
        self.key.revoke("not ours")
        incident.invalidate_recordset()
        self.assertFalse(incident.may_revoke)

    def test_an_address_that_was_allowed_by_name_is_not_new(self):
        for listed in (ELSEWHERE, f"{HOME}, {ELSEWHERE}/32  # the new host"):
            self.env.cr.execute(
                "DELETE FROM auth_integration_key_address WHERE address = %s", [ELSEWHERE]
            )
            self.integration.allowed_networks = listed
            self._call_from_elsewhere()
            self.assertFalse(self._open(), listed)
        self.integration.allowed_networks = f"198.51.100.0/24\n# not {ELSEWHERE}"
        self._detect()
        self.assertEqual(self._open().kind, "new_address", "a network is many hosts")

    def test_a_dormant_key_wakes_up(self):
        self._move(self.key, last_used_at=self.now - timedelta(days=50))
        self.incidents._note_dormant_keys()
        self._detect()
        self.assertFalse(self._open())
        self._move(self.key, last_used_at=self.now)
        self._detect()
        self.incidents._note_dormant_keys()
        self._detect()
        self.assertEqual(self._open().mapped("kind"), ["dormant_awake"])
        self.assertFalse(self.key.dormant_since)

    def test_guessing(self):
        for address in (HOME, ELSEWHERE):
            self._fail("throttled", 20, key=None, attribution="login", remote_addr=address)
        self._detect()
        incident = self._open().filtered(lambda n: n.kind == "guessing").with_user(self.system)
        self.assertEqual(len(incident), 1)
        self.assertEqual(incident.fix, "view_attempts")
        self.patch(
            type(self.env["auth.throttle"]), "_full_logins", lambda self, logins: set(logins)
        )
        self.env.invalidate_all()
        self.assertEqual(incident.fix, "unlock")
        incident.action_fix()
        self.assertTrue(self.integration.user_id.sign_in_unlocked_at)

    def test_a_leaked_key(self):
        self._move(self.key, ended_at=self.now, end_kind="revoked", compromised=True)
        self._detect()
        self.assertEqual(self._open().mapped("kind"), ["key_leaked"])

    def test_security_events_close_when_they_are_old(self):
        self._fail("throttled", 20, key=None, attribution="login", remote_addr=ELSEWHERE)
        self._detect()
        self._pass(days=15)
        self._detect()
        self.assertFalse(self._open())

    def test_owners_see_their_own(self):
        self._fail("key_expired")
        self._fail("key_expired", integration=self.foreign, key=None)
        self._detect()
        incidents = self._open()
        self.assertEqual(len(incidents), 2)
        for user, seen in ((self.owner, 1), (self.stranger, 1), (self.manager, 2)):
            self.assertEqual(self.incidents.with_user(user).search_count([]), seen)
        mine = incidents.filtered(lambda n: n.integration_id == self.integration)
        with self.assertRaises(AccessError):
            mine.with_user(self.owner).write({"state": "dismissed"})
        with self.assertRaises(AccessError):
            mine.with_user(self.stranger).read(["cause"])
        self.assertEqual(
            self.integration.with_user(self.owner).open_incident_count, 1
        )

    def test_the_button_that_fixes(self):
        self._fail("key_expired")
        self._detect()
        incident = self._open().with_user(self.owner)
        self.assertEqual(incident.fix, "issue_key")
        self.assertEqual(incident.action_fix()["res_model"], "auth.integration.issue")
        domain = incident.action_view_attempts()["domain"]
        self.assertEqual(self.env["auth.attempt"].with_user(self.owner).search_count(domain), 1)

    def test_refusals_wake_the_job_once(self):
        trigger_gate.reset()
        self.addCleanup(trigger_gate.reset)
        cron = self.env.ref("auth_integration.ir_cron_incidents")
        triggers = self.env["ir.cron.trigger"].search([("cron_id", "=", cron.id)])
        triggers.unlink()
        attempt = self.env["auth.attempt"]._new_attempt()
        with self.enter_registry_test_mode():
            self.incidents._refused(self.env.registry, attempt)
        self.assertFalse(self.env["ir.cron.trigger"].search([("cron_id", "=", cron.id)]))
        attempt.integration_id = self.integration.id
        with self.enter_registry_test_mode():
            for _refusal in range(1000):
                self.incidents._refused(self.env.registry, attempt)
        self.assertEqual(
            self.env["ir.cron.trigger"].search_count([("cron_id", "=", cron.id)]), 1
        )

