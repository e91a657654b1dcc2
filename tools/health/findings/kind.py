"""What a kind of finding is, and the SQL that several of them share.

The SELECT of a kind finds it now, and gives ``record_id`` (the finding's id is made of it and of
the kind's number), ``integration_id``, ``key_id``, ``user_id`` and ``since``.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...incident import conditions
from ..probe import VERIFY

# The id of a finding: record id * ID_STEP + number of its kind.
ID_STEP = 100
LIVE = "('pending', 'active', 'retiring')"
# The time of the statement: an index can serve a limit that stands still while it runs.
NOW = "(statement_timestamp() AT TIME ZONE 'UTC')"
# Whoever asks at verify what has become of a key knows that something is wrong with it, and calls
# nothing. doctor.py is no exception: any program can borrow its name. The indexes of
# refused calls in auth_attempt.py are of these rows only.
CALLED = f"a.auth_type IS DISTINCT FROM '{VERIFY}'"
# When the passwords of more logins are guessed, that is one finding.
MAX_GUESSED_LOGINS = 10
# Channels that are gone with Odoo 22: their services ``common`` and ``object`` are.
OLD_PROTOCOLS = frozenset({"xmlrpc", "jsonrpc"})
# Of so few operations a list is soon made.
FEW_OPERATIONS = 5


def _lt(text: str) -> str:
    """Mark a literal for the export of terms; see :mod:`causes`."""
    return text


@dataclass(frozen=True)
class Kind:
    """One kind of finding.

    :ivar code: stable name
    :ivar number: stable number below :data:`ID_STEP`, part of the ids that acceptances refer to
    :ivar severity: ``critical`` (something fails or is about to be abused), ``warning`` (it will)
        or ``info``
    :ivar minor: SQL of whether it is only a warning, of a row ``found``: most still works
    :ivar message: what is wrong, with the placeholders ``integration``, ``prefix``, ``login``,
        ``since`` and ``expires`` (of the key)
    :ivar remedy: what to do
    :ivar sql: a SELECT; it finds keys and their ``state`` in ``present_key``
    :ivar key_message: the message where it has a key, if that differs
    :ivar status: the status of an integration with it: ``failing`` or ``expiring``
    :ivar cause: SQL of the cause of refusals that it is about, of a row ``found``
    :ivar folded: SQL of whether it is only a symptom: of a row ``found``, another finding names
        the root cause. That one is shown, with this one as evidence
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


# Root causes, for the integration of a row ``found``.
HAS_NO_KEY = f"""(found.integration_id IS NOT NULL AND NOT EXISTS (
    SELECT FROM present_key k
    WHERE k.integration_id = found.integration_id AND k.state IN {LIVE}))"""
USER_ARCHIVED_WITH_KEY = f"""EXISTS (
    SELECT FROM present_key k JOIN res_users u ON u.id = k.user_id
    WHERE k.user_id = found.user_id AND NOT u.active AND k.state IN {LIVE})"""
USER_ARCHIVED = "EXISTS (SELECT FROM res_users u WHERE u.id = found.user_id AND NOT u.active)"
# Whether an integration never worked: nobody misses what has yet to be set up. A key from before
# the integration was somebody's, who may have used it.
NEVER_CALLED = """NOT EXISTS (
    SELECT FROM auth_integration_key used
    WHERE used.integration_id = {integration} AND (
        used.first_used_at IS NOT NULL OR used.last_used_at IS NOT NULL
        OR used.issued_at < {created} - interval '1 minute'))"""
IS_NEVER_CALLED = NEVER_CALLED.format(integration="i.id", created="i.create_date")
# That is a finding, unless it is still to be set up.
LOST_ITS_KEY = f"""({HAS_NO_KEY} AND EXISTS (
    SELECT FROM auth_integration i
    WHERE i.id = found.integration_id AND NOT {IS_NEVER_CALLED}))"""
# Calls since the incidents were last derived from the log; without that, of the last day.
UNSEEN = f"""COALESCE({conditions.SEEN_TO} - interval '1 minute', {NOW} - interval '1 day')"""


def key_sql(since: str, rest: str) -> str:
    return f"{KEY.format(since=since)} FROM present_key k {rest}"


def integration_sql(since: str, rest: str) -> str:
    return f"{INTEGRATION.format(since=since)} {rest}"
