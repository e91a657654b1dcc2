from datetime import timedelta

from odoo import api, fields, models

from ...tools.incident.own_mail import OWN_MAIL
from ...tools.throttle import counters_sql
from ...tools.throttle.counters import login_key

# The period in which refused guesses are searched.
LOOK_BACK = timedelta(hours=1)
MAX_USERS = 1000


class AuthThrottle(models.AbstractModel):
    """Notify users that their password is being guessed."""

    _inherit = "auth.throttle"

    @api.model
    def _cron_notify(self):
        """Notify each user whose login is attacked from many addresses, once per window.

        A copy of the database notifies nobody.
        """
        if not self.env["auth.integration.database"]._is_copy():
            self._notify_users()

    @api.model
    def _notify_users(self):
        """Mail the users whose login is refused from all addresses that it has not succeeded from.

        :return: the users whose login is attacked; those without an email address get no mail
        """
        users = self._guessed_users()
        secret = self.env.registry.auth_integration_throttle_key
        by_key = {login_key(secret, user.login): user for user in users}
        if not by_key:
            return users
        self.env.cr.execute(
            counters_sql.NOTIFY, {"logins": sorted(by_key), "window": self._window()}
        )
        attacked = users.browse(by_key[bytes(key)].id for (key,) in self.env.cr.fetchall())
        for user in attacked.filtered("email"):
            self._notify_user(user)
        return attacked

    @api.model
    def _guessed_users(self):
        """Return active users whose password was guessed recently, without integration users."""
        since = fields.Datetime.now() - LOOK_BACK
        groups = self.env["auth.attempt"].sudo()._read_group(
            [("cause", "=", "throttled"), ("last_seen", ">", since), ("user_id", "!=", False)],
            ["user_id"],
            limit=MAX_USERS,
        )
        users = self.env["res.users"].browse(user.id for [user] in groups).exists()
        return users.filtered("active") - users._integration_users()

    @api.model
    def _notify_user(self, user):
        texts = self.with_context(lang=user.lang).env
        user.with_context(
            lang=user.lang, **OWN_MAIL
        )._notify_security_setting_update(
            texts._("Many failed sign-in attempts on your account"),
            texts._(
                "Many wrong passwords were tried for your account, from several addresses."
                " Sign-ins from addresses that you have not used in the last 30 days are paused"
                " for up to %(minutes)s minutes. If you need to sign in from a new address now,"
                " ask an administrator to unlock your account.",
                minutes=int(self._window().total_seconds() // 60),
            ),
        )
