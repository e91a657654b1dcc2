from odoo import api, fields, models

from ..tools import attempt as attempt_context
from ..tools import hook_queries
from ..tools.redaction import is_storable
from .auth_attempt_completion import SURROUNDINGS


class AuthAttempt(models.Model):
    """What a refusal would have to know, asked in the same round trip as what the hooks ask.

    A call that is accepted has asked for a little too much, once: its key is then remembered.
    """

    _inherit = "auth.attempt"

    @api.model
    def _query_foreseeing(self, statement, params):
        """Run a query of the hooks; what a refusal of the open attempt would have to know comes
        with it, in the same round trip.

        :param statement: SQL with ``%(name)s`` for each parameter; a constant
        :return: its rows, of which none is all null
        :raise psycopg2.Error: see :func:`hook_queries.query`
        """
        attempt = attempt_context.current()
        names = self._foreseeable(attempt) if attempt else ()
        if not names:
            return hook_queries.query(self.env, statement, params)
        foreseen = ", ".join(f"({SURROUNDINGS[name]})" for name in names)
        rows = hook_queries.query(
            self.env,
            f"SELECT {foreseen}, asked.*"
            f" FROM (VALUES (1)) one LEFT JOIN ({statement}) asked ON TRUE",
            self._whereabouts(attempt, fields.Datetime.now()) | params,
        )
        self._note_foreseen(attempt, **dict(zip(names, rows[0], strict=False)))
        asked = [row[len(names) :] for row in rows]
        return [row for row in asked if any(value is not None for value in row)]

    def _foreseeable(self, attempt):
        """Which of ``SURROUNDINGS`` a refusal would ask that can be told already."""
        if self._is_sought_by_login(attempt):
            return "by_login", "login"
        if attempt.user_id:
            return ()
        if attempt.login is not None:
            return ("by_typed_login",) if _is_short_text(attempt.login) else ()
        return ("by_address",) if self._is_sought_by_address(attempt) else ()

    @staticmethod
    def _note_foreseen(
        attempt, by_login=None, login=None, by_typed_login=None, by_address=None
    ):
        if attempt.user_id:
            attempt.technical_user = attempt.user_id, by_login
            attempt.known_login = login
        elif attempt.login is None:
            attempt.lately_from_address = by_address or []
        elif by_typed_login:
            attempt.login_of, _integration_id = attempt.technical_user = tuple(by_typed_login)


def _is_short_text(value):
    return isinstance(value, str) and len(value) <= 256 and is_storable(value)
