from datetime import timedelta

from odoo import Command, api, fields, models
from odoo.exceptions import UserError

from ...models.mixins.fresh_identity import fresh_identity
from ...tools.moment import day_text
from ..show_secret import open_after, show_key_action, show_secret_action

KEEP, REPLACE = "keep", "replace"
MAX_SKIPPED = 5


class AuthIntegrationConvert(models.TransientModel):
    """Convert personal API keys of one or more users to integrations, and show new keys once."""

    _name = "auth.integration.convert"
    _description = "Convert to Integration"
    _inherit = ["auth.integration.dialog.mixin"]

    line_ids = fields.One2many("auth.integration.convert.line", "wizard_id", "Accounts")
    skipped = fields.Text(readonly=True)
    overlap_days = fields.Integer(compute="_compute_overlap_days")

    @api.model
    def _open(self, keys):
        """Return the action of this dialog for some keys, filled with proposals.

        :raise UserError: none of them can be converted
        """
        reasons = {key: key._conversion_blocking_reason() for key in keys}
        fit = keys.filtered(lambda key: not reasons[key])
        skipped = self._skipped_text([reason for reason in reasons.values() if reason])
        if not fit:
            raise UserError(skipped or self.env._("Select at least one API key."))
        dialog = self.create(
            {
                "skipped": skipped or False,
                "line_ids": [Command.create(values) for values in self._proposals(fit)],
            }
        )
        return dialog._get_records_action(
            name=self.env._("Convert to Integration"),
            target="new",
            context={"dialog_size": "extra-large"},
        )

    @api.model
    def _skipped_text(self, reasons):
        lines = reasons[:MAX_SKIPPED]
        if more := len(reasons) - len(lines):
            lines.append(self.env._("%(count)s more", count=more))
        return "\n".join(lines)

    def _compute_overlap_days(self):
        self.overlap_days = self.env["auth.integration"].sudo()._default_policy().overlap_days

    @api.model
    def _proposals(self, keys):
        """Yield values of the lines: one per account of systems, one per key of a person."""
        integrations, taken = self.env["auth.integration"], set()
        for user, of_user in keys.sorted("id").grouped(lambda key: key.sudo().user_id).items():
            if user.with_env(self.env)._is_account_of_systems():
                parts = [(KEEP, user.name, of_user)]
            else:
                parts = [(REPLACE, key.name or user.name, key) for key in of_user]
            for method, name, part in parts:
                code = integrations._free_code(name, taken)
                taken.add(code)
                yield {
                    "method": method,
                    "name": name,
                    "code": code,
                    "key_ids": [Command.set(part.ids)],
                    "owner_id": self._proposed_owner(user, method).id,
                    "group_ids": [Command.set(part._needed_groups().ids)],
                }

    @api.model
    def _proposed_owner(self, user, method):
        """Return the user whose key it was, if they can be an owner; else the current user."""
        fit = user.active and not user.share and user != self.env.ref("base.user_root")
        return user if method == REPLACE and fit else self.env.user

    @fresh_identity
    def action_convert(self):
        """Convert all lines or none, and show the new keys once."""
        self.ensure_one()
        self._check_accounts()
        integrations, secrets = self.env["auth.integration"], []
        for line in self.line_ids:
            integration, made = line._convert()
            integrations |= integration
            secrets += [(integration, secret) for secret in made]
        page = integrations._get_records_action(name=self.env._("Integrations"))
        if len(secrets) == 1:
            return show_key_action(*secrets[0], page=page)
        if secrets:
            text = "\n\n".join(self._secret_text(*made) for made in secrets)
            title = self.env._("API Keys Ready")
            action = show_secret_action(self.env, "show_keys", title, text, field="key_list")
            return open_after(action, page)
        return page

    def _secret_text(self, integration, secret):
        """Return a new key with its login, which differs from the login of the old key."""
        login = self.env._("Login: %s", integration.login)
        return f"{integration.name} ({secret[:8]}…)\n{login}\n{secret}"

    def _check_accounts(self):
        """Check that an account which is kept has no other line.

        Otherwise it would be kept and replaced, or its keys would be converted twice.

        :raise UserError: a user is kept and has another line
        """
        kept = [line.user_id for line in self.line_ids if line.method == KEEP]
        for user in kept:
            if len(self.line_ids.filtered(lambda line, user=user: line.user_id == user)) > 1:
                raise UserError(
                    self.env._(
                        "If the account %(user)s is kept, all of its keys belong to one"
                        " integration. Remove its other lines.",
                        user=user.name,
                    )
                )


