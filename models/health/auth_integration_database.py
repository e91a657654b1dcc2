import logging

from odoo import api, models
from odoo.exceptions import UserError
from odoo.tools import SQL

from ...tools.health import database_identity

_logger = logging.getLogger(__name__)

UUID = "auth_integration.database_uuid"
IDENTITY = "auth_integration.database_identity"
CONFIRM_MOVE = "auth_integration.confirm_move"


class AuthIntegrationDatabase(models.AbstractModel):
    """Detect whether this database is the one the add-on was set up in, or a copy of it.

    A copy must neither replace keys of production nor notify its users. ``database.uuid`` does not
    tell, because a raw copy (``createdb -T``, ``pg_restore``) keeps it. A copy differs in the
    database's oid or in PostgreSQL's ``system_identifier``.

    Parameters are read by SQL, so that no worker relies on a stale cache.
    """

    _name = "auth.integration.database"
    _description = "Database Identity"

    def init(self):
        """Store the identity once: at installation, or at the first upgrade that finds none."""
        parameters = self.env["ir.config_parameter"].sudo()
        if not parameters.get_param(UUID):
            parameters.set_param(UUID, parameters.get_param("database.uuid"))
        if not parameters.get_param(IDENTITY):
            parameters.set_param(IDENTITY, self._identity())
        return super().init()

    def _register_hook(self):
        super()._register_hook()
        try:
            with self.env["auth.attempt"]._own_cursor(self.env.registry) as cr:
                self.with_env(self.env(cr=cr, su=True))._refresh()
        except Exception as error:
            _logger.info("The database's identity was not checked: %s", type(error).__name__)

    @api.model
    def _refresh(self):
        """Apply a move confirmed by system parameter, and store the identity for the finding."""
        identity = self._identity()
        if (self._parameters().get(CONFIRM_MOVE) or "").strip() == identity:
            self._confirm_move()
        self.env["auth.integration.server"]._set_flag(
            self.env.registry, "database_identity", identity
        )

    @api.model
    def _identity(self):
        """Return the current ``system_identifier:oid`` of this database.

        The first part is empty if PostgreSQL does not let Odoo's role read it.
        """
        [(readable, oid)] = self.env.execute_query(
            SQL(
                "SELECT COALESCE(has_function_privilege("
                "to_regprocedure('pg_control_system()'), 'EXECUTE'), FALSE),"
                " (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
        )
        if not readable:
            return f":{oid}"
        [(system,)] = self.env.execute_query(
            SQL("SELECT system_identifier FROM pg_control_system()")
        )
        return f"{system}:{oid}"

    @api.model
    def _parameters(self):
        self.env["ir.config_parameter"].flush_model()
        return dict(
            self.env.execute_query(
                SQL(
                    "SELECT key, value FROM ir_config_parameter WHERE key IN %s",
                    ("database.uuid", UUID, IDENTITY, CONFIRM_MOVE),
                )
            )
        )

    @api.model
    def _is_copy(self):
        """Return whether this database is a copy of the one the add-on was set up in."""
        parameters = self._parameters()
        return parameters.get(UUID) != parameters.get(
            "database.uuid"
        ) or not database_identity.is_same(parameters.get(IDENTITY), self._identity())

    @api.model
    def _check_original(self):
        """Check that this database may replace keys.

        An external system that got a new key from a copy would give up its key of production.

        :raise UserError: this database is a copy
        """
        if self._is_copy():
            raise UserError(
                self.env._(
                    "This database is a copy, so its keys are not rotated. If external systems now"
                    " use this database, a Settings administrator must confirm the move. Go to"
                    " Settings ▸ General Settings, tab Integrations, or set the system parameter"
                    " %(parameter)s to %(identity)s.",
                    parameter=CONFIRM_MOVE,
                    identity=self._identity(),
                )
            )

    @api.model
    def _confirm_move(self):
        """Make this database the one that rotates keys."""
        parameters = self.env["ir.config_parameter"].sudo()
        identity = self._identity()
        parameters.set_param(UUID, self._parameters().get("database.uuid"))
        parameters.set_param(IDENTITY, identity)
        parameters.search([("key", "=", CONFIRM_MOVE)]).unlink()
        _logger.info("Keys are rotated in this database from now on: %s (%s)",
                     self.env.cr.dbname, identity)
