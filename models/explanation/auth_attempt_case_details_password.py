from odoo import models
from odoo.tools import SQL


class AuthAttempt(models.Model):
    """Explain a wrong password: its last change, and whether a directory rejected it too."""

    _inherit = "auth.attempt"

    def init(self):
        result = super().init()
        self.env.cr.execute(
            """
            CREATE TABLE IF NOT EXISTS auth_integration_password_change (
                user_id integer PRIMARY KEY,
                changed_at timestamp NOT NULL
            )
            """
        )
        return result

    def _needed_columns(self):
        """Extend :meth:`auth.attempt._needed_columns` by the table of this file."""
        table = {"auth_integration_password_change": {"user_id", "changed_at"}}
        return super()._needed_columns() | table

    def _explain_password_wrong(self):
        return [*self._explain_password_change(), *self._explain_directory()]

    def _explain_directory(self):
        """Tell that the LDAP directory, which Odoo asks next, also rejected the password."""
        # The module auth_ldap is optional.
        if "res.company.ldap" not in self.env or not self._known_user():
            return []
        if not self.env["res.company.ldap"].sudo().search_count([], limit=1):
            return []
        return [self.env._("The LDAP directory also rejected the password.")]

    def _explain_password_change(self):
        user = self._known_user()
        changed = user and self._password_changed_at(user)
        if not user:
            return []
        if not changed:
            return [
                self.env._(
                    "The password of %(login)s has not changed since this app was installed.",
                    login=user.login,
                )
            ]
        return [
            self.env._(
                "The password of %(login)s was last changed on %(when)s.",
                login=user.login,
                when=self._moment(changed),
            )
        ]

    def _explain_session_expired(self):
        return self._explain_password_change() if self.user_id else []

    def _password_changed_at(self, user):
        rows = self.env.execute_query(
            SQL(
                "SELECT changed_at FROM auth_integration_password_change WHERE user_id = %s",
                user.id,
            )
        )
        return rows and rows[0][0]
