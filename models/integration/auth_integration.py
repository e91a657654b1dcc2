from odoo import api, fields, models
from odoo.exceptions import UserError, ValidationError
from odoo.fields import Command
from odoo.tools import SQL

from ...tools.integration import slug
from ...tools.key import native_scope
from ..mixins.network_list import check_networks


class Following:
    """Context marker: an integration and its user are already archived or restored together.

    The marker is an object, which no caller over RPC can send.
    """

    @staticmethod
    def is_said_in(env):
        return isinstance(env.context.get("auth_integration_following"), Following)


FOLLOWING = {"auth_integration_following": Following()}


class AuthIntegration(models.Model):
    """An external system, the integration user it authenticates as, and its owners.

    The fields about its current state are in ``auth_integration_status.py``.
    """

    _name = "auth.integration"
    _description = "API Integration"
    _inherit = [
        "mail.thread",
        "mail.activity.mixin",
        "auth.integration.live.mixin",
        "auth.integration.free.text.mixin",
        "auth.integration.defaults.mixin",
    ]
    _free_texts = {
        "name": 200,
        "code": 200,
        "purpose": 5000,
        "documentation_url": 500,
        "allowed_networks": 20000,
    }
    _order = "name, id"
    _rec_names_search = ["name", "code"]
    # Owners may not change an integration. They are responsible for it, so they may post messages.
    _mail_post_access = "read"
    _allow_sudo_commands = False

    name = fields.Char(required=True, tracking=True)
    code = fields.Char(
        required=True,
        copy=False,
        tracking=True,
        help="Short technical name: lowercase letters, digits, “_”, “.” and “-”. It becomes the"
             " login of the new integration user.",
    )
    active = fields.Boolean(default=True, tracking=True)
    user_id = fields.Many2one(
        "res.users",
        "Integration User",
        ondelete="restrict",
        copy=False,
        tracking=True,
        context={"active_test": False},
        help="A service account: an internal user that signs in with API keys only. Leave empty"
             " to create one automatically.",
    )
    user_active = fields.Boolean("Integration User Active", related="user_id.active")
    login = fields.Char(related="user_id.login")
    owner_ids = fields.Many2many(
        "res.users",
        "auth_integration_owner_rel",
        "integration_id",
        "user_id",
        "Owners",
        tracking=True,
        default=lambda self: False if self.env.su else self.env.user,
        help="Internal users responsible for this integration. Owners can create keys and"
             " therefore act with all rights of the integration user.",
    )
    company_id = fields.Many2one("res.company", tracking=True)
    environment = fields.Selection(
        [("production", "Production"), ("staging", "Staging"), ("test", "Test")],
        default="production",
        required=True,
        tracking=True,
        help="Urgent alerts about production integrations are sent during quiet hours too. Urgent:"
             " calls fail, expected calls did not come, replaced key used from an unknown address,"
             " key reported as leaked.",
    )
    purpose = fields.Text()
    documentation_url = fields.Char("Documentation")
    allowed_networks = fields.Text(
        tracking=True,
        help="One IP address or CIDR range per line. Leave empty to allow any address.",
    )
    policy_id = fields.Many2one(
        "auth.integration.policy",
        ondelete="restrict",
        required=True,
        tracking=True,
        default=lambda self: self._default_policy(),
    )
    delivery = fields.Selection(related="policy_id.delivery")
    user_archived_along = fields.Boolean(
        readonly=True,
        copy=False,
        help="The integration user was archived with the integration and will be restored with it.",
    )
    key_ids = fields.One2many("auth.integration.key", "integration_id", "Keys")
    archive_warning = fields.Text(
        compute="_compute_archive_warning",
        help="External systems whose calls are rejected after archiving.",
    )

    _code_uniq = models.Constraint("unique (code)", "Another integration already has this code.")
    _user_uniq = models.Constraint(
        "unique (user_id)", "This integration user already belongs to another integration."
    )

    @api.model
    def _default_policy(self):
        return self.env.ref(
            "auth_integration.auth_integration_policy_default", raise_if_not_found=False
        ) or self.env["auth.integration.policy"].search([], limit=1)

    @api.depends("key_ids", "user_id")
    @api.depends_context("lang", "tz")
    def _compute_archive_warning(self):
        for integration in self:
            integration.archive_warning = integration.key_ids._impact_warning()

    @api.onchange("name")
    def _onchange_name(self):
        if self.name and not self.code:
            self.code = slug.propose(self.name)

    @api.onchange("code")
    def _onchange_code(self):
        if self.code and not slug.is_good(self.code):
            self.code = slug.propose(self.code)

    # Constraints -----------------------------------------------------------------------------

    @api.constrains("code")
    def _check_code(self):
        """Check codes that are set: codes from before this rule was introduced may stay."""
        for integration in self:
            if not slug.is_good(integration.code or ""):  # it may be about to be emptied
                raise ValidationError(
                    self.env._(
                        "The code “%(code)s” is not valid. Use lowercase letters, digits, “_”, “.”"
                        " and “-”, and start with a letter or a digit. Suggestion: %(proposal)s",
                        code=integration.code or "",
                        proposal=slug.propose(integration.code or integration.name) or "web_shop",
                    )
                )

    @api.constrains("allowed_networks")
    def _check_allowed_networks(self):
        check_networks(self)

    @api.constrains("owner_ids", "active")
    def _check_owners(self):
        self.sudo().with_context(active_test=False).owner_ids._collide_with_appointments()
        for integration in self:
            owners = integration.sudo().with_context(active_test=False).owner_ids
            if integration.active and not owners:
                raise ValidationError(
                    self.env._(
                        "%(name)s needs at least one owner. Owners are notified before a key"
                        " expires.",
                        name=integration.name,
                    )
                )
            technical = owners._integration_users()
            outsiders = owners.filtered("share") | technical
            if outsiders:
                raise ValidationError(
                    self.env._(
                        "Owners must be internal users who can sign in. Remove: %(names)s",
                        names=", ".join(outsiders.mapped("name")),
                    )
                )

    @api.constrains("user_id")
    def _check_user(self):
        self.sudo().user_id._collide_with_appointments()
        for integration in self.sudo():
            user = integration.user_id
            if not user:
                raise ValidationError(
                    self.env._("Select an integration user.")
                )
            if reason := user._takeover_blocking_reason():
                raise ValidationError(reason)

    def _has_rules(self):
        """Return whether this integration restricts networks or protocols; False for none."""
        return bool(self.allowed_networks or self.allowed_channels)

    def _has_rules_for_new_keys(self):
        """Return whether its rules or its policy let new keys do less than their user."""
        return self._has_rules() or self.policy_id.default_access not in (False, "full")

    # CRUD ------------------------------------------------------------------------------------

    @api.model_create_multi
    def create(self, vals_list):
        self.check_access("create")
        for vals in vals_list:
            if not vals.get("user_id"):
                vals["user_id"] = self._create_integration_user(vals).id
            if "owner_ids" not in vals and not self.env.su:
                vals["owner_ids"] = [Command.set(self.env.user.ids)]
        integrations = super().create(vals_list)
        integrations._grant_owner_group()
        integrations._take_users_over()
        return integrations

    def write(self, vals):
        owners_before = self.sudo().with_context(active_test=False).owner_ids
        users_before = self.sudo().user_id
        moved = self.sudo().filtered(
            lambda i: "policy_id" in vals and i.policy_id.id != vals["policy_id"]
        )
        result = super().write(vals)
        if "owner_ids" in vals:
            self._grant_owner_group()
            owners_before._remove_owner_group()
        if "user_id" in vals:
            (users_before - self.sudo().user_id)._end_sessions()
            self.sudo().user_archived_along = False
            self._take_users_over(released=users_before)
        elif native_scope.RULE_FIELDS & vals.keys():
            self._apply_rules()
        moved.key_ids._shorten_to_policy()
        if "active" in vals and not Following.is_said_in(self.env):
            self._follow_active()
        if vals.keys() & {"active", *native_scope.RULE_FIELDS}:
            self._close_activities_of_fixed()
        return result

    def unlink(self):
        """Delete integrations: end their keys and archive, but keep, their integration users."""
        owners = self.sudo().with_context(active_test=False).owner_ids
        self.env["auth.integration.key"].sudo()._find_unrecorded()
        self.sudo().key_ids._end_live(self.env._("The integration was deleted"))
        users = self.sudo().user_id
        result = super().unlink()
        users._end_sessions()
        users.with_context(**FOLLOWING).action_archive()
        owners._remove_owner_group()
        return result

    def _create_integration_user(self, vals):
        """Create the internal user of a new integration: login = code, no password, few rights."""
        code = str(vals.get("code") or "").strip()
        if not code:
            raise UserError(self.env._(
                "Enter a code. It becomes the login of the integration user."
            ))
        users = self.env["res.users"].sudo().with_context(active_test=False)
        if users.search_count([("login", "=", code)], limit=1):
            raise UserError(
                self.env._(
                    "The login %(login)s is already taken. Select that user as the integration"
                    " user, or enter another code.",
                    login=code,
                )
            )
        user_vals = {
            "name": vals.get("name") or code,
            "login": code,
            "group_ids": [Command.set(self.env.ref("base.group_user").ids)],
            "notification_type": "email",
        }
        if company_id := vals.get("company_id"):
            user_vals |= {"company_id": company_id, "company_ids": [Command.set([company_id])]}
        return users.with_context(no_reset_password=True).create(user_vals)

    def _message_auto_subscribe_followers(self, updated_values, default_subtype_ids):
        """Override ``mail``, which would make the user in ``user_id`` a follower.

        Nobody reads the notifications of an integration user, except a thief of its key.
        """
        return []

    def _grant_owner_group(self):
        group = self.env.ref("auth_integration.auth_integration_group_owner").sudo()
        owners = self.sudo().with_context(active_test=False).owner_ids
        for owner in owners:
            if group not in owner.all_group_ids:
                owner.group_ids = [Command.link(group.id)]

    def _take_users_over(self, released=()):
        """Apply the rules of these integrations to existing keys and sessions of their users.

        The keys are recorded and shortened to the policy; the sessions end
        (:meth:`res.users._session_token_get_values`).

        :param released: users whose keys no longer belong to these integrations
        """
        users = self.sudo().user_id
        of_users = SQL("user_id IN %s", tuple({*users.ids, *(user.id for user in released)}))
        self.env["auth.integration.key"].sudo()._reconcile(of_users)
        users._end_sessions()
        self.sudo().key_ids._shorten_to_policy()

    def _apply_rules(self):
        """Make native keys fail closed under new rules, in the transaction that changes these."""
        keys = self.env["auth.integration.key"].sudo()
        keys._import_missing()
        keys._write_native_scopes(SQL("i.id IN %s", tuple(self.ids)))

    def _follow_active(self):
        """Archive and restore the integration user with its integration.

        Stock Odoo checks the user's own flag, so that calls are rejected even without this add-on.
        """
        for integration in self.sudo().with_context(**FOLLOWING):
            user, restoring = integration.user_id, integration.active
            if user.active == restoring:
                integration.user_archived_along = False
                continue
            # If archived on the user form, only users who may restore it there restore it here.
            if restoring and not integration.user_archived_along and not self._may_restore(user):
                continue
            user.active = restoring
            integration.user_archived_along = not restoring

    def _may_restore(self, user):
        """Return whether the current user may restore this user on the user form."""
        return self.env.su or user.with_env(self.env).has_access("write")

    # Actions ---------------------------------------------------------------------------------

    def action_claim_key(self):
        """Open the dialog that claims the most urgent new key."""
        self.ensure_one()
        rotation = self._rotations_to_claim()[:1]
        if not rotation:
            raise UserError(self.env._("There is no new key to claim."))
        return rotation.action_claim()

    def action_restore_user(self):
        """Unarchive the integration user, which is the fix for ``user_archived``.

        :raise AccessError: the current user may not restore it on the user form
        """
        self._check_may_operate()
        for integration in self.sudo():
            integration.user_id.with_env(self.env).action_unarchive()
            integration.message_post(
                body=self.env._("%(user)s restored the integration user.", user=self.env.user.name)
            )
        return True

    def action_view_keys(self):
        return self._action_view("auth_integration_key_action")

    def action_view_attempts(self):
        """Show the rejected attempts of the last days, with the filters of the form's counter."""
        return self._action_view(
            "auth_attempt_action",
            search_default_failures=1,
            search_default_no_diagnostics=1,
            search_default_last_week=1,
        )

    def action_view_rotations(self):
        """Show the open rotations, with the filter of the form's counter."""
        return self._action_view("auth_integration_rotation_action", search_default_open=1)

    def _action_view(self, xml_id, **context):
        self.ensure_one()
        self.check_access("read")
        action = self.env["ir.actions.act_window"]._for_xml_id(f"auth_integration.{xml_id}")
        # Omit the path of the menu's action: with it, a reload would lose the domain.
        return {key: value for key, value in action.items() if key != "path"} | {
            "domain": [("integration_id", "=", self.id)],
            "context": context,
        }
