from odoo import models
from odoo.tools import SQL

from ...tools.health import findings
from ...tools.health.findings.calls import FAILING_INCIDENTS
from ...tools.health.findings.keys import ENDED_KEYS_CALLED
from ...tools.incident import conditions
from ...tools.key.key_policy import END_CODES


def rejected_key_sql(alias):
    """The issue that a finding about calls is of: of one ended key, or 0 for all other calls."""
    return SQL(
        "CASE WHEN %(f)s.code = 'key_expired_still_used' OR %(f)s.cause IN %(ended)s"
        " THEN COALESCE(%(f)s.key_id, 0) ELSE 0 END",
        f=SQL.identifier(alias),
        ended=tuple(sorted(END_CODES)),
    )


REJECTED_KEY = rejected_key_sql("f")
# The last call of each caller since the incidents were last derived, unless it succeeded since. The
# job looks back a little: what an open incident has counted, that incident decides.
_UNSEEN_REJECTIONS = f"""
    SELECT series.attempt_id FROM (
        SELECT {conditions.SERIES}, max(a.last_seen) AS last_seen,
               (array_agg(a.id ORDER BY a.last_seen DESC, a.id DESC))[1] AS attempt_id
        FROM auth_attempt a
        WHERE a.last_seen >= {findings.UNSEEN} AND a.integration_id IN %(ids)s
          AND {conditions.COUNTS}
        GROUP BY 1, 2, 3, 4, 5, 6
    ) series
    WHERE COALESCE({conditions.last_success("series", findings.NOW)} < series.last_seen, TRUE)
      AND NOT EXISTS (
        SELECT FROM auth_integration_incident n
        WHERE n.state = 'open' AND n.kind = 'failing' AND n.source = series.source
          AND n.last_failure_at >= series.last_seen
          AND (series.host IS NULL OR n.remote_addr = series.host)
          AND (series.protocol IS NULL OR n.channel = series.protocol))
"""
_ENDED_KEYS = f"""
    SELECT used.attempt_id FROM ({ENDED_KEYS_CALLED}) used
    JOIN auth_integration_key k ON k.id = used.key_id WHERE k.integration_id IN %(ids)s
"""
_INCIDENTS = f"SELECT n.id FROM ({FAILING_INCIDENTS}) n WHERE n.integration_id IN %(ids)s"


class AuthIntegration(models.Model):
    """Which rejected calls have had their reason fixed since: of the same caller, no other."""

    _inherit = "auth.integration"

    def _resolutions_of_calls(self):
        """Say what was fixed, for each issue about calls that only waits for the next one.

        :return: the texts by id of the integration and :data:`REJECTED_KEY`
        """
        if not self.ids:
            return {}
        return {
            (integration_id, key_id): rejected[0].resolution
            for (integration_id, key_id), rejected in self._rejected_calls().items()
            if all(one.is_solved for one in rejected)
            # Another program of that host has succeeded: this one still has the old key.
            and not (key_id and rejected[0].has_succeeded_since)
        }

    def _rejected_calls(self):
        """Incidents and attempts that no success of the same caller has followed, by issue."""
        attempts = self.env["auth.attempt"].sudo()
        incidents = self.env["auth.integration.incident"].sudo()
        ended = attempts.browse(self._rejected_ids(_ENDED_KEYS))
        issues = {(one.integration_id.id, one.key_id.id): [one] for one in ended}
        for one in (
            *incidents.browse(self._rejected_ids(_INCIDENTS)),
            *attempts.browse(self._rejected_ids(_UNSEEN_REJECTIONS)),
        ):
            if one.cause not in END_CODES or not one.key_id:
                issues.setdefault((one.integration_id.id, 0), []).append(one)
        return issues

    def _rejected_ids(self, sql):
        query = SQL(sql, ids=tuple(self.ids))
        return [found for [found] in self.env.execute_query(query)]
