"""Two things are wrong, one after the other: all screens name the same one as the next to fix."""

import itertools
from contextlib import contextmanager
from datetime import timedelta
from random import Random
from unittest.mock import patch

from odoo import fields
from odoo.tests import tagged

from ...tools.attempt import caller, request_state
from ...tools.attempt.request_state import Attempt
from ...tools.key.usage_writer import Batch, SuccessfulUse
from ..explanation.test_attempt_explanation import ExplanationCase

ADDRESS = "198.51.100.7"
# What can be wrong: each has a method that breaks and one that fixes it.
NAMES = ("user", "address", "protocol", "typing")
# A key cannot be created for an archived user, so that is fixed first.
ENDS_OF_KEYS = ("revoked", "expired")
WALKS = 30
# A single call may have been rejected for a typing error of a person.
FAILING = ("failing", "rejected")
SHIFTED = {
    "auth_attempt": ("first_seen", "last_seen"),
    "auth_integration_incident": (
        "opened_at", "last_failure_at", "closed_at", "settled_to", "reopened_at",
    ),
    "auth_integration_key": ("issued_at", "ended_at", "first_used_at", "last_used_at"),
    "auth_integration_key_address": ("first_seen", "last_seen"),
}


class ExternalSystem:
    """An external system that calls with the key that was installed in it."""

    def __init__(self, case, secret):
        self.case, self.env, self.secret = case, case.env, secret

    def _decide(self):
        """Have the installed key checked as for a call over JSON-2, without recording anything."""
        attempt = Attempt(
            "json2", self.env.cr.dbname, remote_addr=ADDRESS, address_trusted=True,
            user_agent="curl/8.5", auth_type="bearer", outcome="failure",
        )
        who = caller.Caller("json2", ADDRESS, True)
        with (
            patch.object(caller, "current", lambda: who),
            request_state.opened(attempt),
            self.env.cr.savepoint() as savepoint,
        ):
            if self.case._check(self.secret):
                attempt.outcome = "success"
            savepoint.rollback()
        return attempt

    def next_cause(self):
        """Return the cause for which the next call would be rejected, or None."""
        return self._decide().cause

    def call(self, tries):
        """Make a call, again while it is rejected; return the cause, or None.

        :param tries: how often in all
        """
        self.case._pass(minutes=1)
        attempt, now = self._decide(), fields.Datetime.now()
        attempts = self.env["auth.attempt"]
        if attempt.outcome == "failure":
            attempt.described_agent = attempt.user_agent
            attempts._enrich(attempt, now)
            for _try in range(tries):
                attempts._write_failure(attempt, now)
        else:
            use = SuccessfulUse(
                self.env.cr.dbname, "json2", "bearer", attempt.known_login, attempt.user_id,
                attempt.integration_id, "key", attempt.key_id, ADDRESS, "curl/8.5",
            )
            at = now.timestamp()
            attempts._write_use(Batch(use, 1, at, at))
        self.case._refresh()
        return attempt.cause


