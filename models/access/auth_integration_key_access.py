from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.tools import SQL

from ...tools.access import access_rules, allowed_methods
from ...tools.access.access_rules import ANY_METHOD, KeyAccess, OperationError
from ...tools.integration import key_rules
from ...tools.integration.key_rules import KeyRules
from ...tools.row_locks import wait_and_lock
from ..mixins.fresh_identity import require_fresh_identity, require_unlimited_key
from ..mixins.network_list import check_networks

ACCESS = [
    ("full", "All rights of the user"),
    ("read_only", "Read only"),
    ("listed", "Selected operations"),
]
MODES = [("enforce", "Enforce"), ("report", "Report only")]


class AuthIntegrationKey(models.Model):
    """Limit what a key may do to less than its user may do, never more."""

    _inherit = "auth.integration.key"

    access = fields.Selection(
        ACCESS,
        default="full",
        required=True,
        readonly=True,
        help="Read only: methods that are known to only read; the database rejects every change."
        " Selected operations: only the listed methods can be called.",
    )
    access_mode = fields.Selection(
        MODES,
        default="enforce",
        required=True,
        readonly=True,
        help="Report only: nothing is rejected. What would be rejected is counted.",
    )
    operation_ids = fields.One2many(
        "auth.integration.key.operation", "key_id", "Operations", readonly=True
    )
    allowed_networks = fields.Text(
        readonly=True,
        help="One IP address or CIDR range per line. The address must also be in the networks of"
        " the integration. Leave empty for no extra limit.",
    )

    is_limit_advisory = fields.Boolean(compute="_compute_is_limit_advisory", compute_sudo=True)
    access_narrowed_at = fields.Datetime(
        readonly=True,
        help="When an update replaced the method * of its list by the methods that it had called.",
    )

    def init(self):
        """Set database defaults for the columns, because keys are inserted by SQL."""
        self.env.cr.execute(
            "ALTER TABLE auth_integration_key ALTER COLUMN access SET DEFAULT 'full',"
            " ALTER COLUMN access_mode SET DEFAULT 'enforce'"
        )
        return super().init()

    @api.depends("access", "user_id.all_group_ids")
    def _compute_is_limit_advisory(self):
        """Whether its user got the rights of an administrator after the key was limited."""
        for key in self:
            key.is_limit_advisory = (
                key.access != access_rules.FULL and key.user_id._is_administrator()
            )

    @api.constrains("allowed_networks")
    def _check_allowed_networks(self):
        check_networks(self)

    def _current_access(self):
        """Return what this key may do now.

        :rtype: KeyAccess
        """
        self.ensure_one()
        allowed = self.operation_ids.filtered("allowed")
        return KeyAccess(
            self.access,
            self.access_mode,
            frozenset((operation.model, operation.method) for operation in allowed),
            self.allowed_networks or "",
        )

    def set_access(self, access=False, mode=False, operations=False, networks=False, reason=False):
        """Change what these keys may do, with effect from their next call.

        Parameters that are not given leave their setting as it is.  To allow more than before, the
        user needs the rights to issue a key; to allow less, the rights to revoke one.

        :param str access: ``full``, ``read_only`` or ``listed``
        :param str mode: ``enforce`` or ``report``
        :param operations: everything that a ``listed`` key may call, or what a ``read_only`` one
            may call beside the reading methods, as a list of ``[model, method]``; the method ``*``
            stands for the methods of a model, see :func:`allowed_methods.is_in_star`
        :param str networks: one address or network per line, or "" for no limit of the key's own
        :param str reason: kept in the history of the key and of its integration
        :return: True
        :raise AccessError: the user is neither owner nor manager, and it is not their own key
        :raise UserError: no reason was given, a key no longer works, or there is no such operation
        """
        return self._set_access(access, mode, operations, networks, reason)

    def _set_access(self, access=False, mode=False, operations=False, networks=False, reason=False):
        """Do the work of :meth:`set_access`; in a web session, widening needs an identity check.

        :raise IdentityCheckRequired: access is widened and the session has no recent identity check
        """
        self._check_may_end()
        reason = self._checked_reason(reason)
        wait_and_lock(self.sudo())
        for key in self:
            old = key.sudo()._current_access()
            new = KeyAccess(
                access or old.access,
                mode or old.mode,
                old.operations if operations is False else self._parse_operations(operations),
                old.networks if networks is False else (networks or ""),
            )
            key._check_may_set_access(new, old)
            key.sudo()._write_access(new)
            key.sudo()._note_in_history(
                self.env._(
                    "%(user)s changed the access of the API key %(prefix)s…: %(access)s. Reason:"
                    " %(reason)s",
                    user=self.env.user.name,
                    prefix=key.prefix,
                    access=key.sudo()._access_text(),
                    reason=reason,
                )
            )
        return True

    def _check_may_set_access(self, new, old):
        """Check the new access of this key and, if it is wider, that the user may issue such a key.

        To narrow the access, the right to end the key is enough.
        """
        if not self.sudo().is_live:
            raise UserError(self.env._("This key no longer works. Create a new key."))
        if new.access not in dict(ACCESS) or new.mode not in dict(MODES):
            raise UserError(
                self.env._(
                    "Choose the access full, read_only or listed, and the mode enforce or report."
                )
            )
        if new.access != old.access:
            self._check_can_be_limited(new.access, self.sudo().user_id)
        if self._is_widened(new, old):
            if integration := self.sudo().integration_id:
                integration.with_env(self.env)._check_may_operate()
            require_unlimited_key(self.env, keys_of=self.sudo().user_id.id)
            require_fresh_identity(self.env)

    @api.model
    def _is_widened(self, new, old):
        """Return whether a new access lets a key do more than the old one."""
        return key_rules.is_wider(KeyRules(access=new), KeyRules(access=old))

    @api.model
    def _check_can_be_limited(self, access, user):
        """Check that keys of a user can have an access: what limits the user limits the key.

        :raise UserError: the access is limited, and the user can read the secrets of the database
        """
        if access != access_rules.FULL and user._is_administrator():
            raise UserError(
                self.env._(
                    "%(user)s has the rights of an administrator and can read every secret of this"
                    " database. A limit would not hold. Remove the groups Settings and Access"
                    " Rights from this user, or choose the access full.",
                    user=user.name,
                )
            )

    @api.model
    def _parse_operations(self, given):
        """Parse a list of operations as given by a client.

        :rtype: frozenset
        :raise UserError: an entry is invalid, or its model does not exist
        """
        try:
            operations = access_rules.parse_operations(given)
        except OperationError as error:
            raise UserError(
                self.env._(
                    "“%(entry)s” is not an operation. Enter a list of at most %(most)s pairs of"
                    " model and method, such as [[\"res.partner\", \"search_read\"]].",
                    entry=error.entry,
                    most=access_rules.MAX_OPERATIONS,
                )
            ) from error
        registry = self.env.registry
        for model, method in sorted(operations):
            if model == access_rules.HTTP:
                continue
            if model not in registry:
                raise UserError(self.env._("The model %(model)s does not exist.", model=model))
            if method == ANY_METHOD and allowed_methods.has_code_or_rights(registry[model]):
                raise UserError(
                    self.env._(
                        "The records of %(model)s are code, access rights or dialogs. Name each"
                        " method instead of *.",
                        model=model,
                    )
                )
        return operations

    def _write_access(self, access):
        """Store what this key may do."""
        self.write(
            {
                "access": access.access,
                "access_mode": access.mode,
                "allowed_networks": access.networks or False,
                "access_narrowed_at": False,
            }
        )
        self.flush_recordset()
        self.env.cr.execute(
            SQL(
                "UPDATE auth_integration_key_operation SET allowed = FALSE"
                " WHERE key_id = %s AND allowed",
                self.id,
            )
        )
        self.invalidate_recordset(["operation_ids"])
        self.env["auth.integration.key.operation"].invalidate_model()
        self._allow_operations(access.operations)
        self._write_native_scope()

    def _allow_operations(self, operations):
        """Add operations to those that this key may call."""
        if not operations:
            return
        models_, methods = zip(*sorted(operations), strict=True)
        self.env.cr.execute(
            SQL(
                """
                INSERT INTO auth_integration_key_operation (key_id, model, method, allowed)
                SELECT %s, *, TRUE FROM unnest(%s::varchar[], %s::varchar[])
                ON CONFLICT (key_id, model, method) DO UPDATE SET allowed = TRUE
                """,
                self.id,
                list(models_),
                list(methods),
            )
        )
        self.invalidate_recordset(["operation_ids"])
        self.env["auth.integration.key.operation"].invalidate_model()

    def _inherit_operations(self):
        """Allow these new keys the operations of the keys that they replace."""
        self.env.cr.execute(
            SQL(
                """
                INSERT INTO auth_integration_key_operation (key_id, model, method, allowed)
                SELECT k.id, o.model, o.method, TRUE
                FROM auth_integration_key k
                JOIN auth_integration_key_operation o ON o.key_id = k.replaces_id AND o.allowed
                WHERE k.id IN %s
                """,
                tuple(self.ids),
            )
        )

    @api.model
    def _access_at_issue(self, access, operations):
        """Check and return the access of a new key as given by a client.

        :return: the access, or None for that of its policy, and its operations
        :rtype: tuple
        :raise UserError: there is no such access or operation, or they contradict each other
        """
        if operations and not access:
            access = access_rules.LISTED
        if access and access not in dict(ACCESS):
            raise UserError(self.env._("Choose the access full, read_only or listed."))
        if access == access_rules.LISTED and not operations:
            raise UserError(self.env._("Enter at least one operation."))
        if operations and access == access_rules.FULL:
            raise UserError(self.env._("Enter operations only for a limited access."))
        return access or None, self._parse_operations(operations or ())

    def _access_text(self):
        """Describe in words what this key may do."""
        self.ensure_one()
        labels = {name: dict(self._fields[name]._description_selection(self.env))
                  for name in ("access", "access_mode")}
        text = labels["access"][self.access]
        allowed = ", ".join(self.operation_ids.filtered("allowed").mapped("display_name"))
        if allowed and self.access == access_rules.LISTED:
            text = allowed
        elif allowed and self.access == access_rules.READ_ONLY:
            text = self.env._("%(access)s, and %(operations)s", access=text, operations=allowed)
        if self.access != access_rules.FULL and self.access_mode == access_rules.REPORT:
            text = f"{text} ({labels['access_mode'][self.access_mode]})"
        return text
