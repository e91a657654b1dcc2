"""The state of a key and when it ends, in Python and in SQL, tested against each other.

Two dates are set when a key is issued: ``replace_by``, when it should have been replaced, and
``expires_at``, when it stops working.  ``retire_at`` is the end of its overlap, and Odoo's own row
has an end too.  The earliest of the ends applies, in every state, and no job ever moves one of them
later.

The SQL refers to a row ``{k}`` of ``auth_integration_key``, its native row ``native`` and its
policy ``p``; see :data:`JOIN_NATIVE_SQL`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

NOW_SQL = "(clock_timestamp() AT TIME ZONE 'UTC')"
# When the statement began. PostgreSQL can use an index for it, unlike for a time that can change
# from row to row.
STATEMENT_NOW_SQL = "(statement_timestamp() AT TIME ZONE 'UTC')"

_NATIVE_IS_OURS = (
    "native.id = {k}.apikey_id AND native.key = {k}.hash AND native.index = {k}.prefix"
)
# The same for many keys at once. PostgreSQL's planner treats three equal columns as independent,
# expects almost no rows, and then compares every row with every other one. For a CASE, it expects
# half of the rows.
JOIN_NATIVES_SQL = (
    "LEFT JOIN res_users_apikeys native ON native.id = {k}.apikey_id"
    " AND CASE WHEN native.key = {k}.hash AND native.index = {k}.prefix THEN TRUE END"
)
JOIN_NATIVE_SQL = f"LEFT JOIN res_users_apikeys native ON {_NATIVE_IS_OURS}"


def _with_native(expression):
    """Return SQL of an expression over the native row, for queries that do not join it."""
    return f"(SELECT {expression} FROM (VALUES (1)) AS one {JOIN_NATIVE_SQL})"


# The dates of one key ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class KeyEnds:
    """What determines the end and the state of a key; dates are naive UTC or None.

    :ivar has_native: whether Odoo's own row exists
    :ivar native_end: expiration date of that row
    :ivar was_used: used over HTTP, or already in use before it was imported
    :ivar end_kind: how it ended, together with ``ended_at``
    """

    expires_at: datetime | None = None
    retire_at: datetime | None = None
    has_native: bool = True
    native_end: datetime | None = None
    was_used: bool = False
    ended_at: datetime | None = None
    end_kind: str | None = None


def earliest(*dates):
    """Return the earliest date, or None; like ``LEAST`` in PostgreSQL, which skips NULL."""
    return min(filter(None, dates), default=None)


# The end that is written to the native row.
OWN_END_SQL = "LEAST({k}.expires_at, {k}.retire_at)"


def own_end(ends: KeyEnds):
    """Return when a key ends by our dates alone."""
    return earliest(ends.expires_at, ends.retire_at)


JOINED_END_SQL = (
    "COALESCE({k}.ended_at, LEAST({k}.expires_at, {k}.retire_at, native.expiration_date))"
)
END_SQL = "COALESCE({k}.ended_at, " + _with_native(
    "LEAST({k}.expires_at, {k}.retire_at, native.expiration_date)"
) + ")"


def end_of(ends: KeyEnds):
    """Return when a key ended or ends, by all dates."""
    return ends.ended_at or earliest(own_end(ends), ends.native_end)


_STATE_BY_DATES_SQL = f"""CASE
    WHEN {{k}}.retire_at <= {NOW_SQL} THEN 'superseded'
    WHEN LEAST({{k}}.expires_at, native.expiration_date) <= {NOW_SQL} THEN 'expired'
    WHEN native.id IS NULL THEN 'revoked'
    WHEN {{k}}.retire_at IS NOT NULL THEN 'retiring'
    WHEN {{k}}.first_used_at IS NULL AND {{k}}.imported IS NOT TRUE THEN 'pending'
    ELSE 'active'
