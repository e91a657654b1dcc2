import logging
import time

from odoo import api, models
from odoo.tools import SQL, config

from ...tools.delivery.secret_box import SecretBoxError, secret_box

_logger = logging.getLogger(__name__)

PREFIX = "auth_integration.server."
# A fact that is still seen is written again after this time, so that its age is meaningful.
REWRITE_SECONDS = 3600
_written = {}


class AuthIntegrationServer(models.AbstractModel):
    """Facts about the server that findings need and no table has, stored as system parameters.

    They are written on a connection of their own and read by SQL, so that no cache of another
    worker has to be invalidated.  An error here never stops the registry or a call.

    ``secret_key``: ``present`` or ``missing`` (see :mod:`secret_box`), at every start.
    ``proxy_mode``: ``on`` at every start with it; ``off_behind_proxy`` when a call that was
    accepted or had a known key came through a proxy while Odoo's ``proxy_mode`` was off.
    """

    _name = "auth.integration.server"
    _description = "Server Settings for Issues"

    def _register_hook(self):
        super()._register_hook()
        try:
            secret_box()
            secret_key = "present"
        except SecretBoxError:
            secret_key = "missing"
        self._set_flag(self.env.registry, "secret_key", secret_key)
        if config["proxy_mode"]:
            self._set_flag(self.env.registry, "proxy_mode", "on")

    @classmethod
    def _detect_untrusted_proxy(cls, registry, attempt):
        """Record that a call came through a proxy while ``proxy_mode`` is off.

        Only calls that were accepted or had a known key count: anybody can send the header.

        :param attempt: a decided ``Attempt``
        """
        if attempt.address_trusted or not attempt.remote_addr or config["proxy_mode"]:
            return
        if attempt.outcome != "success" and not attempt.key_id:
            return
        now = time.monotonic()
        if now - _written.get(registry.db_name, -REWRITE_SECONDS) < REWRITE_SECONDS:
            return
        _written[registry.db_name] = now
        cls._set_flag(registry, "proxy_mode", "off_behind_proxy")

    @staticmethod
    def _set_flag(registry, name, value):
        try:
            with registry["auth.attempt"]._own_cursor(registry) as cr:
                cr.execute(
                    SQL(
                        """
                        INSERT INTO ir_config_parameter AS old
                            (key, value, create_uid, write_uid, create_date, write_date)
                        VALUES (%(key)s, %(value)s, 1, 1, now() AT TIME ZONE 'UTC',
                                now() AT TIME ZONE 'UTC')
                        ON CONFLICT (key) DO UPDATE
                        SET value = EXCLUDED.value, write_date = EXCLUDED.write_date
                        WHERE old.value IS DISTINCT FROM EXCLUDED.value
                           OR old.write_date < EXCLUDED.write_date - make_interval(secs => %(age)s)
                        """,
                        key=PREFIX + name,
                        value=value,
                        age=REWRITE_SECONDS,
                    ),
                    log_exceptions=False,
                )
        except Exception as error:
            _logger.info("%s%s could not be written: %s", PREFIX, name, type(error).__name__)

    @api.model
    def _flag(self, name):
        """Return the parameter of a fact as it is now in the database, or an empty recordset."""
        rows = self.env.execute_query(
            SQL("SELECT id FROM ir_config_parameter WHERE key = %s", PREFIX + name)
        )
        parameter = self.env["ir.config_parameter"].sudo().browse(rows and rows[0])
        parameter.invalidate_recordset()
        return parameter

    @api.model
    def _is_behind_unknown_proxy(self):
        """Return whether the addresses of callers are those of a proxy, as far as is known."""
        return self._flag("proxy_mode").value == "off_behind_proxy"