@tagged("post_install", "-at_install")
class TestTwoCauses(ExplanationCase):
    """After each step of such a story, form, card, incident and attempt agree."""

    def setUp(self):
        super().setUp()
        self.env["auth.integration.incident"].search([]).unlink()
        self.env.cr.execute("DELETE FROM auth_attempt")
        self.host = ExternalSystem(self, self.secret)
        self.right = self.secret
        self._call()
        self.assertIsNone(self.last)

    def _refresh(self):
        self.env.flush_all()
        self.env.invalidate_all()

    def _pass(self, **time):
        """Let time pass: what has happened is longer ago."""
        self._refresh()
        for table, columns in SHIFTED.items():
            moved = ", ".join(f"{column} = {column} - %(by)s" for column in columns)
            self.env.cr.execute(f"UPDATE {table} SET {moved}", {"by": timedelta(**time)})
        self.env.cr.execute(
            "UPDATE auth_attempt SET bucket = sha256(bucket || id::text::bytea)"
        )
        self.env.cr.execute(
            "UPDATE ir_config_parameter SET value = (value::timestamp - %s)::text"
            " WHERE key = 'auth_integration.incidents_seen_to'",
            [timedelta(**time)],
        )
        self._refresh()

    # What is wrong, and how it is fixed

    def _break_user(self):
        self.integration.user_id.action_archive()

    def _fix_user(self):
        self.integration.with_user(self.system).action_restore_user()

    def _break_address(self):
        self.integration.allowed_networks = "10.0.0.0/8"

    def _fix_address(self):
        self.integration.allowed_networks = False

    def _break_protocol(self):
        self.integration.allowed_channels = "xmlrpc"

    def _fix_protocol(self):
        self.integration.allowed_channels = False

    def _break_typing(self):
        self.host.secret = self.right[:-1] + ("0" if self.right[-1] != "0" else "1")

    def _fix_typing(self):
        self.host.secret = self.right

    def _key_in_use(self):
        return self.env["auth.integration.key"].search([("prefix", "=", self.right[:8])])

    def _break_revoked(self):
        self._key_in_use().revoke("test")

    def _break_expired(self):
        key, past = self._key_in_use(), fields.Datetime.now() - timedelta(seconds=1)
        self._move(key, expires_at=past)
        key.apikey_id._write({"expiration_date": past})

    def _fix_revoked(self):
        self.right, key = self._issue(self.integration)
        self._move(key, issued_at=fields.Datetime.now())  # not when the test's transaction began
        self.host.secret = self.right

    _fix_expired = _fix_revoked

    def _break(self, name):
        getattr(self, f"_break_{name}")()
        self._refresh()

    def _fix(self, name):
        self._pass(seconds=2)
        getattr(self, f"_fix_{name}")()
        self._refresh()

    # What the screens say

    def _assert_agreement(self):
        """Check that the screens agree on what the next call needs."""
        last = self.last
        integration = self.integration.with_user(self.manager)
        box = integration.main_finding_ids
        attempt = self._newest("auth.attempt", [("outcome", "=", "failure")])
        incident = self._newest("auth.integration.incident", [("is_open", "=", True)])
        following = self.host.next_cause()
        if not last:
            self.assertFalse(incident)
            self.assertTrue(not attempt or attempt.is_solved)
            if not following:
                self.assertEqual((integration.status, integration.main_issue), ("working", False))
            return
        self.assertEqual(attempt.cause, last)
        self.assertNotEqual(integration.status, "working", "the last call was rejected")
        if box.code in ("failing_now", "call_rejected") and not box.is_solved:
            self.assertIn(f": {integration.main_issue}.", box.message, "form and card agree")
        if incident.cause == last:
            self.assertEqual(incident.open_cause, attempt.open_cause)
        # Only a call can prove that the right key was installed.
        was_installed = last == "key_unknown" or attempt.key_id and not attempt.key_id.is_live
        if last == following == "key_unknown" and not self._key_in_use().first_used_at:
            pass  # nobody can know that the new key was mistyped, too
        elif last == following:
            self.assertIn(integration.status, FAILING)
            self.assertEqual(attempt.open_cause, last)
            self.assertFalse(box.is_solved)
        elif not following:
            self.assertTrue(attempt.is_solved or was_installed)
            self.assertIn(integration.status, ["waiting"] if attempt.is_solved else FAILING)
            self.assertEqual(bool(box.is_solved), attempt.is_solved)
        elif following != "key_unknown" and not was_installed:
            self.assertIn(integration.status, FAILING)
            title = self.env["auth.attempt"]._selection_cause()
            self.assertTrue(attempt.open_cause in (last, following), attempt.open_cause)
            if attempt.open_cause == following and box.code == "failing_now":
                self.assertEqual(integration.main_issue, dict(title)[following])

    def _newest(self, model, domain):
        records = self.env[model].with_user(self.manager)
        return records.search([("integration_id", "=", self.integration.id), *domain], limit=1)

    @contextmanager
    def _story(self, **params):
        """Undo what happens in the block, and name its parameters if it fails."""
        right = self.right
        with self.subTest(**params), self.env.cr.savepoint() as savepoint:
            try:
                yield
            finally:
                savepoint.rollback()
                self.right = self.host.secret = right
                self.env.invalidate_all()

    def _call(self):
        self.last = self.host.call(tries=3)

    def _call_once(self):
        self.last = self.host.call(tries=1)

    def _job(self):
        self.env["auth.integration.incident"].sudo()._detect()
        self._refresh()

    # Stories

    def test_all_pairs(self):
        """Two things break and are fixed in either order, with a call after each step."""
        for number, pair in enumerate(itertools.permutations((*NAMES, "revoked"), 2)):
            for fixes in itertools.permutations(pair):
                if fixes != ("revoked", "user"):
                    has_job = bool(number % 2) == (fixes == pair)
                    with self._story(pair=pair, fixes=fixes, has_job=has_job):
                        self._tell_pair(pair, fixes, has_job)

    def _tell_pair(self, pair, fixes, has_job):
        self.last = None
        for act, names in ((self._break, pair), (self._fix, fixes)):
            for name in names:
                act(name)
                self._assert_agreement()
                self._call()
                if has_job:
                    self._job()
                self._assert_agreement()
        self.assertIsNone(self.last)

    def test_any_order(self):
        """Things break and are fixed at random; the job and calls come at any time."""
        for seed in range(WALKS):
            steps = []
            with self._story(seed=seed, steps=steps):
                self._walk(Random(seed), steps)

    def _walk(self, random, steps):
        """Do random steps, and add their names to a list."""
        self.last, broken = None, set()
        for _step in range(14):
            acts = [(self._call, ()), (self._call_once, ()), (self._job, ())]
            acts += [(self._break, (name,)) for name in self._breakable(broken)]
            acts += [(self._fix, (name,)) for name in self._fixable(broken)] * 2
            act, names = random.choice(acts)
            act(*names)
            steps.append(f"{act.__name__} {' '.join(names) or self.last}")
            if act == self._break:
                broken.update(names)
            elif act == self._fix:
                # A new key is also entered without a typing error.
                broken.difference_update(names, {"typing"} if {*names} & {*ENDS_OF_KEYS} else ())
            self._assert_agreement()

    def _breakable(self, broken):
        return [
            name for name in (*NAMES, *ENDS_OF_KEYS)
            if name not in broken and not (name in ENDS_OF_KEYS and broken & {*ENDS_OF_KEYS})
        ]

    def _fixable(self, broken):
        return [
            name for name in sorted(broken) if not (name in ENDS_OF_KEYS and "user" in broken)
        ]