END"""
# For many keys at once: the native row is joined, so there is no subquery for each key.
JOINED_STATE_SQL = (
    "(CASE WHEN {k}.ended_at IS NOT NULL THEN {k}.end_kind ELSE " + _STATE_BY_DATES_SQL + " END)"
)
STATE_SQL = (
    "(CASE WHEN {k}.ended_at IS NOT NULL THEN {k}.end_kind ELSE "
    + _with_native(_STATE_BY_DATES_SQL)
    + " END)"
)
# Whether the key is live, by plain comparisons of dates: fast for many keys.
LIVE_SQL = f"""({{k}}.ended_at IS NULL
    AND ({{k}}.retire_at IS NULL OR {{k}}.retire_at > {STATEMENT_NOW_SQL})
    AND ({{k}}.expires_at IS NULL OR {{k}}.expires_at > {STATEMENT_NOW_SQL})
    AND EXISTS (
        SELECT FROM res_users_apikeys native WHERE native.id = {{k}}.apikey_id
        AND CASE WHEN native.key = {{k}}.hash AND native.index = {{k}}.prefix
            THEN native.expiration_date IS NULL OR native.expiration_date > {STATEMENT_NOW_SQL}
        END))"""


def state_of(ends: KeyEnds, now: datetime) -> str:
    """Return the state of a key."""
    if ends.ended_at:
        return ends.end_kind
    if ends.retire_at and ends.retire_at <= now:
        return "superseded"
    expiry = earliest(ends.expires_at, ends.native_end)
    if expiry and expiry <= now:
        return "expired"
    if not ends.has_native:
        return "revoked"
    if ends.retire_at:
        return "retiring"
    return "active" if ends.was_used else "pending"


# The two dates of a policy ----------------------------------------------------------------------


class Lifetime(NamedTuple):
    """The days that a policy sets for the life of a key."""

    max_age: int
    extension: int
    overlap: int


class Dates(NamedTuple):
    """The two dates that are set when a key is issued."""

    replace_by: datetime | None
    expires_at: datetime | None


# How many days after ``replace_by`` a key of the policy ``p`` still works.
EXTENSION_DAYS_SQL = "(CASE p.on_deadline WHEN 'extend' THEN p.max_extension_days ELSE 0 END)"


def issued(since: datetime, lifetime: Lifetime) -> Dates:
    """Return the dates of a key for which nobody chose an end."""
    replace_by = since + timedelta(days=lifetime.max_age)
    return Dates(replace_by, replace_by + timedelta(days=lifetime.extension))


# When a key came under its policy.
SINCE_SQL = "COALESCE({k}.managed_since, {k}.issued_at)"


def _limit_sql(days):
    """Return SQL of the end by the current policy, leaving at least one overlap for replacement."""
    by_policy = f"{SINCE_SQL} + make_interval(days => {days})"
    return f"GREATEST({by_policy}, {NOW_SQL} + make_interval(days => p.overlap_days))"


SHORTER_REPLACE_BY_SQL = f"LEAST({{k}}.replace_by, {_limit_sql('p.max_age_days')})"
SHORTER_EXPIRES_AT_SQL = (
    f"LEAST({{k}}.expires_at, {_limit_sql(f'p.max_age_days + {EXTENSION_DAYS_SQL}')})"
)


def shortened(dates: Dates, since: datetime | None, lifetime: Lifetime, now: datetime) -> Dates:
    """Return the dates of a key after a policy was applied to it: never later than before."""
    floor = now + timedelta(days=lifetime.overlap)
    limits = issued(since, lifetime) if since else (floor, floor)
    return Dates(
        *(earliest(date, max(limit, floor)) for date, limit in zip(dates, limits, strict=True))
    )


# Notices ----------------------------------------------------------------------------------------

# The days before ``replace_by`` on which people are notified; negative days are after it. They are
# the notices of the policy ``p`` and, after ``replace_by``, one per overlap until the key ends.
NOTICE_DAYS_SQL = """(
    SELECT notice::integer AS days FROM unnest(string_to_array(p.notice_days, ',')) notice
    UNION ALL
    SELECT generate_series(
        -GREATEST(p.overlap_days, 1),
        {k}.replace_by::date - {k}.expires_at::date,
        -GREATEST(p.overlap_days, 1)
    )
)"""
