from datetime import timedelta

from odoo import api, fields, models
from odoo.tools import SQL

from ...tools.incident.own_mail import OWN_MAIL
from ...tools.key import key_state
from ...tools.moment import moment_text
from ..key.auth_integration_key import STATEMENT_NOW

KEPT_DAYS = 400
# Keys that one mail describes; the others are behind its link.
MAX_SHOWN = 50
GC_BATCH = 20  # each may have thousands of lines


class AuthIntegrationDigest(models.Model):
    """A digest that notified one user on one day of keys that need to be replaced.

    Its rows prevent duplicates: each user gets one digest per day, and each notice of a key once.
    The mail is queued in the transaction that writes the rows, so that neither exists without the
    other.
    """

    _name = "auth.integration.digest"
    _description = "Daily Notice of API Keys to Replace"
    _inherit = ["auth.integration.defaults.mixin"]
    _order = "day desc, id desc"
    _rec_name = "day"
    _allow_sudo_commands = False

    user_id = fields.Many2one("res.users", required=True, readonly=True, ondelete="cascade")
    day = fields.Date(required=True, readonly=True, help="UTC.")
    notice_ids = fields.One2many("auth.integration.digest.line", "digest_id", "Keys", readonly=True)
    line_ids = fields.Many2many(
        "auth.integration.digest.line",
        compute="_compute_line_ids",
        help="The most urgent keys. The email describes them.",
    )
    more_count = fields.Integer(compute="_compute_line_ids", help="Number of other keys.")
    keys_url = fields.Char(compute="_compute_keys_url")

    _user_day_uniq = models.UniqueIndex("(user_id, day)", "Each user gets only one digest per day.")

    @api.depends("notice_ids")
    def _compute_line_ids(self):
        lines = self.env["auth.integration.digest.line"]
        for digest in self:
            ours = [("digest_id", "=", digest.id)]
            digest.line_ids = lines.search(ours, limit=MAX_SHOWN)
            digest.more_count = lines.search_count(ours) - len(digest.line_ids)

    def _compute_keys_url(self):
        path = self.env["ir.actions.act_window"]._for_xml_id(
            "auth_integration.auth_integration_key_action"
        )["path"]
        for digest in self:
            digest.keys_url = f"{digest.get_base_url()}/odoo/{path}"

    def _moment_text(self, moment):
        """Format a moment for the email, including the time zone."""
        return moment_text(self.env, moment, self.user_id.tz or "UTC")

    @api.model
    def _pending(self, users=None):
        """Return the notices that are due and have not been sent.

        Owners are notified of each key of their integrations. Administrators of integrations are
        notified of all keys past their ``replace_by``, as often as the owners.

        :param users: only notices for these users
        :return: rows of user, key, the date to replace it by, its end, the notice's days (negative:
            after that date), and whether that date has passed
        """
        return self.env.execute_query(
            SQL(
                "%s ORDER BY notice.user_id, notice.replace_by, notice.id",
                self._pending_sql(
                    SQL("notice.user_id, notice.id, notice.replace_by, notice.ends_at, notice.days,"
                        " notice.overdue"),
                    users,
                ),
            )
        )

    @api.model
    def _pending_sql(self, columns, users=None):
        """Return the query of :meth:`_pending` for some columns of ``notice``, unordered."""
        self.env.flush_all()
        managers = self.env.ref("auth_integration.auth_integration_group_manager").sudo()
        return SQL(
            """
            WITH due AS (%(due)s),
            notice AS (
                SELECT o.user_id, due.* FROM due
                JOIN auth_integration_owner_rel o USING (integration_id)
                UNION
                SELECT m.id, due.* FROM due
                JOIN res_users m ON m.id = ANY(%(managers)s) WHERE due.overdue
            )
            SELECT %(columns)s
            FROM notice JOIN res_users u ON u.id = notice.user_id AND u.active
            WHERE NOT EXISTS (
                SELECT FROM auth_integration_digest_line l
                WHERE l.key_id = notice.id AND l.user_id = notice.user_id
                  AND l.replace_by = notice.replace_by AND l.days <= notice.days)
              AND NOT EXISTS (
                SELECT FROM auth_integration_digest today
                WHERE today.user_id = notice.user_id AND today.day = %(now)s::date)
              AND %(users)s
            """,
            columns=columns,
            due=self._due_notices_sql(),
            now=STATEMENT_NOW,
            managers=list(managers.all_user_ids.ids),
            users=SQL("notice.user_id IN %s", tuple(users.ids)) if users else SQL("TRUE"),
        )

    @api.model
    def _due_notices_sql(self):
        """Return the SQL of keys that users must be notified of, each with its latest notice."""
        keys = self.env["auth.integration.key"]
        policies = self.env["auth.integration.policy"].with_context(active_test=False)
        longest = policies.search([], order="rotation_lead_days desc", limit=1)
        return SQL(
            """
            SELECT k.id, k.replace_by, %(end)s AS ends_at, i.id AS integration_id,
                   min(notice.days) AS days, k.replace_by <= %(now)s AS overdue
            FROM auth_integration_key k
            JOIN auth_integration i ON i.id = k.integration_id AND i.active
            JOIN auth_integration_policy p ON p.id = i.policy_id
            JOIN LATERAL %(notices)s notice
                ON k.replace_by::date - %(now)s::date <= notice.days
            LEFT JOIN auth_integration_key older ON older.id = k.replaces_id
            WHERE k.ended_at IS NULL AND k.retire_at IS NULL AND %(live)s
              AND k.replace_by <= %(now)s + make_interval(days => %(longest_lead)s + 1)
              AND k.replace_by <= %(now)s + make_interval(days => p.rotation_lead_days + 1)
              AND NOT (k.first_used_at IS NULL AND older.id IS NOT NULL
                       AND older.ended_at IS NULL)
              AND NOT EXISTS (
                  SELECT FROM auth_integration_rotation r
                  WHERE r.old_key_id = k.id AND r.cancelled_at IS NULL
                    AND r.postponed_until > %(now)s)
            GROUP BY k.id, i.id
            """,
            now=STATEMENT_NOW,
            longest_lead=longest.rotation_lead_days,
            end=keys._effective_end_sql("k"),
            live=keys._is_live_sql("k"),
            notices=keys._key_sql(key_state.NOTICE_DAYS_SQL),
        )

    @api.model
    def _people_to_notify(self):
        rows = self.env.execute_query(self._pending_sql(SQL("DISTINCT notice.user_id")))
        return sorted(user_id for [user_id] in rows)

    @api.model
    def _send(self, user):
        """Send one user everything that is due, in one mail.

        :raise SerializationFailure: (of psycopg2.errors) another run has just done so
        """
        user.ensure_one()
        rows = self._pending(user)
        if not rows:
            return
        digest = self._begin(user)
        if not digest:
            return
        digest._add_lines(rows)
        template = self.env.ref("auth_integration.mail_template_digest")
        template.with_context(**OWN_MAIL).send_mail(digest.id)

    def _add_lines(self, rows):
        """Record what :meth:`_pending` has found for one user, in one statement."""
        _users, keys, replace_by, ends_at, days, overdue = map(list, zip(*rows, strict=True))
        self.env.cr.execute(
            SQL(
                """
                INSERT INTO auth_integration_digest_line (
                    digest_id, user_id, key_id, replace_by, ends_at, days, extended,
                    create_uid, create_date, write_uid, write_date
                )
                SELECT %(digest)s, %(user)s, line.*, %(uid)s, %(now)s, %(uid)s, %(now)s
                FROM unnest(
                    %(keys)s::integer[], %(replace_by)s::timestamp[], %(ends_at)s::timestamp[],
                    %(days)s::integer[], %(overdue)s::boolean[]
                ) line
                """,
                digest=self.id,
                user=self.user_id.id,
                keys=keys,
                replace_by=replace_by,
                ends_at=ends_at,
                days=days,
                overdue=overdue,
                uid=self.env.uid,
                now=fields.Datetime.now(),
            ),
            log_exceptions=False,  # another run may have just done so
        )
        self.env["auth.integration.digest.line"].invalidate_model()
        self.invalidate_recordset()

    @api.model
    def _begin(self, user):
        """Create and return today's digest for one user; empty if it exists already.

        For two concurrent runs, see :meth:`auth.integration.rotation._open_all`.
        """
        self.env.flush_all()
        self.env.cr.execute(
            SQL(
                """
                INSERT INTO auth_integration_digest
                    (user_id, day, create_uid, create_date, write_uid, write_date)
                VALUES (%(user)s, %(day)s, %(uid)s, %(now)s, %(uid)s, %(now)s)
                ON CONFLICT (user_id, day) DO NOTHING RETURNING id
                """,
                user=user.id,
                day=fields.Date.today(),
                uid=self.env.uid,
                now=fields.Datetime.now(),
            ),
            log_exceptions=False,
        )
        return self.browse(row[0] for row in self.env.cr.fetchall())

    @api.autovacuum
    def _gc_digests(self):
        """Delete digests older than :data:`KEPT_DAYS`."""
        limit = fields.Date.today() - timedelta(days=KEPT_DAYS)
        old = self.search([("day", "<", limit)], limit=GC_BATCH)
        old.unlink()
        return len(old), len(old) == GC_BATCH
