from odoo import api, fields, models, tools
from odoo.tools import SQL

# Stable numbers: the id of a finding is made of its code's number and its record's id.
CODES = {
    "archived_user_live_key": 1,
    "archived_user_still_called": 2,
    "key_expired": 3,
    "key_expired_still_used": 4,
    "key_expiring": 5,
    "no_valid_key": 6,
    "owner_archived": 7,
}
ID_STEP = 100


class AuthIntegrationFinding(models.Model):
    """What is wrong or soon will be: a live view, so nothing has to run for it to be right."""

    _name = "auth.integration.finding"
    _description = "Integration Finding"
    _auto = False
    _order = "severity_rank, since desc, id"
    _rec_name = "message"

    code = fields.Selection("_selection_code", readonly=True)
    severity = fields.Selection(
        [("critical", "Critical"), ("warning", "Warning"), ("info", "Information")], readonly=True
    )
    severity_rank = fields.Integer(readonly=True)
    integration_id = fields.Many2one("auth.integration", readonly=True)
    key_id = fields.Many2one("auth.integration.key", "API key", readonly=True)
    user_id = fields.Many2one("res.users", "User", readonly=True)
    since = fields.Datetime(readonly=True)
    accepted = fields.Boolean(readonly=True)
    message = fields.Text(compute="_compute_texts")
    remedy = fields.Text(compute="_compute_texts")

    @api.model
    def _selection_code(self):
        return [
            ("archived_user_live_key", self.env._("Archived user holds a live key")),
            ("archived_user_still_called", self.env._("Archived user is still called")),
            ("key_expired", self.env._("Key expired")),
            ("key_expired_still_used", self.env._("Expired key still used")),
            ("key_expiring", self.env._("Key about to end")),
            ("no_valid_key", self.env._("No valid key")),
            ("owner_archived", self.env._("Owner archived")),
        ]

    @api.depends("code", "key_id", "user_id", "integration_id", "since")
    def _compute_texts(self):
        for finding in self:
            message, remedy = finding._texts()
            finding.message, finding.remedy = message, remedy

    def _texts(self):
        self.ensure_one()
        record = self.sudo()
        values = {
            "integration": record.integration_id.name or "",
            "prefix": record.key_id.prefix or "",
            "login": record.user_id.login or record.key_id.login or "",
            "since": fields.Datetime.to_string(record.since) or "",
        }
        _ = self.env._
        return {
            "archived_user_live_key": (
                _("%(login)s is archived, yet the key %(prefix)s… has not ended.", **values),
                _("Restore the user, or revoke the key if it is no longer needed.", **values),
            ),
            "archived_user_still_called": (
                _("A system still calls as %(login)s, which is archived.", **values),
                _("Restore the user, or switch the calling system off.", **values),
            ),
            "key_expired": (
                _("The key %(prefix)s… of %(login)s expired on %(since)s UTC.", **values),
                _("Issue a new key and install it in the external system.", **values),
            ),
            "key_expired_still_used": (
                _("A system still calls with the key %(prefix)s…, which has ended.", **values),
                _("Issue a new key and install it in the calling system.", **values),
            ),
            "key_expiring": (
                _("The key %(prefix)s… of %(login)s ends on %(since)s UTC.", **values),
                _("Rotate it now: the old key goes on working meanwhile.", **values),
            ),
            "no_valid_key": (
                _("%(integration)s has no key that works.", **values),
                _("Issue a key.", **values),
            ),
            "owner_archived": (
                _("Every owner of %(integration)s is archived.", **values),
                _("Name an owner who will be told before a key ends.", **values),
            ),
        }[self.code]

    # Fixes -----------------------------------------------------------------------------------

    def action_open(self):
        """Open the record to fix."""
        self.ensure_one()
        record = self.key_id or self.integration_id or self.user_id
        if self.code in ("no_valid_key", "owner_archived"):
            record = self.integration_id
        return {
            "type": "ir.actions.act_window",
            "res_model": record._name,
            "res_id": record.id,
            "view_mode": "form",
            "views": [(False, "form")],
        }

    def action_restore_user(self):
        """Restore the archived user that this finding is about."""
        self.ensure_one()
        if self.integration_id:
            return self.integration_id.action_restore_user()
        return self.user_id.action_restore_archived()

    def action_issue_key(self):
        """Issue a key of the integration that this finding is about."""
        self.ensure_one()
        return self.integration_id.action_issue_key()

    def action_rotate(self):
        """Rotate the key that this finding is about."""
        self.ensure_one()
        return self.key_id.action_rotate()

    # View ------------------------------------------------------------------------------------

    def init(self):
        tools.drop_view_if_exists(self.env.cr, self._table)
        self.env.cr.execute(
            SQL(
                "CREATE VIEW %s AS %s",
                SQL.identifier(self._table),
                SQL(" UNION ALL ").join(getattr(self, f"_select_{code}")() for code in CODES),
            )
        )

    def _select(self, code, severity, record, source, **columns):
        """One branch of the view.

        :param record: SQL of the id that, with the code, makes the finding's id
        :param columns: SQL of ``integration_id``, ``key_id``, ``user_id`` and ``since``
        """
        return SQL(
            """
            SELECT %(record)s * %(step)s + %(number)s AS id, %(code)s AS code,
                   %(severity)s AS severity, %(rank)s AS severity_rank,
                   %(integration)s AS integration_id, %(key)s AS key_id, %(user)s AS user_id,
                   %(since)s AS since, FALSE AS accepted
            %(source)s
            """,
            record=SQL(record),
            step=ID_STEP,
            number=CODES[code],
            code=code,
            severity=severity,
            rank=["critical", "warning", "info"].index(severity),
            integration=SQL(columns.get("integration_id", "NULL::integer")),
            key=SQL(columns.get("key_id", "NULL::integer")),
            user=SQL(columns.get("user_id", "NULL::integer")),
            since=SQL(columns.get("since", "NULL::timestamp")),
            source=source,
        )

    _KEY_COLUMNS = {
        "integration_id": "k.integration_id",
        "key_id": "k.id",
        "user_id": "k.user_id",
    }

    def _key_state(self):
        return self.env["auth.integration.key"]._state_sql("k")

    def _select_archived_user_live_key(self):
        return self._select(
            "archived_user_live_key",
            "critical",
            "k.id",
            SQL(
                "FROM auth_integration_key k JOIN res_users u ON u.id = k.user_id"
                " WHERE NOT u.active AND %s IN ('pending', 'active', 'retiring')",
                self._key_state(),
            ),
            **self._KEY_COLUMNS,
            since="u.write_date",
        )

    def _select_archived_user_still_called(self):
        return self._select(
            "archived_user_still_called",
            "critical",
            "u.id",
            SQL(
                """
                FROM res_users u
                JOIN LATERAL (
                    SELECT max(a.last_seen) AS last_seen FROM auth_attempt a
                    WHERE a.user_id = u.id AND a.cause = 'user_archived'
                      AND a.last_seen > now() AT TIME ZONE 'UTC' - interval '7 days'
                ) called ON called.last_seen IS NOT NULL
                LEFT JOIN auth_integration i ON i.user_id = u.id
                WHERE NOT u.active
                """
            ),
            integration_id="i.id",
            user_id="u.id",
            since="called.last_seen",
        )

    def _select_key_expired(self):
        return self._select(
            "key_expired",
            "warning",
            "k.id",
            SQL(
                """
                FROM auth_integration_key k
                JOIN auth_integration i ON i.id = k.integration_id AND i.active
                WHERE %s = 'expired' AND k.replaced_by_id IS NULL
                  AND NOT EXISTS (
                      SELECT FROM auth_integration_key newer
                      WHERE newer.integration_id = k.integration_id
                        AND newer.issued_at > k.issued_at
                  )
                """,
                self._key_state(),
            ),
            **self._KEY_COLUMNS,
            since="k.expires_at",
        )

    def _select_key_expired_still_used(self):
        return self._select(
            "key_expired_still_used",
            "critical",
            "k.id",
            SQL(
                """
                FROM auth_integration_key k
                JOIN LATERAL (
                    SELECT max(a.last_seen) AS last_seen FROM auth_attempt a
                    WHERE a.key_id = k.id AND a.outcome = 'failure'
                      AND a.cause IN ('key_expired', 'key_superseded', 'key_revoked')
                      AND a.last_seen > now() AT TIME ZONE 'UTC' - interval '7 days'
                ) used ON used.last_seen IS NOT NULL
                """
            ),
            **self._KEY_COLUMNS,
            since="used.last_seen",
        )

    def _select_key_expiring(self):
        return self._select(
            "key_expiring",
            "warning",
            "k.id",
            SQL(
                """
                FROM auth_integration_key k
                JOIN auth_integration i ON i.id = k.integration_id AND i.active
                JOIN auth_integration_policy p ON p.id = i.policy_id
                WHERE %s IN ('pending', 'active') AND k.expires_at
                    <= clock_timestamp() AT TIME ZONE 'UTC'
                       + make_interval(days => p.rotation_lead_days)
                """,
                self._key_state(),
            ),
            **self._KEY_COLUMNS,
            since="k.expires_at",
        )

    def _select_no_valid_key(self):
        return self._select(
            "no_valid_key",
            "critical",
            "i.id",
            SQL(
                """
                FROM auth_integration i
                WHERE i.active AND NOT EXISTS (
                    SELECT FROM auth_integration_key k
                    WHERE k.integration_id = i.id AND %s IN ('pending', 'active', 'retiring')
                )
                """,
                self._key_state(),
            ),
            integration_id="i.id",
            user_id="i.user_id",
            since="i.create_date",
        )

    def _select_owner_archived(self):
        return self._select(
            "owner_archived",
            "warning",
            "i.id",
            SQL(
                """
                FROM auth_integration i
                WHERE i.active AND NOT EXISTS (
                    SELECT FROM auth_integration_owner_rel r
                    JOIN res_users u ON u.id = r.user_id AND u.active
                    WHERE r.integration_id = i.id
                )
                """
            ),
            integration_id="i.id",
            user_id="i.user_id",
            since="i.write_date",
        )
