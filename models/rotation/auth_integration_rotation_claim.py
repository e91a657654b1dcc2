from odoo import api, fields, models
from odoo.tools import SQL

from ...tools.rotation import rotation_states
from ...tools.row_locks import wait_and_lock
from ..key.auth_integration_key import STATEMENT_NOW
from .auth_integration_rotation import CLAIM_ACTIVITY


class AuthIntegrationRotation(models.Model):
    """Let owners claim a new key, which is created only at that moment."""

    _inherit = "auth.integration.rotation"

    def action_claim(self):
        """Open the dialog in which an owner claims the new key.

        If keys are sent automatically, the owner gets one to install manually, in case the receiver
        is out of order.
        """
        self.ensure_one()
        self.integration_id._check_may_operate()
        if self.is_sent:
            title = self.env._("Install Manually")
        elif self.state == "delivered":
            title = self.env._("Claim Another Key")
        else:
            title = self.env._("Claim New Key")
        return self.env["auth.integration.claim"]._get_records_action(
            name=title,
            target="new",
            context={"default_rotation_id": self.id},
        )

    def _claim(self):
        """Create the new key and give it to the current user; its secret does not exist before.

        Claiming again before the first use, because the first response was lost, creates a sibling,
        and the owners are notified.

        :return: the secret, and the record of the new key
        :raise UserError: the rotation is over, or the database is a copy
        """
        self.ensure_one()
        self.integration_id._check_may_operate()
        rotation = self.sudo()
        again = rotation._lock_for_delivery() == "delivered"
        rotation._check_unused_siblings()
        secret, new_key = rotation._make_new_key()
        rotation.write({"delivered_at": fields.Datetime.now(), "claimed_by": self.env.uid})
        integration = rotation.integration_id
        integration._close_activities_once(
            [CLAIM_ACTIVITY], self.env._("Claimed by %s", self.env.user.name)
        )
        values = {
            "user": self.env.user.name,
            "new": new_key.prefix,
            "old": rotation.old_key_id.prefix,
        }
        if again:
            text = self.env._(
                "%(user)s claimed another API key, %(new)s…, to replace %(old)s… The key claimed"
                " earlier has not been used. If it was not lost, find out who has it, and revoke"
                " the key you do not need.",
                **values,
            )
        else:
            text = self.env._(
                "%(user)s claimed the API key %(new)s…, which replaces %(old)s…", **values
            )
        if again:
            rotation._notify(text, integration.owner_ids)
        else:
            rotation._note_by(self.env.user, text)
        rotation.invalidate_recordset()
        return secret, new_key.with_env(self.env)

    # Asking owners ---------------------------------------------------------------------------

    @api.model
    def _claimable_sql(self, among=None):
        """Return the SQL of the integrations with a rotation that waits for an owner.

        :param among: only these ids
        """
        return SQL(
            """
            SELECT r.integration_id, min(old_key.replace_by) AS replace_by
            %s AND r.delivery IN %s AND (r.postponed_until IS NULL OR r.postponed_until <= %s)
              AND %s
            GROUP BY r.integration_id
            """,
            self._open_sql((rotation_states.DUE,)),
            self.env["auth.integration.delivery"]._codes("_asks_owners"),
            STATEMENT_NOW,
            SQL("r.integration_id IN %s", tuple(among)) if among else SQL("TRUE"),
        )

    @api.model
    def _claim_activities_sql(self):
        return SQL(
            "FROM mail_activity a WHERE a.active AND a.res_model = 'auth.integration'"
            " AND a.activity_type_id = %s",
            self.env.ref(CLAIM_ACTIVITY).id,
        )

    @api.model
    def _missing_activities(self, among=None):
        """Return the integrations that wait for an owner, with each owner not yet asked.

        :param among: only these integration ids
        :return: tuples of integration id, user id and the day by which to replace the key
        """
        self.env.flush_all()
        return self.env.execute_query(
            SQL(
                """
                SELECT due.integration_id, u.id, COALESCE(due.replace_by::date, %(now)s::date)
                FROM (%(due)s) due
                JOIN auth_integration i ON i.id = due.integration_id AND i.active
                JOIN auth_integration_owner_rel o ON o.integration_id = due.integration_id
                JOIN res_users u ON u.id = o.user_id AND u.active
                WHERE NOT EXISTS (
                    SELECT %(asked)s AND a.res_id = due.integration_id AND a.user_id = u.id)
                ORDER BY due.replace_by, due.integration_id, u.id
                """,
                due=self._claimable_sql(among),
                asked=self._claim_activities_sql(),
                now=STATEMENT_NOW,
            )
        )

    def _start_now(self):
        """Start what a user requested, without waiting for the cron job or the rotation window."""
        self.ensure_one()
        wait_and_lock(self)
        self.write(
            {
                "opened_by": self.opened_by or self.env.user,
                "postponed_until": False,
                "next_try_at": False,
            }
        )
        if self.is_sent:
            self._trigger_next_try()
        if requests := self._missing_activities(self.integration_id.ids):
            self._ask_owners(requests, by_mail=True)

    def _ask_owners(self, requests, by_mail=False):
        """Ask owners to claim a key, each by an activity on the integration.

        :param requests: from :meth:`_missing_activities`
        :param by_mail: also send each a separate mail; otherwise the daily digest tells them
        """
        activities = self.env["mail.activity"].with_context(
            mail_activity_quick_update=not by_mail
        )
        integrations = self.env["auth.integration"].browse([r[0] for r in requests])
        # A concurrent request about the same rotations waits here and is then retried.
        rotations = self.search(
            [
                ("integration_id", "in", integrations.ids),
                ("cancelled_at", "=", False),
                ("state", "=", "due"),
            ]
        )
        wait_and_lock(rotations)
        rotations.asked_at = fields.Datetime.now()
        requests = self._missing_activities(integrations.ids)
        names = {integration.id: integration.name for integration in integrations}
        # Translate once for all owners: each translation looks up the language.
        summary = self.env._("Claim the new API key for %s")
        note = self.env._(
            "Open the integration and click Claim New Key. You will only see the key once. Install"
            " it in the external system. The old key keeps working for some days after the new"
            " key is first used."
        )
        activities.create(
            [
                {
                    "activity_type_id": self.env.ref(CLAIM_ACTIVITY).id,
                    "summary": summary % names[integration_id],
                    "note": note,
                    "automated": True,
                    "date_deadline": day,
                    "res_model_id": self.env["ir.model"]._get_id("auth.integration"),
                    "res_id": integration_id,
                    "user_id": user_id,
                }
                for integration_id, user_id, day in requests
            ]
        )

    @api.model
    def _stale_activities(self):
        """Return the ids of claim activities on integrations where nothing waits for an owner."""
        return self._ids_of(
            SQL(
                """
                WITH due AS MATERIALIZED (%s)
                SELECT a.id %s
                  AND NOT EXISTS (SELECT FROM due WHERE due.integration_id = a.res_id)
                """,
                self._claimable_sql(),
                self._claim_activities_sql(),
            )
        )

    def _close_stale(self, activity_ids):
        activities = self.env["mail.activity"].browse(activity_ids).exists()
        wait_and_lock(activities)
        self.env["auth.integration"]._finish_once(
            activities, self.env._("There is nothing left to claim")
        )