class AuthIntegrationConvertLine(models.TransientModel):
    """One integration that the dialog creates: from an account, or from keys of a person."""

    _name = "auth.integration.convert.line"
    _description = "Integration to Create"
    _inherit = ["auth.integration.dialog.mixin", "auth.integration.free.text.mixin"]
    _free_texts = {"name": 200, "code": 200}
    _order = "id"

    wizard_id = fields.Many2one("auth.integration.convert", required=True, ondelete="cascade")
    key_ids = fields.Many2many("auth.integration.key", string="Keys", required=True, readonly=True)
    user_id = fields.Many2one("res.users", "Account", compute="_compute_user_id")
    source = fields.Text("Account and Keys", compute="_compute_source")
    method = fields.Selection(
        [(KEEP, "Keep account and keys"), (REPLACE, "New user and key")],
        "Conversion",
        required=True,
    )
    name = fields.Char("Integration", required=True)
    code = fields.Char(required=True)
    owner_id = fields.Many2one(
        "res.users", domain="[('share', '=', False), ('integration_ids', '=', False)]",
        required=True,
    )
    offered_group_ids = fields.Many2many("res.groups", compute="_compute_offered_group_ids")
    group_ids = fields.Many2many(
        "res.groups", string="Access Rights", domain="[('id', 'in', offered_group_ids)]",
        help="Suggested from the calls of the last 90 days. The new user is also an internal user.",
    )
    may_keep = fields.Boolean(compute="_compute_may_keep")
    note = fields.Text(compute="_compute_note")

    @api.depends("key_ids")
    def _compute_user_id(self):
        for line in self:
            line.user_id = line.key_ids.user_id[:1]

    @api.depends("key_ids", "method")
    def _compute_source(self):
        for line in self:
            keys = line._affected_keys()
            prefixes = ", ".join(f"{key.prefix}…" for key in keys)
            line.source = f"{line.user_id.login}\n{prefixes}"

    @api.depends("key_ids")
    def _compute_offered_group_ids(self):
        for line in self:
            user = line.user_id.sudo()
            line.offered_group_ids = user and user._offered_groups()

    @api.depends("key_ids")
    def _compute_may_keep(self):
        for line in self:
            user = line.user_id
            line.may_keep = user and not user._conversion_blocking_reason()

    @api.depends("key_ids", "method")
    @api.depends_context("lang", "tz")
    def _compute_note(self):
        for line in self:
            texts = []
            if line.user_id:
                is_kept = line.method == KEEP
                texts = line._notes_on_keeping() if is_kept else line._notes_on_replacing()
            line.note = "\n".join(texts) or False

    def _affected_keys(self):
        """Return the keys of this line; for an account that is kept, all its live keys."""
        if self.method != KEEP:
            return self.key_ids
        return self.key_ids.search(
            [("user_id", "=", self.user_id.id), ("is_live", "=", True)], order="id"
        )

    def _notes_on_keeping(self):
        """Return warnings about other uses of this account, which will no longer work."""
        user, texts = self.user_id.sudo(), []
        if user._uses_web_client():
            texts.append(
                self.env._("This account was used in a browser. This is no longer possible.")
            )
        if last := user._last_password_call():
            texts.append(
                self.env._(
                    "An external system signed in with the password on %(day)s. It will be"
                    " rejected.",
                    day=day_text(self.env, last),
                )
            )
        return texts

    def _notes_on_replacing(self):
        """Return notes on what an administrator must take care of."""
        texts = []
        if not self.user_id.active:
            texts.append(self.env._("The user is archived, so the old key is already rejected."))
        keys = self.key_ids.sudo()
        if not any(key._recent_uses() for key in keys):
            texts.append(self._note_on_uncounted(keys))
        elif not keys._needed_groups():
            texts.append(
                self.env._("Its calls need no access rights beyond those of every internal user.")
            )
        if soonest := self._ends_within_overlap(keys):
            policy = self.env["auth.integration"].sudo()._default_policy()
            texts.append(soonest._replacement_text(policy))
        return texts

    def _note_on_uncounted(self, keys):
        """Return why no access rights are suggested: never used, or not counted yet."""
        if any(keys.mapped("last_used_at")):
            return self.env._(
                "Its calls are not counted yet. Open this dialog again in a minute, or choose the"
                " access rights it needs."
            )
        return self.env._("It has not been used yet. Choose the access rights it needs.")

    def _ends_within_overlap(self, keys):
        """Return the first of these keys to expire, if it expires within an overlap from now."""
        days = self.env["auth.integration"].sudo()._default_policy().overlap_days
        latest = fields.Datetime.now() + timedelta(days=days)
        ending = keys.filtered(
            lambda key: key.is_live and key.effective_end and key.effective_end < latest
        )
        return ending.sorted("effective_end")[:1]

    def _convert(self):
        """Convert the keys of this line with the chosen method.

        :return: the integration, and the secrets of its new keys
        """
        self.ensure_one()
        integrations = self.env["auth.integration"]
        values = {
            "name": self.name,
            "code": self.code,
            "owner_ids": [Command.set(self.owner_id.ids)],
        }
        if self.method == KEEP:
            return integrations._convert_account(self.key_ids, values), []
        return integrations._convert_keys(self.key_ids, values, self.group_ids)
