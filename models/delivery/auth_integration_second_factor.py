import hmac
import logging
import time
from datetime import timedelta

import pyotp
from odoo import SUPERUSER_ID, api, fields, models
from odoo.exceptions import UserError
from odoo.tools import SQL

from ..key.auth_integration_key import UTC_NOW
from ..mixins.fresh_identity import fresh_identity

_logger = logging.getLogger(__name__)

STEP = 30  # seconds for which a TOTP code is shown
DRIFT = 1  # steps by which a clock may be off
MAX_WRONG_CODES = 5
LOCKED_FOR = timedelta(minutes=15)


class AuthIntegration(models.Model):
    """Add a second factor for integrations that fetch their own new keys."""

    _inherit = "auth.integration"

    totp_seed = fields.Char(
        groups=fields.NO_ACCESS, copy=False, help="Encrypted; see tools/delivery/secret_box.py."
    )
    totp_enrolled_at = fields.Datetime("Second Factor Since", readonly=True, copy=False)
    totp_last_step = fields.Integer(groups=fields.NO_ACCESS, copy=False)
    totp_wrong_codes = fields.Integer(groups=fields.NO_ACCESS, copy=False)
    totp_locked_until = fields.Datetime(readonly=True, copy=False)

    def _set_totp_seed(self, seed, code):
        """Give this integration a second factor; a first code proves that the host has the seed.

        :param str seed: base32, as stored on the integrator's host
        :param str code: the code that the host shows for it now
        :raise UserError: the code is wrong, or the server has no key to encrypt the seed with
        """
        self.ensure_one()
        step = self._matching_step(seed, code)
        if step is None:
            raise UserError(
                self.env._("Invalid code. Check that the host's clock is correct and try again.")
            )
        self.sudo().write(
            {
                "totp_seed": self._encrypt(seed, "totp"),
                "totp_enrolled_at": fields.Datetime.now(),
                "totp_last_step": step,
                "totp_wrong_codes": 0,
                "totp_locked_until": False,
            }
        )

    def action_set_up_totp(self):
        """Open the dialog that creates a seed, shows it, and asks for a first code."""
        self.ensure_one()
        self._check_may_operate()
        wizard = self.env["auth.integration.second.factor"].create({"integration_id": self.id})
        return wizard._action_open()

    @fresh_identity
    def action_remove_totp(self):
        """Remove the second factor: ``rotate`` then needs a known address."""
        self._check_may_operate()
        for integration in self.sudo():
            integration.write({"totp_seed": False, "totp_enrolled_at": False})
            integration.message_post(
                body=self.env._("%(user)s removed the second factor.", user=self.env.user.name)
            )
        return True

    @api.model
    def _matching_step(self, seed, code):
        """Return the time step of a code, at most one step from now; None if there is none."""
        if not isinstance(code, str) or not (code.isascii() and code.isdigit()):
            return None
        totp = pyotp.TOTP(seed)
        now = int(time.time()) // STEP
        steps = range(now - DRIFT, now + DRIFT + 1)
        matching = [s for s in steps if hmac.compare_digest(totp.generate_otp(s), code)]
        return matching[0] if matching else None

    def _redeem_totp(self, code):
        """Accept a current code that was not used before; count and limit wrong codes.

        :return: whether the code was accepted
        :raise UserError: the code was used before, there were too many wrong codes, or the seed
            cannot be read
        """
        self.ensure_one()
        if not self.totp_seed:
            return False
        self.flush_recordset()
        step = self._check_code_apart(code)
        if step is None:
            return False
        # A single statement, so that of two calls with the same code only one is accepted.
        self.env.cr.execute(
            SQL(
                "UPDATE auth_integration SET totp_last_step = %(step)s, totp_wrong_codes = 0"
                " WHERE id = %(id)s AND COALESCE(totp_last_step, 0) < %(step)s",
                step=step,
                id=self.id,
            ),
            log_exceptions=False,  # of two such calls, one is retried
        )
        self.invalidate_recordset()
        if not self.env.cr.rowcount:
            raise UserError(self.env._("This code was used before. Wait for the next one."))
        return True

    def _check_code_apart(self, code):
        """Check a code, and count wrong ones independently of the caller's transaction.

        Calls are serialized by a lock, so that each sees the count of the others. Otherwise as many
        codes could be tried at once as the server has workers.

        :return: the time step of the code, or None
        :raise UserError: too many wrong codes
        """
        with self.env["auth.attempt"]._own_cursor(self.env.registry) as cr:
            cr.execute(
                "SELECT pg_advisory_xact_lock(hashtext('auth_integration.totp'), %s)",
                [self.id],
                log_exceptions=False,  # a call that waits too long for the lock is retried
            )
            self._check_not_locked(cr)
            step = self._matching_step(self._decrypt(self.totp_seed, "totp"), code)
            if step is None:
                self._count_wrong_code(cr)
            return step

    def _check_not_locked(self, cr):
        cr.execute(
            SQL(
                "SELECT totp_locked_until FROM auth_integration"
                " WHERE id = %s AND totp_locked_until > %s",
                self.id,
                UTC_NOW,
            )
        )
        if found := cr.fetchone():
            raise UserError(
                self.env._(
                    "Too many wrong codes. Try again after %(until)s UTC.",
                    until=fields.Datetime.to_string(found[0]),
                )
            )

    def _count_wrong_code(self, cr):
        cr.execute(
            SQL(
                """
                UPDATE auth_integration
                SET totp_wrong_codes = (COALESCE(totp_wrong_codes, 0) + 1) %% %(limit)s,
                    totp_locked_until = CASE
                        WHEN COALESCE(totp_wrong_codes, 0) + 1 >= %(limit)s
                        THEN %(now)s + %(duration)s ELSE totp_locked_until END
                WHERE id = %(id)s RETURNING totp_wrong_codes
                """,
                limit=MAX_WRONG_CODES,
                now=UTC_NOW,
                duration=LOCKED_FOR,
                id=self.id,
            ),
            log_exceptions=False,  # a call that waits too long for the lock is retried
        )
        if cr.fetchone() == (0,):
            integration = self.with_env(api.Environment(cr, SUPERUSER_ID, {}))
            _logger.warning(
                "Integration %s: %s wrong codes of its second factor", self.id, MAX_WRONG_CODES
            )
            self.env["auth.integration.rotation"].with_env(integration.env)._notify_about(
                integration,
                integration.env._(
                    "%(count)s wrong codes for the second factor were sent with a valid API key. If"
                    " this was not your system, revoke the key and check the addresses of the"
                    " attempts.",
                    count=MAX_WRONG_CODES,
                ),
                integration.owner_ids,
            )
