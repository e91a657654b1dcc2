from datetime import timedelta

from odoo import api, fields, models
from odoo.tools import SQL

from ..tools import agents, probe, settings
from ..tools.distinct_limit import MANY
from ..tools.flood_gauge import flood_gauge
from ..tools.redaction import clean, describe_unknown_login, is_short_number, is_storable

NEAREST_LOGIN_CANDIDATES = 5000
# What a refused attempt may need to know of the database; see ``_surroundings``. Those that say
# which integration calls may have been asked before; see ``auth_attempt_foresight.py``.
SURROUNDINGS = {
    # Failures of this minute, no more than matter.
    "new_rows": """
        SELECT count(*) FROM (
            SELECT FROM auth_attempt
            WHERE outcome = 'failure' AND first_seen >= %(minute)s
            ORDER BY first_seen LIMIT %(most_rows)s
        ) new
    """,
    "login": "SELECT login FROM res_users WHERE id = %(user)s",
    # Ids of the integration, by the way in which it was found; one, or up to two of them.
    "by_login": "SELECT id FROM auth_integration WHERE user_id = %(user)s",
    # Several websites may have a user each of the same login: it is one of them, or is asked again.
    "by_typed_login": """
        SELECT ARRAY[u.id, i.id] FROM res_users u LEFT JOIN auth_integration i ON i.user_id = u.id
        WHERE u.login = %(login)s ORDER BY u.active DESC, u.id LIMIT 1
    """,
    "by_key": "SELECT integration_id FROM auth_integration_key WHERE id = %(key)s",
    "by_address": """
        SELECT array_agg(integration_id) FROM (
            SELECT DISTINCT k.integration_id
            FROM auth_integration_key_address a
            JOIN auth_integration_key k ON k.id = a.key_id
            WHERE a.address = %(address)s AND a.last_seen > %(lately)s
            LIMIT 2
        ) lately
    """,
}


