from odoo import api, fields, models
from odoo.exceptions import UserError

from ...tools.attempt import request_state
from ...tools.health import probe
from ...tools.key import authenticated_key


class AuthIntegrationKey(models.Model):
    """Methods that callers use to ask about their own key; see docs/reference.rst."""

    _inherit = "auth.integration.key"

    @api.model
    def _authenticated_key(self):
        """Return the record of the key that authenticated this call.

        :raise UserError: the call was not authenticated by an API key
        """
        caller = authenticated_key.current()
        if caller and (caller.dbname, caller.uid) == (self.env.cr.dbname, self.env.uid):
            return self.sudo().browse(caller.key_id)
        raise UserError(
            self.env._(
                "This call was not authenticated with an API key. Call it through XML-RPC,"
                " /jsonrpc or /json/2 with the key in question."
            )
        )

    @api.model
    def whoami(self):
        """Describe the key that authenticated this call.

        :return: ``{integration, prefix, state, replace_by, expires_at, rotate_after, access,
            channel, remote_addr, server_time}``; dates as UTC strings, False where there is none
        :rtype: dict
        :raise UserError: the call was not authenticated by an API key
        """
        key = self._authenticated_key()
        caller = authenticated_key.current()
        ends = key.effective_end
        return {
            "integration": key.integration_id.code or False,
            "prefix": key.prefix,
            # This call is itself a use, even if its transaction began too early to see it recorded.
            "state": "active" if key.state == "pending" else key.state,
            # During the overlap the key expires before the date for which it was due.
            "replace_by": _to_rpc(min(filter(None, (key.replace_by, ends)), default=False)),
            "expires_at": _to_rpc(ends),
            "rotate_after": _to_rpc(self.env["auth.integration.rotation"].sudo()._due_at(key)),
            "access": key.access,
            "channel": caller.channel or False,
            "remote_addr": caller.remote_addr or False,
            "server_time": _to_rpc(fields.Datetime.now()),
        }

    @api.model
    def _verify_presented(self, secret, header_sent=True):
        """Return the state of a presented key, for :mod:`controllers.verify`, and log an attempt.

        :return: see the controller, or None if no key with this secret is known in this database
        :rtype: dict | None
        """
        natives = self.env["res.users.apikeys"]
        if not natives._auth_integration_applies():
            return None
        attempts = self.env["auth.attempt"]
        attempt = attempts._new_attempt(auth_type=probe.VERIFY)
        with request_state.opened(attempt):
            codes = natives._denial_causes(secret)
        if codes is None:
            attempt.note("key_unknown" if secret else "header_missing")
            if header_sent and not secret:
                attempt.note("header_malformed")
        attempt.outcome = "success" if codes == set() else "failure"
        attempts._emit(attempt)
        if codes is None:
            return None
        key = self.sudo().browse(attempt.key_id)
        return {
            "valid": attempt.outcome == "success",
            "cause": attempt.cause or False,
            "state": key.state,
            "prefix": key.prefix,
            "integration": key.integration_id.code or False,
            "expires_at": _to_rpc(key.effective_end),
            "reference": attempt.reference or False,
        }


    @api.model
    def rotate(self, totp=False):
        """Replace the key that authenticated this call, before it ends.

        Requires a policy with the delivery "the integration fetches it", a key that is due and in
        use, and a second-factor code or an address that the integration has been calling from. Use
        the new key at once for any call: its first use retires the old key, which works until then.
        If the answer was lost, call again with the old key.

        :param str totp: second-factor code, if one is set up
        :return: ``{key, prefix, expires_at, old_key_valid_until}``; the last is the latest possible
            end of the old key, in case the new one is never used
        :rtype: dict
        :raise UserError: one of the conditions does not hold; the text says which
        """
        if request_state.current().read_only_database is None:
            return self._rotate_calling_key(totp)
        # The key is read-only, and so is the connection of this call: write on another one.
        with request_state.unrestricted(), self.env.registry.cursor() as cr:
            return self.with_env(self.env(cr=cr))._rotate_calling_key(totp)

    @api.model
    def _rotate_calling_key(self, totp):
        key = self._authenticated_key()
        secret, new_key = self.env["auth.integration.delivery.self_service"]._rotate(key, totp)
        return {
            "key": secret,
            "prefix": new_key.prefix,
            "expires_at": _to_rpc(new_key.expires_at),
            "old_key_valid_until": _to_rpc(key.effective_end),
        }


def _to_rpc(date):
    """Return a date as XML-RPC can carry it: a UTC string, or False."""
    return fields.Datetime.to_string(date) or False
