from contextlib import contextmanager
from datetime import timedelta
from unittest.mock import patch

from odoo import fields

from ..common import IntegrationCommon

RUN_LOGGER = "odoo.addons.auth_integration.models.rotation.auth_integration_rotation_schedule"
CLAIM_ACTIVITY = "auth_integration.mail_activity_type_claim"

# Dates of a key that are moved together to let days pass.
DATES = (
    "issued_at", "replace_by", "expires_at", "retire_at", "first_used_at", "last_used_at",
)


class RotationCommon(IntegrationCommon):
    """A key in use, and methods to let days pass and to run the schedule."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.rotations = cls.env["auth.integration.rotation"]
        cls.keys = cls.env["auth.integration.key"]
        cls.cron = cls.env.ref("auth_integration.ir_cron_rotation")
        cls.policy = cls.integration.policy_id
        cls.secret, cls.key = cls._issue(cls.integration)
        cls.now = fields.Datetime.now()
        cls.owner.email = "olivia@example.com"
        cls.manager.email = "mona@example.com"

    def setUp(self):
        super().setUp()
        self._use(self.key)

    def _use(self, key, address="192.0.2.7"):
        """Record a successful use over HTTP."""
        from ...tools.key.usage_writer import SuccessfulUse

        use = SuccessfulUse(
            dbname=self.env.cr.dbname, channel="json2", auth_type=None, login=key.login,
            user_id=key.user_id.id, integration_id=key.integration_id.id, attribution="key",
            key_id=key.id, remote_addr=address, user_agent="probe",
        )
        now = fields.Datetime.now()
        self.env.flush_all()
        self.keys._record_use(use, 1, now, now)
        self.env.invalidate_all()

    def _set_end(self, key, days):
        """Move a key's dates so that it works for this many more days, also natively."""
        key.invalidate_recordset()
        left = key.expires_at - fields.Datetime.now()
        self._pass_days(key, left.total_seconds() / 86400 - days)

    def _set_due_in(self, key, days):
        """Move a key's dates so that it should be replaced in this many days."""
        key.invalidate_recordset()
        left = key.replace_by - fields.Datetime.now()
        self._pass_days(key, left.total_seconds() / 86400 - days)

    def _pass_days(self, key, days):
        """Let days pass for one key by moving all of its dates back."""
        key.invalidate_recordset()
        self._move(
            key, **{date: key[date] - timedelta(days=days) for date in DATES if key[date]}
        )
        self.env.cr.execute(
            "UPDATE res_users_apikeys n SET expiration_date = LEAST(k.expires_at, k.retire_at)"
            " FROM auth_integration_key k WHERE k.id = %s AND n.id = k.apikey_id", (key.id,)
        )

    def _run(self):
        """Run the scheduled job as the server would."""
        with self.enter_registry_test_mode():
            self.cron.method_direct_trigger()

    def _rotation(self, key=None):
        return self.rotations.search([("old_key_id", "=", (key or self.key).id)])

    def _due(self, key=None, days=20):
        """Make a key due and let the schedule open its rotation."""
        self._set_due_in(key or self.key, days)
        self._run()
        return self._rotation(key)

    def _claim(self, rotation=None, user=None):
        rotation = rotation or self._rotation()
        secret, key = rotation.with_user(user or self.owner)._claim()
        return secret, key.with_env(self.env)

    def _activities(self, integration=None):
        return (integration or self.integration).activity_ids.filtered(
            lambda a: a.activity_type_id == self.env.ref(CLAIM_ACTIVITY)
        )

    def _mails(self, user=None):
        """Return queued digest mails, for one user or all."""
        mails = self.env["mail.mail"].search([("model", "=", "auth.integration.digest")])
        return mails.filtered(lambda m: user.partner_id in m.recipient_ids) if user else mails

    @contextmanager
    def _failing(self, name, record_id):
        """Make one step of the run fail for one record."""
        original = getattr(type(self.rotations), name)

        def act(self, items):
            if record_id in items:
                raise ZeroDivisionError("planted")
            return original(self, items)

        with patch.object(type(self.rotations), name, act):
            yield
