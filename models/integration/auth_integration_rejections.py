from odoo import models
from odoo.tools import SQL

from ...tools.health import findings
from ...tools.health.findings.calls import FAILING_INCIDENTS, LAST_REJECTED
from ...tools.health.findings.keys import ENDED_KEYS_CALLED
from ...tools.incident import conditions
from ...tools.key.key_policy import END_CODES

# The last rejected call of each caller since the incidents were last derived, unless the caller has
# succeeded since. The job reads the last two minutes of the log again: whether a call that an open
# incident has counted is fixed, that incident decides.
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
_LAST_REJECTED = f"""
    SELECT last.attempt_id FROM auth_integration i CROSS JOIN LATERAL ({LAST_REJECTED}) last
    WHERE i.id IN %(ids)s
"""
_INCIDENTS = f"SELECT n.id FROM ({FAILING_INCIDENTS}) n WHERE n.integration_id IN %(ids)s"


def rejected_key(alias):
    """Return the SQL of the key that a finding about calls is about, if it has ended; otherwise 0.

    Together with the integration it identifies an issue about calls.
    """
    return SQL(
        "CASE WHEN %(code)s = 'key_expired_still_used' OR %(cause)s IN %(ended)s"
        " THEN COALESCE(%(key)s, 0) ELSE 0 END",
        code=SQL.identifier(alias, "code"),
        cause=SQL.identifier(alias, "cause"),
        ended=tuple(sorted(END_CODES)),
        key=SQL.identifier(alias, "key_id"),
    )


class AuthIntegration(models.Model):
    """Decide which rejected calls have been fixed since, for each caller separately."""

    _inherit = "auth.integration"

    def _resolutions_of_calls(self):
        """Return what was fixed, for each issue about calls that only waits for the next call.

        :return: the texts by integration id and :func:`rejected_key`
        """
        return self._review_calls()[0]

    def _review_calls(self):
        """Return what was fixed and what is still to be fixed, for each issue about calls.

        :return: the texts, and the latest incidents or else attempts that are still to be fixed,
            both by integration id and :func:`rejected_key`
        """
        fixed, unsolved = {}, {}
        for issue, rejected in (self._rejected_calls() if self.ids else {}).items():
            _integration_id, key_id = issue
            rest = [one for one in rejected if not one.is_solved]
            # Another program on that host has succeeded: the rejected one still has the old key.
            if not rest and not (key_id and rejected[0].has_succeeded_since):
                fixed[issue] = max(rejected, key=lambda one: one._last_rejected_at()).resolution
            elif rest:
                incidents = [one for one in rest if one._name == "auth.integration.incident"]
                unsolved[issue] = max(
                    incidents or rest, key=lambda one: (one._last_rejected_at(), one.id)
                )
        return fixed, unsolved

    def _fixed_issues_sql(self):
        """Return the SQL of a table of the fixed issues of all integrations.

        Its columns are ``integration_id`` and ``key_id`` (:func:`rejected_key`).
        """
        everyone = self.sudo().search([("active", "in", (True, False))], order="id")
        issues = everyone._resolutions_of_calls()
        return SQL(
            "unnest(%s::int[], %s::int[]) AS fixed(integration_id, key_id)",
            [integration_id for integration_id, _key_id in issues],
            [key_id for _integration_id, key_id in issues],
        )

    def _rejected_calls(self):
        """Return incidents and attempts not followed by a success of the same caller, by issue."""
        attempts = self.env["auth.attempt"].sudo()
        incidents = self.env["auth.integration.incident"].sudo().browse(
            self._rejected_ids(_INCIDENTS)
        )
        # The query has found them open: they are not looked up a second time.
        incidents._fields["is_open"]._update_cache(incidents, True)
        ended = attempts.browse(self._rejected_ids(_ENDED_KEYS))
        issues = {(one.integration_id.id, one.key_id.id): [one] for one in ended}
        for one in (*incidents, *attempts.browse(self._rejected_ids(_UNSEEN_REJECTIONS))):
            if one.cause not in END_CODES or not one.key_id:
                issues.setdefault((one.integration_id.id, 0), []).append(one)
        return issues

    def _rejected_ids(self, sql):
        query = SQL(sql, ids=tuple(self.ids))
        return [found for [found] in self.env.execute_query(query)]