class AuthAttempt(models.Model):
    """What is found out about a refused attempt, and what of it is kept."""

    _inherit = "auth.attempt"

    @api.model
    def _complete(self, attempt, now):
        """Find what the hooks did not: whose login this is, why it failed, which integration.

        :return: as :meth:`_surroundings`
        """
        if attempt.user_id is None and attempt.login is not None:
            self._complete_by_login(attempt)
        if attempt.user_id is None and type(attempt.uid) is int and 0 < attempt.uid < 2**31:
            attempt.user_id = attempt.uid
        user_id, integration_id = attempt.technical_user or (None, None)
        if user_id == attempt.user_id and integration_id and not attempt.integration_id:
            attempt.integration_id, attempt.attribution = integration_id, "login"
        if attempt.user_id and attempt.user_id == attempt.login_of:
            attempt.known_login = attempt.login
        found = self._surroundings(attempt, now)
        if attempt.user_id and not attempt.known_login:
            attempt.known_login = clean(found["login"], 256)
            attempt.user_id = attempt.user_id if attempt.known_login else None
        if not attempt.integration_id:
            attempt.integration_id, attempt.attribution = self._attribute(attempt, found)
        attempt.completed = True
        return found

    def _surroundings(self, attempt, now):
        """All that a refused attempt needs to know of the database, in one query or none.

        :return: by the names of ``SURROUNDINGS``, those that may be wanted
        :rtype: dict
        """
        minute = now.replace(second=0)
        limit = settings.number(self.env, "attempt_new_rows_per_minute")
        found = {
            "new_rows": flood_gauge.estimate(self.env.cr.dbname, minute, limit),
            "by_address": attempt.lately_from_address,
        }
        wanted = [] if found["new_rows"] is not None else ["new_rows"]
        if attempt.user_id and not attempt.known_login:
            wanted.append("login")
        if attempt.key_id and not attempt.integration_id:
            wanted.append("by_key")
        if self._is_sought_by_login(attempt):
            wanted.append("by_login")
        if self._is_sought_by_address(attempt):
            wanted.append("by_address")
        if wanted:
            [row] = self._query_planned(
                "SELECT " + ", ".join(f"({SURROUNDINGS[name]})" for name in wanted),
                self._whereabouts(attempt, now)
                | {"minute": minute, "most_rows": 2 * limit, "key": attempt.key_id},
            )
            found.update(zip(wanted, row, strict=True))
        if "new_rows" in wanted:
            flood_gauge.learn(self.env.cr.dbname, minute, found["new_rows"], limit)
        return found

    @staticmethod
    def _is_sought_by_login(attempt):
        """Whether the integration may be that of the user, and nobody has asked yet."""
        asked_of, _integration_id = attempt.technical_user or (None, None)
        return attempt.user_id not in (None, asked_of) and not attempt.integration_id

    @staticmethod
    def _is_sought_by_address(attempt):
        """Whether only the address may tell the integration, and nobody has asked yet."""
        # Not where the address is only that of a proxy.
        return (
            attempt.remote_addr
            and attempt.address_trusted
            and not attempt.known_login
            and attempt.lately_from_address is None
        )

    @staticmethod
    def _whereabouts(attempt, now):
        return {
            "user": attempt.user_id,
            "login": attempt.login,
            "address": attempt.remote_addr,
            "lately": now - timedelta(days=30),
        }

    @staticmethod
    def _attribute(attempt, found):
        """The integration that a refused attempt belongs to, and how it was found.

        By address if it alone has recently succeeded from there.

        :param found: of :meth:`_surroundings`
        """
        if attempt.user_id and found.get("by_login"):
            return found["by_login"], "login"
        if found.get("by_key"):
            return found["by_key"], "key"
        by_address = found["by_address"] or ()
        # Whoever puts a question merely says whence it comes.
        is_question = probe.is_question(attempt.user_agent, attempt.cause)
        if not attempt.user_id and not is_question and len(by_address) == 1 and by_address[0]:
            return by_address[0], "address"
        return None, None

    def _login_of(self, user_id):
        rows = self._query(SQL("SELECT login FROM res_users WHERE id = %s", user_id))
        return clean(rows[0][0], 256) if rows else None

    def _complete_by_login(self, attempt):
        login = attempt.login
        if not is_storable(login):
            attempt.note("malformed_request" if login else "login_missing")
            return
        if not login:
            attempt.note("login_missing")
            return
        users = self.env["res.users"].with_context(active_test=False)
        query = users._search(
            users._get_login_domain(login),
            order=f"active DESC, {users._get_login_order()}",
            limit=1,
        )
        rows = self._query(
            query.select(*(SQL.identifier(query.table, name) for name in ("id", "login", "active")))
        )
        if not rows:
            if "internal_error" not in attempt.codes:  # which is never shown as a wrong login
                attempt.note("user_unknown")
            return
        attempt.user_id, attempt.known_login, active = rows[0]
        if not active:
            attempt.note("user_archived")

    # What is kept ----------------------------------------------------------------------------

    @api.model
    def _failure_values(self, attempt, new_rows):
        level = self._flood_level(new_rows)
        attempt.described_agent = agents.describe(attempt.user_agent)
        values = {
            "outcome": "failure",
            "cause": attempt.cause,
            "channel": attempt.channel,
            "auth_type": attempt.auth_type,
            "login": clean(attempt.known_login, 256) or self._describe_login(attempt, level),
            "user_id": attempt.user_id,
            "integration_id": attempt.integration_id,
            "attribution": attempt.attribution,
            "key_id": attempt.key_id,
            "remote_addr": attempt.remote_addr,
            "user_agent": attempt.described_agent,
            "database": attempt.database,
            "reference": attempt.reference,
        }
        if level:
            values.update(remote_addr=MANY, user_agent=MANY, reference=None)
        if level > 1:
            values.update(login=MANY)
        return values

    @api.model
    def _flood_level(self, new_rows):
        """How much must be kept together: 0 nothing, 1 address and agent, 2 the login as well.

        The number of new rows of this minute, in all workers, decides, so that the log stays
        bounded whoever calls with however many logins from however many addresses.  Never kept
        together are users, integrations, keys and causes, and the counts stay exact.  The
        reference goes with the address, of which it is made; the server log still has it.
        """
        return min(new_rows // settings.number(self.env, "attempt_new_rows_per_minute"), 2)

    def _describe_login(self, attempt, flood_level=0):
        """What is kept of a login or user id that does not exist: never the text itself."""
        if attempt.user_id or attempt.login in (False, ""):
            return None
        if attempt.login is None:
            return f"unknown user id {attempt.uid}" if is_short_number(attempt.uid) else None
        key = self._correlation_key()
        described = describe_unknown_login(attempt.login, (), key)
        if not isinstance(attempt.login, str) or flood_level:
            return described
        return self._described_lately(described) or describe_unknown_login(
            attempt.login, self._nearest_candidates(attempt.login), key
        )

    def _described_lately(self, described):
        """The description that this unknown login was given in this minute, if it was.

        Searching for the nearest login costs more than all the rest: whoever repeats a login as
        fast as he can must not have it done each time. New ones are soon too many for it.
        """
        size, _comma, repeats = described.partition(", #")
        rows = self._query(
            SQL(
                "SELECT login FROM auth_attempt WHERE outcome = 'failure' AND first_seen >= %s"
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
        """Key of the 16-bit hashes of unknown logins: another one every day, the last is gone."""
        today = fields.Date.to_string(fields.Date.today())
        [row] = self._query(
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
