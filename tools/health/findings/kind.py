"""The definition of a kind of finding, and SQL that several kinds share.

The SELECT of a kind returns its current findings with ``record_id`` (with the kind's number, it
forms the ID of the finding), ``integration_id``, ``key_id``, ``user_id`` and ``since``.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...incident import conditions
from ..probe import VERIFY

# The id of a finding: record id * ID_STEP + number of its kind.
ID_STEP = 100
LIVE = "('pending', 'active', 'retiring')"
# The time of the statement: it does not change while the statement runs, so an index can be used.
NOW = "(statement_timestamp() AT TIME ZONE 'UTC')"
# Requests to verify are not calls: who asks for the state of a key knows of its problem. doctor.py
# is not treated specially, as any program can use its name. The indexes of calls with ended keys
# and archived users (tools/attempt/log_schema.py) contain only rows that meet this condition.
CALLED = f"a.auth_type IS DISTINCT FROM '{VERIFY}'"
# When the passwords of more logins are guessed, there is one finding for all.
MAX_GUESSED_LOGINS = 10
# Channels that Odoo 22 removes, with their services ``common`` and ``object``.
OLD_PROTOCOLS = frozenset({"xmlrpc", "jsonrpc"})
# A list of at most this many operations is quickly made.
FEW_OPERATIONS = 5


def _lt(text: str) -> str:
    """Mark a literal for the export of terms; see :mod:`causes`."""
    return text


@dataclass(frozen=True)
class Kind:
    """One kind of finding.

    :ivar code: stable name
    :ivar number: stable number below :data:`ID_STEP`, part of the IDs that acceptances refer to
    :ivar severity: ``critical`` (something fails or is about to be abused), ``warning`` (it will)
        or ``info``
    :ivar minor: SQL of whether a row ``found`` is only a warning, because most still works
    :ivar message: what is wrong, with placeholders such as ``integration``, ``prefix``, ``login``,
        ``since`` and ``expires`` (of the key)
    :ivar remedy: what to do
    :ivar sql: a SELECT; it reads keys and their ``state`` from ``present_key``
    :ivar key_message: the message for a finding with a key, if different
    :ivar status: the status of an integration with it: ``failing``, ``rejected`` or ``expiring``
    :ivar cause: SQL of the cause of the rejections that a row ``found`` is about
    :ivar folded: SQL of whether a row ``found`` is only a symptom: another finding names the root
        cause. That one is shown, with this one as evidence
    """

    code: str
    number: int
    severity: str
    title: str
    message: str
    remedy: str
    sql: str
    key_message: str = ""
    status: str = ""
    cause: str = "NULL"
    folded: str = "FALSE"
    minor: str = ""

    def severity_sql(self) -> str:
        if not self.minor:
            return f"'{self.severity}'"
        return f"CASE WHEN {self.minor} THEN 'warning' ELSE '{self.severity}' END"


KEY = "SELECT k.id AS record_id, k.integration_id, k.id AS key_id, k.user_id, {since} AS since"
INTEGRATION = (
    "SELECT i.id AS record_id, i.id AS integration_id, NULL::integer AS key_id, i.user_id,"
    " {since} AS since FROM auth_integration i"
)
SERVER = (
    "SELECT 0 AS record_id, NULL::integer AS integration_id, NULL::integer AS key_id,"
    " NULL::integer AS user_id, NULL::timestamp AS since"
)


# The users with Settings or Access Rights.
ADMINISTRATORS = """(
    WITH RECURSIVE privileged(id) AS (
        SELECT d.res_id FROM ir_model_data d
        WHERE d.module = 'base' AND d.name IN ('group_system', 'group_erp_manager')
        UNION
        SELECT r.gid FROM res_groups_implied_rel r JOIN privileged p ON p.id = r.hid
    )
    SELECT g.uid FROM res_groups_users_rel g JOIN privileged p ON p.id = g.gid)"""
# Root causes, for the integration of a row ``found``.
HAS_NO_KEY = f"""(found.integration_id IS NOT NULL AND NOT EXISTS (
    SELECT FROM present_key k
    WHERE k.integration_id = found.integration_id AND k.state IN {LIVE}))"""
USER_ARCHIVED_WITH_KEY = f"""EXISTS (
    SELECT FROM present_key k JOIN res_users u ON u.id = k.user_id
    WHERE k.user_id = found.user_id AND NOT u.active AND k.state IN {LIVE})"""
USER_ARCHIVED = "EXISTS (SELECT FROM res_users u WHERE u.id = found.user_id AND NOT u.active)"
# Whether an integration has never been called: it may still have to be set up. A key that is older
# than the integration was a personal key, which may have been used.
NEVER_CALLED = """NOT EXISTS (
    SELECT FROM auth_integration_key used
    WHERE used.integration_id = {integration} AND (
        used.first_used_at IS NOT NULL OR used.last_used_at IS NOT NULL
        OR used.issued_at < {created} - interval '1 minute'))"""
IS_NEVER_CALLED = NEVER_CALLED.format(integration="i.id", created="i.create_date")
# No key is a finding, unless the integration still has to be set up.
LOST_ITS_KEY = f"""({HAS_NO_KEY} AND EXISTS (
    SELECT FROM auth_integration i
    WHERE i.id = found.integration_id AND NOT {IS_NEVER_CALLED}))"""
# The time since which the log has not been evaluated for incidents; by default, one day ago.
UNSEEN = f"""COALESCE({conditions.SEEN_TO} - interval '1 minute', {NOW} - interval '1 day')"""


def key_sql(since: str, rest: str) -> str:
    return f"{KEY.format(since=since)} FROM present_key k {rest}"


def integration_sql(since: str, rest: str) -> str:
    return f"{INTEGRATION.format(since=since)} {rest}"
