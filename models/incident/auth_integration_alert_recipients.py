from datetime import timedelta

from odoo import api, fields, models

from ...tools import settings
from ...tools.incident import kinds, notice_sql, quiet_hours

MANAGER = "auth_integration.auth_integration_group_manager"
QUIET_PARAMETER = "auth_integration.alert_quiet_hours"
QUIET_DEFAULT = "20-7"

_OWNERS = """
    SELECT r.integration_id, u.id AS user_id, COALESCE(p.email, '') LIKE '%%_@_%%' AS reachable
    FROM auth_integration_owner_rel r
    JOIN res_users u ON u.id = r.user_id AND u.active
    JOIN res_partner p ON p.id = u.partner_id
"""
_OPEN_INCIDENTS = f"""
    SELECT n.id, n.kind, n.integration_id, n.alert_round, n.opened_at
    FROM auth_integration_incident n
    LEFT JOIN auth_integration i ON i.id = n.integration_id
    WHERE n.state = 'open' AND n.kind = ANY(%(kinds)s) AND {notice_sql.ALERTS_ON}
"""
_OWNERS_TO_NOTIFY = """
    SELECT news.id, 'opened' AS event, owner.user_id, news.alert_round
    FROM news JOIN owner USING (integration_id)
    WHERE news.kind = ANY(%(of_owners)s)
"""
_MANAGERS_TO_NOTIFY = """
    SELECT news.id, 'opened', m.id, news.alert_round
    FROM news CROSS JOIN unnest(%(managers)s) m(id)
    WHERE news.kind = ANY(%(of_managers)s) OR news.opened_at <= %(escalate)s
       OR NOT EXISTS (
           SELECT FROM owner
           WHERE owner.integration_id = news.integration_id AND owner.reachable)
"""
_RECIPIENTS_OF_RECOVERY = f"""
    SELECT n.id, 'recovered', u.id, n.alert_round
    FROM auth_integration_incident n
    JOIN auth_integration_alert_line l ON {notice_sql.is_reported("n", "'opened'")}
    JOIN auth_integration_alert first ON first.id = l.alert_id
    JOIN res_users u ON u.id = first.user_id AND u.active
    WHERE {notice_sql.RECOVERED_LATELY}
"""
_PENDING_NOTICES = f"""
    WITH owner AS ({_OWNERS}), news AS ({_OPEN_INCIDENTS}), notice AS (
        {_OWNERS_TO_NOTIFY} UNION {_MANAGERS_TO_NOTIFY} UNION {_RECIPIENTS_OF_RECOVERY}
    )
    SELECT notice.id, notice.event, notice.user_id FROM notice
    WHERE NOT EXISTS (
        SELECT FROM auth_integration_alert_line l
        WHERE {notice_sql.is_reported("notice", "notice.event")}
          AND l.recipient = 'user:' || notice.user_id)
    ORDER BY notice.user_id, notice.id
"""


class AuthIntegrationAlert(models.Model):
    """Determine which users are still to be notified of which incidents."""

    _inherit = "auth.integration.alert"

    @api.model
    def _news_by_user(self):
        """Return what each user is to be notified of now.

        :return: by user, a list of pairs of an incident and its event, ``opened`` or ``recovered``
        :rtype: dict
        """
        self.env.flush_all()
        self._begin_new_rounds()
        quiet = self._quiet_hours()
        now = fields.Datetime.now()
        found = {}
        for incident, event, user in self._pending_notices():
            if not self._is_urgent(incident) and quiet_hours.ends_at(now, user.tz, quiet):
                continue
            found.setdefault(user, []).append((incident, event))
        return found

    @api.model
    def _begin_new_rounds(self):
        """Start a new alert round for incidents that are still open an hour after being reopened.

        This is needed where the recovery was reported: people believe that the integration works.
        """
        self.env["auth.integration.incident"]._run_sql(
            f"""
            UPDATE auth_integration_incident n SET alert_round = n.alert_round + 1
            WHERE n.state = 'open' AND n.reopened_at <= %(hour_ago)s
              AND EXISTS (
                  SELECT FROM auth_integration_alert_line l
                  WHERE {notice_sql.is_reported("n", "'recovered'")})
            """,
            hour_ago=fields.Datetime.now() - timedelta(hours=1),
        )
        self.env["auth.integration.incident"].invalidate_model()

    @api.model
    def _pending_notices(self):
        """Return triples of incident, event and user for the notices that have no line yet.

        By default owners are notified. Administrators are notified if the rule of the incident's
        kind says so, if it has been open for long, or if it has no owner who can be reached. A
        recovery is reported to those to whom the failure was reported.
        """
        rules = self.env["auth.integration.alert.rule"]._by_kind()
        now = fields.Datetime.now()
        managers = self.env.ref(MANAGER).sudo().all_user_ids.filtered("active")
        rows = self.env["auth.integration.incident"]._run_sql(
            _PENDING_NOTICES,
            now=now,
            kinds=list(rules),
            of_owners=[kind for kind, who in rules.items() if who in ("owners", "both")],
            of_managers=[kind for kind, who in rules.items() if who in ("managers", "both")],
            managers=managers.ids,
            escalate=now - timedelta(hours=settings.number(self.env, "escalation_hours")),
            news_since=now - notice_sql.NEWS_PERIOD,
        )
        incidents = self.env["auth.integration.incident"].browse({row[0] for row in rows})
        by_id = {incident.id: incident for incident in incidents}
        users = self.env["res.users"].browse({row[2] for row in rows})
        user_by_id = {user.id: user for user in users}
        return [(by_id[id_], event, user_by_id[user_id]) for id_, event, user_id in rows]

    @api.model
    def _quiet_hours(self):
        """Return the hours in which only urgent alerts are sent; None if the setting is invalid."""
        text = self.env["ir.config_parameter"].sudo().get_param(QUIET_PARAMETER, QUIET_DEFAULT)
        try:
            return quiet_hours.parse("" if text == "off" else text)
        except ValueError:
            return None

    @api.model
    def _is_urgent(self, incident):
        """Return whether an incident is reported during quiet hours too.

        Only urgent kinds are, in production or where there is no environment.
        """
        if incident.environment not in (False, "production"):
            return False
        return kinds.KINDS[incident.kind].urgent
