"""The registry of findings: what can be wrong with an integration, a key or the server.

Each kind of finding is a :class:`~.kind.Kind`, defined in the module of what it is about. Their
SELECTs together form the view ``auth_integration_finding``.
"""

from . import calls, integrations, keys, server
from .kind import ID_STEP, MAX_GUESSED_LOGINS, NEVER_CALLED, NOW, OLD_PROTOCOLS, UNSEEN

__all__ = [
    "ABOUT_CALLS",
    "BY_CODE",
    "ID_STEP",
    "KINDS",
    "MAX_GUESSED_LOGINS",
    "NEVER_CALLED",
    "NOW",
    "OLD_PROTOCOLS",
    "SEVERITIES",
    "codes_of",
    "view_sql",
]

# Kinds about rejected calls whose reason can be fixed before the next call.
ABOUT_CALLS = ("failing_now", "call_rejected", "key_expired_still_used")
KINDS = (*integrations.KINDS, *keys.KINDS, *calls.KINDS, *server.KINDS)
BY_CODE = {kind.code: kind for kind in KINDS}
SEVERITIES = ("critical", "warning", "info")


def codes_of(status):
    """Return the codes of the kinds that give an integration a status."""
    return tuple(kind.code for kind in KINDS if kind.status == status)


def view_sql(state_sql: str, end_sql: str, native_sql: str) -> str:
    """Return the view's SELECT: all kinds, with their acceptances.

    The keys are not materialized once for all kinds, so that a query for one kind or one
    integration need not read all keys.

    :param state_sql: SQL of the state of the key with the alias ``k``
    :param end_sql: SQL of its end
    :param native_sql: the join that both need, of the native row as ``native``
    """
    kinds = " UNION ALL ".join(
        f"""
        SELECT found.record_id * {ID_STEP} + {kind.number} AS id, '{kind.code}'::varchar AS code,
               ({kind.severity_sql()})::varchar AS severity, array_position(
                   ARRAY{list(SEVERITIES)}, {kind.severity_sql()}) - 1 AS severity_rank,
               found.integration_id, found.key_id, found.user_id,
               found.since::timestamp AS since, ({kind.cause})::varchar AS cause,
               ({kind.folded})::boolean AS folded,
               EXISTS (
                   SELECT FROM auth_integration_finding_acceptance accepted
                   WHERE accepted.finding_id = found.record_id * {ID_STEP} + {kind.number}
                     AND (accepted.until IS NULL OR accepted.until > {NOW})
               ) AS accepted
        FROM ({kind.sql}) found
        """
        for kind in KINDS
    )
    return f"""
        WITH present_key AS NOT MATERIALIZED (
            SELECT k.id, k.integration_id, k.user_id, k.scope, k.use_count, k.issued_at,
                   k.replace_by, k.outlived_end, k.last_used_at, k.access, k.operations_since,
                   k.last_write_at, k.operation_count, k.access_narrowed_at, {end_sql} AS ends_at,
                   {state_sql} AS state
            FROM auth_integration_key k {native_sql}
            WHERE k.ended_at IS NULL OR k.end_kind = 'expired'
        )
        {kinds}
    """
