from datetime import timedelta

from odoo import api, fields, models
from odoo.tools import SQL

from ...tools.attempt import flood_limits
from ...tools.attempt.redaction import clean, describe_unknown_login, is_short_number, is_storable
from ...tools.health import probe
from .auth_attempt_recorder import ROWS_OF_BUDGET

NEAREST_LOGIN_CANDIDATES = 5000
# By name: a column of the query of :meth:`AuthAttempt._lookup_context`, then its parameters.
_OF_USER = {
    "user_id": ("who.id",),
    "login": ("who.login",),
    "active": ("who.active",),
    "by_user": ("SELECT id FROM auth_integration WHERE user_id = who.id",),
}
_BY_KEY = "SELECT integration_id FROM auth_integration_key WHERE id = %s"
# Up to two integrations that recently succeeded from an address.
_BY_ADDRESS = """
    SELECT array_agg(integration_id) FROM (
        SELECT DISTINCT k.integration_id
        FROM auth_integration_key_address a
        JOIN auth_integration_key k ON k.id = a.key_id
        WHERE a.address = %s AND a.last_seen > %s
        LIMIT 2
    ) lately
"""


class AuthAttempt(models.Model):
    """Look up what a refused attempt is about, and decide which values the log keeps."""

    _inherit = "auth.attempt"

    @api.model
    def _enrich(self, attempt, now):
        """Complete an attempt in one query with what the hooks did not find out.

        That is whose login it is, why it failed, which integration it belongs to, and how many log
        rows were created in this minute.
        """
        who = self._user_query(attempt)
        found = self._lookup_context(attempt, who, now)
        attempt.rows_of_minute = found["rows_of_minute"]
        attempt.rows_of_source = found["rows_of_source"]
        asked_of, integration_id = attempt.integration_user or (None, None)
        if who:
            self._note_user(attempt, found)
            integration_id = found["by_user"]
        elif asked_of != attempt.user_id:
            integration_id = None
        if not attempt.integration_id:
            attempt.integration_id, attempt.attribution = self._attribute(
                attempt, integration_id, found
            )
        attempt.completed = True

    def _user_query(self, attempt):
        """Return the query for the user that an attempt is about, and its parameters.

        None if everything about the user is known already, or if there is no user to look up.
        """
        if attempt.user_id is None and attempt.login is not None:
            return self._user_by_login_query(attempt)
        user_id = attempt.user_id
        if user_id is None and type(attempt.uid) is int and 0 < attempt.uid < 2**31:
            user_id = attempt.uid
        asked_of, _integration_id = attempt.integration_user or (None, None)
        is_known = attempt.known_login and (attempt.integration_id or asked_of == user_id)
        if user_id is None or is_known:
            return None
        return "SELECT id, login, active FROM res_users WHERE id = %s", [user_id]

    def _user_by_login_query(self, attempt):
        login = attempt.login
        if not login:
            attempt.note("login_missing")
        elif not is_storable(login):
            attempt.note("malformed_request")
        else:
            users = self.env["res.users"].with_context(active_test=False)
            query = users._search(
                users._get_login_domain(login),
                order=f"active DESC, {users._get_login_order()}",
                limit=1,
            )
            columns = (SQL.identifier(query.table, name) for name in ("id", "login", "active"))
            found = query.select(*columns)
            return found.code, found.params
        return None

    def _lookup_context(self, attempt, who, now):
        """Read everything that a refused attempt needs from the database.

        :param who: the result of :meth:`_user_query`
        :rtype: dict
        """
        minute = now.replace(second=0)
        source = flood_limits.source(attempt.remote_addr)
        wanted = {
            "rows_of_minute": (ROWS_OF_BUDGET, "", minute),
            "rows_of_source": (ROWS_OF_BUDGET, source, minute),
        }
        if who:
            wanted |= _OF_USER
        if attempt.key_id and not attempt.integration_id:
            wanted["by_key"] = _BY_KEY, attempt.key_id
        if attempt.similar_key_id and attempt.cause == "key_unknown":
            wanted["by_similar_key"] = _BY_KEY, attempt.similar_key_id
        # Skip an address that may be only that of a proxy.
        if attempt.remote_addr and attempt.address_trusted and not attempt.known_login:
            wanted["by_address"] = _BY_ADDRESS, attempt.remote_addr, now - timedelta(days=30)
        columns = ", ".join([f"({column})" for column, *_params in wanted.values()])
        params = [param for _column, *params in wanted.values() for param in params]
        query = f"SELECT {columns}"
        if who:
            query += f" FROM (VALUES (1)) one LEFT JOIN ({who[0]}) who ON TRUE"
            params += who[1]
        [row] = self._query_first(query, params)
        return dict(zip(wanted, row, strict=True))

    @staticmethod
    def _note_user(attempt, found):
        if not found["login"]:
            attempt.user_id = None
            # An internal error must not be shown as a wrong login.
            if attempt.login is not None and "internal_error" not in attempt.codes:
                attempt.note("user_unknown")
            return
        if attempt.user_id is None and attempt.login is not None and not found["active"]:
            attempt.note("user_archived")
        attempt.user_id = found["user_id"]
        attempt.known_login = attempt.known_login or clean(found["login"], 256)

    @staticmethod
    def _attribute(attempt, of_user, found):
        """Return the integration that a refused attempt belongs to, and how it was identified.

        A mistyped key belongs to the integration of the key that it starts like. An address
        identifies an integration only if no other one has recently succeeded from there.

        :param of_user: the id of the integration of the attempt's user
        :param found: the result of :meth:`_lookup_context`
        """
        if attempt.user_id and of_user:
            return of_user, "login"
        if found.get("by_key"):
            return found["by_key"], "key"
        # A diagnostic request of doctor.py is not a call of any integration.
        if attempt.user_id or probe.is_question(attempt.user_agent, attempt.cause):
            return None, None
        if found.get("by_similar_key"):
            return found["by_similar_key"], "key"
        by_address = found.get("by_address") or ()
        if len(by_address) != 1 or not by_address[0]:
            return None, None
        return by_address[0], "address"

    def _login_of(self, user_id):
        rows = self._query(SQL("SELECT login FROM res_users WHERE id = %s", user_id))
        return clean(rows[0][0], 256) if rows else None

    # What is kept ----------------------------------------------------------------------------

    @api.model
    def _failure_values(self, attempt, search_nearest=True):
        return {
            "outcome": "failure",
            "cause": attempt.cause,
            "channel": attempt.channel,
            "auth_type": attempt.auth_type,
            "login": clean(attempt.known_login, 256)
            or self._describe_login(attempt, search_nearest),
            "user_id": attempt.user_id,
            "integration_id": attempt.integration_id,
            "attribution": attempt.attribution,
            "key_id": attempt.key_id,
            "remote_addr": attempt.remote_addr,
            "user_agent": attempt.described_agent,
            "database": attempt.database,
            "reference": attempt.reference,
            "operation": attempt.operation,
            # With any other cause it may be a password that starts like a key: keep nothing of it.
            "similar_key_id": attempt.similar_key_id if attempt.cause == "key_unknown" else None,
        }

    def _describe_login(self, attempt, search_nearest=True):
        """Describe a login or user id that does not exist; an unknown login is never stored.

        :param search_nearest: whether there is time to search for the most similar login
        """
        if attempt.user_id or attempt.login in (False, ""):
            return None
        if attempt.login is None:
            return f"unknown user id {attempt.uid}" if is_short_number(attempt.uid) else None
        key = self._correlation_key()
        described = describe_unknown_login(attempt.login, (), key)
        if not isinstance(attempt.login, str) or "throttled" in attempt.codes:
            return described
        if known := self._described_lately(described):
            return known
        if not search_nearest:
            return described
        return describe_unknown_login(attempt.login, self._nearest_candidates(attempt.login), key)

    def _described_lately(self, described):
        """Return the description that this unknown login already got in this minute, if any.

        The search for the nearest login costs more than everything else, so it must not run each
        time a client repeats the same login. For many different logins, ``search_nearest`` is soon
        off.
        """
        size, _comma, repeats = described.partition(", #")
        rows = self._query(
            SQL(
                "SELECT login FROM auth_attempt WHERE last_seen >= %s AND outcome = 'failure'"
                " AND starts_with(login, %s) AND right(login, %s) = %s LIMIT 1",
                fields.Datetime.now().replace(second=0),
                size,
                len(repeats),
                repeats,
            )
        )
        return rows and rows[0][0]

    def _nearest_candidates(self, login):
        rows = self._query(
            SQL(
                "SELECT login FROM res_users WHERE active AND abs(length(login) - %s) <= 4"
                " ORDER BY id LIMIT %s",
                min(len(login), 1000),
                NEAREST_LOGIN_CANDIDATES,
            )
        )
        return [login for (login,) in rows]

    @api.model
    def _correlation_key(self):
        """Return today's key for the 16-bit hashes of unknown logins; it replaces the last one."""
        today = fields.Date.to_string(fields.Date.today())
        [row] = self._query_first(
            SQL("SELECT value FROM auth_attempt_daily_key WHERE id = 1 AND day = %s", today)
        ) or self._query(
            SQL(
                """
                INSERT INTO auth_attempt_daily_key AS k (id, day, value)
                VALUES (1, %s, gen_random_uuid()::text)
                ON CONFLICT (id) DO UPDATE
                SET value = CASE WHEN k.day = EXCLUDED.day THEN k.value ELSE EXCLUDED.value END,
                    day = EXCLUDED.day
                RETURNING value
                """,
                today,
            )
        )
        return row[0].encode()
