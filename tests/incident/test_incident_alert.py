from datetime import timedelta
from unittest.mock import patch

from odoo.addons.base.models import ir_mail_server
from odoo.exceptions import AccessError, ValidationError
from odoo.fields import Command
from odoo.tests import Form, tagged
from odoo.tools import file_open, mute_logger

from ...tools.delivery import https_client
from ...tools.incident.own_mail import OWN_MAIL
from ..common import IntegrationCommon
from .common import NOW, IncidentCommon


@tagged("post_install", "-at_install")
class TestIncidentAlert(IncidentCommon):
    """Who is notified, when, and only once; the text; and what happens if sending fails."""

    def _mails(self, user):
        return self._alerts_to(user).mail_id

    def test_owner_is_told_once(self):
        self._fail("key_expired")
        self._run()
        mail = self._mails(self.owner)
        self.assertEqual(len(mail), 1)
        self.assertEqual(mail.recipient_ids, self.owner.partner_id)
        self.assertIn("Shop is failing: Expired key", mail.subject)
        for text in ("What to do:", "203.0.113.7", "ABCDE-12345", "Production", "UTC"):
            self.assertIn(text, mail.body_html)
        self.assertEqual(self._open().notified_at, self.now)
        self.assertEqual(self._open().alert_sent_at, self._alerts_to().sent_at)
        self.assertEqual(self._alerts_to().user_id, self.owner)
        for _again in range(5):
            self._fail("key_expired")
            self._pass(minutes=10)
            self._run()
        self.assertEqual(self._mails(self.owner), mail)

    def test_owner_is_told_that_it_works_again(self):
        self._fail(count=3)
        self._run()
        self._pass(hours=1, minutes=5)
        self._succeed()
        self._run()
        self._run()
        _failed, recovered = self._alerts_to(self.owner)
        self.assertIn("works again after 1 h 5 min", recovered.mail_id.subject)
        self.assertEqual(self.incidents.search([]).recovery_notified_at, self.now)

    def test_an_activity_is_of_an_integration(self):
        """An alert that also has a person's incident asks about the integration only."""
        person = self.incidents.create(
            {"kind": "guessing", "source": "x", "opened_at": self.now,
             "user_id": self.stranger.id}
        )
        self._fail("key_expired")
        self._detect()
        alert = self.alerts.create(
            {"recipient": f"user:{self.manager.id}", "user_id": self.manager.id,
             "line_ids": [
                 Command.create({"recipient": "x", "incident_id": one.id, "event": "opened"})
                 for one in person | self._open()
             ]}
        )
        alert._schedule_activities()
        self.assertEqual(self.integration.activity_ids.user_id, self.manager)

    def test_activities_come_and_go_with_the_incident(self):
        self._fail("key_expired")
        self._run()
        self._run()
        activity = self.integration.activity_ids
        self.assertRecordValues(activity, [{"user_id": self.owner.id, "summary": "Expired key"}])
        self._pass(minutes=5)
        self._succeed()
        self._run()
        self.assertFalse(self.integration.activity_ids)

    def test_an_activity_ends_once_a_key_was_created(self):
        """It asks for a new key; a rejection that this does not fix keeps it open."""
        self._fail("key_expired")
        self._fail("user_archived", key=None)
        self._run()
        self.assertEqual(self.integration.activity_ids.user_id, self.owner)
        self.integration.user_id.action_archive()
        self.integration.with_user(self.system)._close_activities_of_fixed()
        self.assertTrue(self.integration.activity_ids)
        self.integration.user_id.action_unarchive()
        self._move(self.key, expires_at=self.now)
        self.integration.with_user(self.owner).issue_key()
        self.assertFalse(self.integration.activity_ids)
        self.assertIn("waiting for the next call", self.integration.message_ids[0].body)

    def _activities_of(self, user):
        self.env.invalidate_all()
        activities = self.integration.activity_ids.filtered(lambda a: a.user_id == user)
        return activities.mapped("summary")

    def _ask(self, cause):
        """Ask administrators as the owner to fix the cause of rejected calls."""
        owned = self.integration.with_user(self.owner)
        self.env["auth.integration.admin.request"].with_user(self.owner)._make(
            owned, cause, ["x"], owned
        )

    def test_who_was_alerted_and_is_asked_has_one_activity(self):
        """A request replaces the alert activity of an administrator who is also an owner.

        Another failure adds an activity again.
        """
        self.integration.owner_ids |= self.manager
        self._fail("address_not_allowed", count=3)
        self._run()
        self.assertEqual(self._activities_of(self.manager), ["Address not allowed"])
        self._ask("address_not_allowed")
        self.assertEqual(self._activities_of(self.manager), ["Olivia Owner asks for your help"])
        self.assertEqual(self._activities_of(self.owner), ["Address not allowed"])
        self._run()
        self.assertEqual(len(self._activities_of(self.manager)), 1)
        self._pass(minutes=5)
        self._fail("user_archived", key=None)
        self._run()
        self.assertEqual(len(self._activities_of(self.manager)), 2)

    def test_an_incident_names_the_allowed_networks(self):
        self.integration.allowed_networks = "192.0.2.0/24"
        self._fail("address_not_allowed", count=3)
        self._run()
        incident = self._open().with_user(self.owner)
        self.assertIn("192.0.2.0/24", incident.case_explanation)

    def test_an_activity_about_more_than_was_asked_stays(self):
        self.integration.owner_ids |= self.manager
        self._fail("address_not_allowed", count=3)
        self._fail("user_archived", key=None)
        self._run()
        self.assertEqual(len(self._open()), 2)
        self.assertEqual(len(self._activities_of(self.manager)), 1)
        self._ask("address_not_allowed")
        self.assertEqual(len(self._activities_of(self.manager)), 2)

    def test_who_is_asked_already_gets_no_activity_of_the_alert(self):
        """This holds while the request is open; the mail is sent anyway."""
        self.integration.owner_ids |= self.manager
        self._ask("address_not_allowed")
        self._fail("address_not_allowed", count=3)
        self._run()
        self.assertEqual(self._activities_of(self.manager), ["Olivia Owner asks for your help"])
        self.assertEqual(self._activities_of(self.owner), ["Address not allowed"])
        self.assertTrue(self._mails(self.manager))

    def test_a_request_that_was_dealt_with_keeps_no_alert_back(self):
        self.integration.owner_ids |= self.manager
        self._ask("address_not_allowed")
        self.integration.activity_ids.action_feedback()
        self._fail("address_not_allowed", count=3)
        self._run()
        self.assertEqual(self._activities_of(self.manager), ["Address not allowed"])

    def test_a_dismissed_incident_asks_for_nothing(self):
        self._fail("key_expired")
        self._run()
        self._open().action_dismiss()
        self._pass(hours=5)
        self._run()
        self.assertFalse(self.integration.activity_ids)
        self.assertEqual(len(self._alerts_to()), 1)

    def test_a_hundred_failing_together_are_one_message(self):
        others = self.env["auth.integration"].create(
            [
                {"name": f"System {n}", "code": f"system_{n}",
                 "owner_ids": [Command.set(self.owner.ids)]}
                for n in range(100)
            ]
        )
        for other in others:
            self._fail("key_expired", integration=other, key=None)
        self._run()
        mail = self._mails(self.owner)
        self.assertEqual(len(mail), 1)
        self.assertIn("100 incidents", mail.subject)
        self.assertIn("more.", mail.body_html)
        self.assertLess(len(mail.body_html), 100_000)
        self.assertEqual(len(self._alerts_to(self.owner).line_ids), 100)
        self._pass(minutes=1)
        for other in others:
            self._succeed(integration=other, key=None)
        self._run()
        self.assertEqual(len(self._alerts_to(self.owner)), 2)
        self.assertIn("100 API integrations work again", self._alerts_to(self.owner)[1].subject)

    def test_reopened_within_the_hour_nothing_new_is_sent(self):
        for _turn in range(3):
            self._fail(count=3)
            self._run()
            self._pass(minutes=2)
            self._succeed()
            self._run()
            self._pass(minutes=2)
        self.assertEqual(len(self._alerts_to(self.owner)), 2)
        self._fail(count=3)
        self._run()
        self._pass(minutes=59)
        self._run()
        self.assertEqual(len(self._alerts_to(self.owner)), 2)
        self._pass(minutes=2)
        self._run()
        self.assertEqual(len(self._alerts_to(self.owner)), 3, "it has gone on for an hour")
        self._succeed()
        self._run()
        self.assertEqual(len(self._alerts_to(self.owner)), 4)

    def test_administrators_after_four_hours(self):
        self._fail("key_expired")
        self._run()
        self.assertFalse(self._alerts_to(self.manager))
        self._pass(hours=4)
        self._run()
        self._run()
        self.assertEqual(len(self._alerts_to(self.manager)), 1)
        self.assertEqual(len(self._alerts_to(self.owner)), 1)
        self._succeed()
        self._run()
        self.assertEqual(len(self._alerts_to(self.manager)), 2)

    def test_administrators_at_once_without_a_reachable_owner(self):
        self.owner.email = False
        self._fail("key_expired")
        self._run()
        self.assertEqual(len(self._alerts_to(self.manager)), 1)
        [to_owner] = self._alerts_to(self.owner)
        self.assertRecordValues(to_owner, [{"state": "failed", "mail_id": False}])
        self.assertIn("email address", to_owner.error)
        codes = self.env["auth.integration.finding"].search(
            [("integration_id", "=", self.integration.id)]
        ).mapped("code")
        self.assertIn("owner_unreachable", codes)

    def test_administrators_at_once_for_an_archived_owner(self):
        self.owner.active = False
        self._fail("key_expired")
        self._run()
        self.assertEqual(len(self._alerts_to(self.manager)), 1)
        self.assertFalse(self._alerts_to(self.owner))

    def test_quiet_hours_of_what_is_not_production(self):
        self.integration.environment = "staging"
        self.owner.tz = "Asia/Tokyo"  # nine hours ahead of UTC: it is 21:00 there
        self._fail("key_expired")
        self._run()
        self.assertFalse(self._alerts_to(self.owner))
        self._pass(hours=9, minutes=59)
        self._run()
        self.assertFalse(self._alerts_to(self.owner))
        self._pass(minutes=2)
        self._run()
        self.assertEqual(len(self._alerts_to(self.owner)), 1)

    def test_production_that_fails_knows_no_quiet_hours(self):
        self.owner.tz = "Asia/Tokyo"
        self._fail("key_expired")
        self._run()
        self.assertEqual(len(self._alerts_to(self.owner)), 1)

    def test_quiet_hours_can_be_turned_off(self):
        self.env["ir.config_parameter"].set_param("auth_integration.alert_quiet_hours", "off")
        self.integration.environment = "test"
        self.owner.tz = "Asia/Tokyo"
        self._fail("key_expired")
        self._run()
        self.assertEqual(len(self._alerts_to(self.owner)), 1)
        with self.assertRaises(ValidationError):
            self.env["res.config.settings"].create(
                {"auth_integration_alert_quiet_hours": "at night"}
            )

    def test_quiet_hours_are_two_hours_to_choose(self):
        """The settings page writes them in the format of the parameter."""
        settings, parameters = self.env["res.config.settings"], self.env["ir.config_parameter"]
        page = Form(settings.with_user(self.env.ref("base.user_admin")))
        self.assertTrue(page.auth_integration_has_quiet_hours)
        self.assertEqual(
            (page.auth_integration_quiet_from, page.auth_integration_quiet_to), ("20", "7")
        )
        page.auth_integration_quiet_from = "22"
        page.save().execute()
        self.assertEqual(parameters.get_param("auth_integration.alert_quiet_hours"), "22-7")
        page = Form(settings.with_user(self.env.ref("base.user_admin")))
        page.auth_integration_has_quiet_hours = False
        page.save().execute()
        self.assertEqual(parameters.get_param("auth_integration.alert_quiet_hours"), "off")

    def test_muted_until(self):
        self.integration.alerts_muted_until = self.now + timedelta(hours=2)
        self._fail("key_expired")
        self._run()
        self.assertFalse(self._alerts_to())
        self._pass(hours=2)
        self._run()
        self.assertEqual(len(self._alerts_to(self.owner)), 1)

    def test_rules_say_which_and_to_whom(self):
        rule = self.env["auth.integration.alert.rule"].search([("kind", "=", "failing")])
        rule.muted_until = self.now + timedelta(hours=1)
        self._fail("key_expired")
        self._run()
        self.assertFalse(self._alerts_to())
        rule.write({"muted_until": False, "recipients": "managers"})
        self._run()
        self.assertFalse(self._alerts_to(self.owner))
        self.assertTrue(self._alerts_to(self.manager))
        rule.active = False
        self._fail("key_expired", integration=self.foreign, key=None)
        self._run()
        self.assertFalse(self._alerts_to(self.stranger))
        with self.assertRaises(AccessError):
            rule.with_user(self.manager).write({"recipients": "owners"})

    def test_in_the_readers_language(self):
        self.env["res.lang"]._activate_lang("fr_FR")
        self.owner.lang = "fr_FR"
        self._fail("key_expired")
        with patch.object(
            type(self.env), "_",
            lambda env, text, *args, **values: f"[{env.lang}] {text % (args or values)}"
            if args or values else f"[{env.lang}] {text}",
        ):
            self._run()
        mail = self._mails(self.owner)
        self.assertIn("[fr_FR] Expired key", mail.subject)
        self.assertIn("[fr_FR] Create a key", mail.body_html)

    def test_a_mail_that_cannot_be_sent_is_a_finding_and_no_loop(self):
        self._fail("key_expired")
        mails = type(self.env["mail.mail"])
        tried = []

        def refuse(mail, *args, **kwargs):
            tried.append(mail.message_id)
            mail.write({"state": "exception", "failure_reason": "Connection refused"})

        self.patch(mails, "send", refuse)
        self._run()
        to_owner, incident = self._alerts_to(self.owner), self._open().with_user(self.owner)
        self.assertEqual(to_owner.status, "retrying")
        self.assertRegex(incident.alert_error, "^Mail to .*: Connection refused$")
        for _run in range(100):
            self._run()
            self._pass(minutes=10)
        to_owner = self._alerts_to(self.owner)
        self.assertRecordValues(
            to_owner,
            [{"state": "pending", "status": "retrying", "error": "Connection refused"}],
        )
        self.assertFalse(incident.alert_sent_at, "it was not")
        own = [sent for sent in tried if sent == to_owner.mail_id.message_id]
        self.assertEqual(len(own), to_owner.tries)
        self.assertGreaterEqual(len(own), 100 * 10 // 20, "after at most 15 minutes")
        self.assertEqual(to_owner.mail_id.state, "outgoing")
        codes = self.env["auth.integration.finding"].search([]).mapped("code")
        self.assertIn("alert_undelivered", codes)
        finding = self.env["auth.integration.finding"].search([("code", "=", "mail_undelivered")])
        self.assertIn("Connection refused", finding.message)
        self.patch(mails, "send", lambda mail, *_args, **_kw: mail.write({"state": "sent"}))
        self._pass(minutes=15)
        self._run()
        self.assertEqual(self._alerts_to(self.owner).state, "sent")
        self.assertFalse(finding.exists())

    def test_only_own_mail_waits_shortly(self):
        servers = self.env["ir.mail_server"]
        self.patch(type(servers), "_disable_send", lambda *args: False)
        waits = []

        def connect(*_args, timeout, **_kwargs):
            waits.append(timeout)
            raise TimeoutError("timed out")

        self.patch(ir_mail_server.smtplib, "SMTP", connect)
        mails = self.env["mail.mail"]
        values = {"email_from": "a@example.com", "email_to": "b@example.com"}
        own = mails.with_context(**OWN_MAIL).create(values)
        own.with_context(auth_integration_mail=False)._send_now()
        mails.with_context(auth_integration_mail=True, auth_integration_smtp_timeout=1).create(
            values
        ).send()  # as a caller can send it
        self.assertLessEqual(waits[0], 10)
        self.assertEqual(waits[1:], [60])
        self.assertEqual(own.state, "outgoing")
        self.assertGreater(own.scheduled_date, self.now, "Odoo's queue leaves it")

    def test_what_is_retried_by_hand(self):
        self._with_webhook(self.integration)
        self._fail("key_expired")
        self._run()
        sent = self.alerts.search([("integration_id", "=", self.integration.id)])
        sent.write({"state": "failed", "error": "no"})
        sent.with_user(self.manager).action_retry()
        self.assertEqual(sent.state, "pending")

    @mute_logger("odoo.addons.mail.models.mail_mail")
    def test_no_sender_address_is_a_finding(self):
        """Without an alias domain and an OdooBot with an address, mail has no sender."""
        self.env.company.alias_domain_id = False
        self.env["mail.alias.domain"].search([]).unlink()
        self.env.ref("base.partner_root").email = False
        servers = type(self.env["ir.mail_server"])
        self.patch(servers, "_disable_send", lambda *args: False)
        self.patch(servers, "_connect__", lambda *args, **kwargs: None)
        self._fail("key_expired")
        self._run()
        to_owner = self._alerts_to(self.owner)
        self.assertEqual((to_owner.state, to_owner.tries), ("pending", 1))
        self.assertIn("sender address", to_owner.error)
        finding = self.env["auth.integration.finding"].search([("code", "=", "alert_undelivered")])
        self.assertIn("sender address", finding.remedy)

    def test_what_was_sent_is_not_sent_again(self):
        """The webhook would treat it as news; *Send Again* is for what failed."""
        self._with_webhook(self.integration)
        self._fail("key_expired")
        self._run()
        sent = self.alerts.search([("integration_id", "=", self.integration.id)])
        self.assertEqual(sent.state, "sent")
        sent.with_user(self.manager).action_retry()
        self._run()
        self.assertEqual(len(self.posted), 1)

    def test_an_error_while_sending_stops_no_other(self):
        self._fail("key_expired")
        self._fail("key_expired", integration=self.foreign, key=None)
        mails = type(self.env["mail.mail"])

        def send(mail, *args, **kwargs):
            if mail.recipient_ids == self.owner.partner_id:
                raise OSError("no such host")
            mail.write({"state": "sent"})

        self.patch(mails, "send", send)
        self._run()
        self.assertEqual(self._alerts_to(self.stranger).state, "sent")
        self.assertEqual(self._alerts_to(self.owner).state, "pending")
        self.assertIn("no such host", self._alerts_to(self.owner).error)

    def test_a_copied_database_tells_nobody(self):
        self.patch(
            type(self.env["auth.integration.database"]), "_is_copy", lambda self: True
        )
        self._fail("key_expired")
        self._run()
        self.assertTrue(self._open())
        self.assertFalse(self.alerts.search([]))
        self.assertFalse(self.integration.activity_ids)

    def test_personal_keys_are_told_to_administrators(self):
        self.env["res.users.apikeys"].with_user(self.stranger).sudo()._generate(None, "Mine", False)
        key = self.env["auth.integration.key"].search([("user_id", "=", self.stranger.id)])
        self._move(key, use_count=10)
        self._fail("key_revoked", integration=self.env["auth.integration"], key=key,
                   user_id=self.stranger.id)
        self._run()
        self.assertTrue(self._alerts_to(self.manager))
        self.assertFalse(self._alerts_to(self.stranger))
        self.assertIn("sam", self._mails(self.manager).subject)

    # Webhooks --------------------------------------------------------------------------------

    def _with_webhook(self, target, answer=200):
        target.alert_url = "https://chat.example.com/hook"
        self.posted = []

        def post(url, body, headers, allowed=()):
            self.posted.append((url, body, headers))
            if isinstance(answer, Exception):
                raise answer
            return answer

        self.patch(https_client, "post", post)

    def test_a_webhook_of_the_integration(self):
        self._with_webhook(self.integration)
        self._fail("key_expired")
        self._run()
        self._run()
        [(url, body, headers)] = self.posted
        self.assertEqual(url, "https://chat.example.com/hook")
        self.assertIn('"text": "Shop: Expired key', body)
        self.assertIn('"cause": "key_expired"', body)
        self.assertIn("webhook-id", headers)
        self._pass(minutes=3)
        self._succeed()
        self._run()
        self.assertIn("works again after 3 min", self.posted[1][1])

    def test_a_webhook_of_the_company(self):
        self._with_webhook(self.env["res.company"].search([], order="id", limit=1))
        self._fail("key_expired")
        self._fail("key_expired", integration=self.foreign, key=None)
        self._run()
        self.assertEqual(len(self.posted), 1)

    def test_an_old_recovery_is_no_news(self):
        """Neither users nor a webhook get it if the job did not run for two days."""
        self._with_webhook(self.integration)
        self._fail("key_expired")
        self._run()
        self._succeed(at=60)
        self._pass(minutes=5)
        self._detect()
        self.assertEqual(self.incidents.search([]).state, "recovered")
        self._pass(days=2)
        self._run()
        self.assertEqual((len(self.posted), len(self._alerts_to())), (1, 1))

    def test_a_webhook_that_fails_is_tried_again_under_the_same_id(self):
        self._with_webhook(self.integration, https_client.NoAnswer("No answer"))
        self._fail("key_expired")
        for _run in range(60):
            self._run()
            self._pass(minutes=10)
        self.assertEqual(len(self.posted), 5)
        self.assertEqual(len({headers["webhook-id"] for _url, _body, headers in self.posted}), 1)
        self.assertEqual(self.alerts.search([("user_id", "=", False)]).error, "No answer")

    def test_only_https(self):
        with self.assertRaises(ValidationError):
            self.integration.alert_url = "http://chat.example.com/hook"

    def test_owners_change_no_target(self):
        with self.assertRaises(AccessError):
            self.integration.with_user(self.owner).alert_url = "https://evil.example.com/"
        with self.assertRaises(AccessError):
            self.integration.with_user(self.owner).read(["alert_secret"])

    def test_a_neutralized_copy_has_no_target(self):
        company = self.env.company
        (self.integration | self.foreign).alert_url = "https://chat.example.com/hook"
        company.alert_url = "https://chat.example.com/hook"
        self._fail("key_expired")
        self._run()
        self.env.cr.execute(file_open("auth_integration/data/neutralize.sql").read())
        self.env.invalidate_all()
        self.assertFalse(self.integration.alert_url or company.alert_url)
        self.assertFalse(self.alerts.search([("state", "=", "pending")]))
        self.assertFalse(self.env.ref("auth_integration.ir_cron_incidents").active)

    def test_an_activity_says_what_its_reader_can_do(self):
        self._fail("address_not_allowed", count=3)
        self._run()
        self.assertIn("ask an administrator", self.integration.activity_ids.note)

    # Weekly summary --------------------------------------------------------------------------

    def _weekly(self, user):
        return self.env["mail.activity"].search(
            [("user_id", "=", user.id), ("summary", "=", "Weekly summary of API integrations")]
        )

    def test_weekly_summary(self):
        self._move(self.key, issued_at=self.now)
        self._fail("key_expired")
        self._run()
        activity = self._weekly(self.manager)
        self.assertEqual(len(activity), 1)
        self.assertIn("Expired key", activity.note)
        self.assertIn("New keys", activity.note)
        self.assertFalse(self._weekly(self.owner))
        for _day in range(5):
            self._pass(days=1)
            self._run()
        self.assertEqual(len(self._weekly(self.manager)), 1)
        self._pass(days=1)
        self.assertEqual(self.now, NOW + timedelta(days=6))
        self._run()
        self.assertEqual(len(self._weekly(self.manager)), 2, "Monday noon")

    def test_nothing_to_say_nothing_sent(self):
        self.patch(type(self.alerts), "_weekly_text", lambda self: "")
        self._run()
        self.assertFalse(self._weekly(self.manager))
        self.assertFalse(self.alerts.search([("mail_id", "!=", False)]))

    def test_weekly_summary_by_mail(self):
        self._move(self.key, issued_at=self.now)
        self.env["ir.config_parameter"].set_param("auth_integration.weekly_summary_mail", "True")
        self._run()
        weekly = self.alerts.search([("user_id", "=", self.manager.id), ("week", "!=", False)])
        self.assertIn("Weekly summary", weekly.mail_id.subject)
        self.assertIn("New keys", weekly.mail_id.body_html)

    # Send Test -------------------------------------------------------------------------------

    def test_send_test_alert(self):
        self._with_webhook(self.env.company)
        settings = self.env["res.config.settings"].with_user(self.system).create({})
        self.patch(
            type(self.env["mail.mail"]), "send", lambda mail, **_kw: mail.write({"state": "sent"})
        )
        action = settings.action_send_test_alert()
        self.assertEqual(action["params"]["type"], "success")
        self.assertIn("sys@example.com", action["params"]["message"])
        self.assertEqual(len(self.posted), 1)
        with self.assertRaises(AccessError):
            self.alerts.with_user(self.manager)._send_test()

    def test_a_test_that_fails_says_why(self):
        settings = self.env["res.config.settings"].with_user(self.system).create({})
        self.patch(
            type(self.env["mail.mail"]), "send",
            lambda mail, **_kw: mail.write(
                {"state": "exception", "failure_reason": "Connection refused"}
            ),
        )
        params = settings.action_send_test_alert()["params"]
        self.assertEqual(params["type"], "danger")
        self.assertIn("Connection refused", params["message"])


@tagged("post_install", "-at_install")
class TestDemoFindings(IntegrationCommon):
    """The demo data have one issue per root cause, and a log that agrees with the keys."""

    def test_the_demo_has_one_issue_for_the_expired_key(self):
        pos = self.env.ref("auth_integration.auth_integration_demo_pos")
        self.assertEqual(pos.finding_ids.mapped("code"), ["no_valid_key"])
        [root] = pos.finding_ids
        self.assertIn("expired on", root.message)
        self.assertGreaterEqual(len(root.evidence.splitlines()), 2)
        self.assertEqual(pos.health, "critical")
        shown = self.env["auth.integration.finding"].search(
            [("integration_id", "=", pos.id), ("folded", "=", False)]
        )
        self.assertEqual(shown, root)

    def test_the_log_says_the_same_as_the_keys(self):
        """Both have the same last use of each key, and no key was used outside its lifetime."""
        names = ("shop", "pos", "warehouse", "payment")
        refs = [f"auth_integration.auth_integration_demo_{name}" for name in names]
        stories = [self.env.ref(ref) for ref in refs]
        keys = self.env["auth.integration"].union(*stories).key_ids
        self.assertEqual(len(keys), 6)
        for key in keys:
            calls = self.env["auth.attempt"].search([("key_id", "=", key.id)])
            accepted = calls.filtered(lambda call: call.outcome == "success")
            rejected = calls - accepted
            with self.subTest(key=key.display_name):
                self.assertEqual(max(accepted.mapped("last_seen")), key.last_used_at)
                self.assertEqual(key.address_ids.mapped("last_seen"), [key.last_used_at])
                self.assertLessEqual(key.issued_at, key.first_used_at)
                used = key.operation_ids.mapped("first_used_at")
                self.assertLessEqual(key.first_used_at, min(used, default=key.last_used_at))
                if key.state == "expired":
                    self.assertLess(key.last_used_at, key.effective_end)
                    self.assertLess(key.effective_end, min(rejected.mapped("first_seen")))
        self._assert_archived_between_calls(stories[2])
        [old] = stories[3].key_ids.filtered("replaced_by_id")
        self.assertLess(old.last_used_at, old.replaced_by_id.first_used_at)

    def _assert_archived_between_calls(self, warehouse):
        archived_at = warehouse.user_id.write_date
        self.assertLess(warehouse.key_ids.last_used_at, archived_at)
        rejected = self.env["auth.attempt"].search([("integration_id", "=", warehouse.id),
                                                    ("cause", "=", "user_archived")])
        self.assertLess(archived_at, min(rejected.mapped("first_seen")))
