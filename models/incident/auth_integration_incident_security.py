from odoo import api, fields, models

from .auth_integration_incident_detection import NOW

# An event that nobody has dismissed is closed after this period.
KEPT_OPEN = "interval '14 days'"
_COLUMNS = """
    kind, cause, state, source, integration_id, key_id, user_id, remote_addr, channel, reference,
    opened_at, last_failure_at, failure_count, settled_count, alert_round,
    create_uid, create_date, write_uid, write_date
"""


def _event_sql(kind, found):
    """Return an INSERT for one kind of event; ``source`` identifies it, so none is added twice.

    :param found: a SELECT of ``source``, ``integration_id``, ``key_id``, ``user_id``,
        ``remote_addr``, ``channel``, ``reference``, ``at`` and ``count``
    """
    return f"""
        INSERT INTO auth_integration_incident ({_COLUMNS})
        SELECT '{kind}', '{kind}', 'open', '{kind}:' || e.source, e.integration_id, e.key_id,
               (SELECT u.id FROM res_users u WHERE u.id = e.user_id), e.remote_addr, e.channel,
               e.reference, e.at, e.at, e.count, 0, 0, 1, {NOW}, 1, {NOW}
        FROM ({found}) e
        WHERE NOT EXISTS (
            SELECT FROM auth_integration_incident known WHERE known.source = '{kind}:' || e.source)
        ON CONFLICT (source) WHERE state = 'open' DO NOTHING
    """


_SINCE = "%(since)s::timestamp"
# Selects uses of an integration's keys from an address: if any, the address is known.
_KNOWN = """
    SELECT FROM auth_integration_key_address known
    JOIN auth_integration_key known_key ON known_key.id = known.key_id
    WHERE known_key.integration_id = {integration} AND known.address = {address}
"""
_EVENTS = {
    # At most one per key and day, from however many addresses.
    "key_reused": f"""
        SELECT k.id || ':' || max(a.last_seen)::date AS source,
               k.integration_id, k.id AS key_id, k.user_id,
               (array_agg(a.remote_addr ORDER BY a.last_seen DESC))[1] AS remote_addr,
               min(a.channel) AS channel, min(a.reference) AS reference,
               min(a.first_seen) AS at, sum(a.count)::bigint AS count
        FROM auth_attempt a JOIN auth_integration_key k ON k.id = a.key_id
        WHERE a.outcome = 'failure' AND a.first_seen >= {_SINCE}
          AND a.cause = 'key_superseded' AND a.auth_type IS DISTINCT FROM 'verify'
          AND k.integration_id IS NOT NULL AND a.remote_addr IS NOT NULL
          AND NOT EXISTS ({_KNOWN.format(integration="k.integration_id", address="a.remote_addr")})
        GROUP BY k.id
    """,
    # One per key and day: changing hosts are reported by the finding ``key_many_addresses``. An
    # address that is allowed by name is not new; an allowed network says nothing about its hosts.
    "new_address": rf"""
        SELECT k.id || ':' || min(a.first_seen)::date AS source, k.integration_id, k.id AS key_id,
               k.user_id, (array_agg(a.address ORDER BY a.first_seen))[1] AS remote_addr,
               NULL::varchar AS channel, NULL::varchar AS reference, min(a.first_seen) AS at,
               NULL::bigint AS count
        FROM auth_integration_key_address a JOIN auth_integration_key k ON k.id = a.key_id
        JOIN auth_integration i ON i.id = k.integration_id AND i.active
        WHERE a.first_seen >= {_SINCE}
          AND EXISTS (
              SELECT FROM auth_integration_key_address earlier
              JOIN auth_integration_key own ON own.id = earlier.key_id
              WHERE own.integration_id = k.integration_id
                AND earlier.first_seen < a.first_seen - interval '1 day')
          AND NOT EXISTS (
              {_KNOWN.format(integration="k.integration_id", address="a.address")}
                AND known.first_seen < a.first_seen)
          AND NOT EXISTS (
              SELECT FROM regexp_split_to_table(
                  regexp_replace(i.allowed_networks, '#.*$', '', 'gn'), '[\s,]+') AS named(entry)
              WHERE named.entry IN (a.address, a.address
                  || CASE strpos(a.address, ':') WHEN 0 THEN '/32' ELSE '/128' END))
        GROUP BY k.id
    """,
    "dormant_awake": """
        SELECT k.id || ':' || k.last_used_at::date AS source, k.integration_id, k.id AS key_id,
               k.user_id, k.last_used_address AS remote_addr, k.last_used_channel AS channel,
               NULL::varchar AS reference, k.last_used_at AS at, NULL::bigint AS count
        FROM auth_integration_key k
        JOIN auth_integration i ON i.id = k.integration_id AND i.active
        WHERE k.dormant_since IS NOT NULL AND k.last_used_at > k.dormant_since
    """,
    # At most one per user and day.
    "guessing": f"""
        SELECT a.user_id || ':' || max(a.last_seen)::date AS source,
               max(a.integration_id) AS integration_id, NULL::integer AS key_id, a.user_id,
               (array_agg(a.remote_addr ORDER BY a.last_seen DESC))[1] AS remote_addr,
               min(a.channel) AS channel, min(a.reference) AS reference,
               min(a.first_seen) AS at, sum(a.count)::bigint AS count
        FROM auth_attempt a
        WHERE a.outcome = 'failure' AND a.first_seen >= {_SINCE} AND a.cause = 'throttled'
          AND a.user_id IS NOT NULL
        GROUP BY a.user_id
    """,
    "key_leaked": f"""
        SELECT k.id::varchar AS source, k.integration_id, k.id AS key_id, k.user_id,
               k.last_used_address AS remote_addr, NULL::varchar AS channel,
               NULL::varchar AS reference, k.ended_at AS at, NULL::bigint AS count
        FROM auth_integration_key k
        WHERE k.compromised AND k.ended_at >= {_SINCE} AND k.integration_id IS NOT NULL
    """,
}


class AuthIntegrationIncident(models.Model):
    """Detect events that may mean that a credential is in the wrong hands."""

    _inherit = "auth.integration.incident"

    @api.model
    def _detect_security_events(self, since, now):
        for kind, found in _EVENTS.items():
            self._run_sql(_event_sql(kind, found), since=since, now=now)
        self._run_sql(
            f"""
            UPDATE auth_integration_incident SET state = 'dismissed', closed_at = {NOW}
            WHERE state = 'open' AND kind NOT IN ('failing', 'silent')
              AND opened_at < {NOW} - {KEPT_OPEN}
            """,
            now=now,
        )

    @api.model
    def _note_dormant_keys(self):
        """Record which keys are dormant, because their last use no longer tells once used again."""
        now = fields.Datetime.now()
        self._run_sql(
            f"""
            UPDATE auth_integration_key k SET dormant_since = CASE
                WHEN k.last_used_at < {NOW} - make_interval(days => p.dormant_days)
                    AND k.ended_at IS NULL THEN k.last_used_at END
            FROM auth_integration i JOIN auth_integration_policy p ON p.id = i.policy_id
            WHERE i.id = k.integration_id AND k.dormant_since IS DISTINCT FROM CASE
                WHEN k.last_used_at < {NOW} - make_interval(days => p.dormant_days)
                    AND k.ended_at IS NULL THEN k.last_used_at END
              AND (k.dormant_since IS NOT NULL OR k.last_used_at < {NOW} - interval '1 day')
            """,
            now=now,
        )
