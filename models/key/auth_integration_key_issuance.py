from datetime import timedelta
from typing import NamedTuple

from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.tools import SQL

from ...tools.access.access_rules import FULL
from ...tools.key import key_state
from ...tools.key.identity_cache import IdentityCache
from ...tools.key.key_state import Dates
from ...tools.moment import moment_text
from ..mixins.fresh_identity import fresh_identity, require_unlimited_key
from .auth_integration_key import UTC_NOW

_RECORD_GENERATED = """
    INSERT INTO auth_integration_key (
        apikey_id, name, user_id, login, integration_id, scope, prefix, hash, digest,
        issued_at, issued_by, replace_by, expires_at, use_count, replaces_id,
        obtained_with_id, access, access_mode, allowed_networks,
        create_uid, create_date, write_uid, write_date
    )
    SELECT n.id, n.name, n.user_id, u.login, i.id, n.scope, n.index, n.key,
           made.digest, n.create_date, %(uid)s, made.replace_by, n.expiration_date,
           0, made.replaces_id,
           CASE WHEN made.user_id = %(caller)s THEN %(calling_key)s::integer END,
           COALESCE(old.access, made.access, p.default_access, 'full'),
           COALESCE(old.access_mode, 'enforce'), old.allowed_networks,
           %(uid)s, %(now)s, %(uid)s, %(now)s
    FROM unnest(
        %(users)s::integer[], %(prefixes)s::varchar[], %(digests)s::varchar[],
        %(replaced)s::integer[], %(replace_by)s::timestamp[], %(access)s::varchar[]
    ) AS made (user_id, prefix, digest, replaces_id, replace_by, access)
    JOIN LATERAL (
        SELECT * FROM res_users_apikeys
        WHERE user_id = made.user_id AND index = made.prefix
        ORDER BY id DESC LIMIT 1
    ) n ON TRUE
    JOIN res_users u ON u.id = n.user_id
    LEFT JOIN auth_integration i ON i.user_id = n.user_id
    LEFT JOIN auth_integration_policy p ON p.id = i.policy_id
    LEFT JOIN auth_integration_key old ON old.id = made.replaces_id
    RETURNING id, digest
"""


class KeyRequest(NamedTuple):
    """A key that :meth:`AuthIntegrationKey._issue_all` is to create.

    Its access is copied from the key that it replaces; otherwise it is ``access``, or by default
    that of the policy.
    """

    integration: models.BaseModel
    name: str
    expires_at: object = False
    replaces_id: int | None = None
    access: str | None = None
    operations: frozenset = frozenset()


class AuthIntegration(models.Model):
    """Issue keys, from the screens of an integration and over RPC."""

    _inherit = "auth.integration"

    @fresh_identity
    def issue_key(self, name=False, expires_at=False, access=False, operations=False):
        """Issue an API key for this integration.

        :param str name: what the key is for; defaults to the integration's name
        :param expires_at: final end of the key (UTC), at most the policy's lifetime ahead; by
            default the key gets both dates from the policy
        :param str access: ``full``, ``read_only`` or ``listed``; defaults to the policy's
        :param operations: all that a ``listed`` key may call, or what a ``read_only`` one may call
            beside the reading methods, as a list of ``[model, method]``
        :return: ``{"key", "prefix", "expires_at"}``; the key is shown only this once and never
            stored
        :rtype: dict
        :raise AccessError: see ``_check_may_operate`` of the integration
        :raise UserError: the end is in the past or beyond the policy's lifetime, the description is
            too long, the access or an operation does not exist, or the integration has reached its
            maximum number of keys
        """
        return self._issue_key(name, expires_at, access, operations)

    def _issue_key(self, name=False, expires_at=False, access=False, operations=False):
        self.ensure_one()
        self._check_may_operate()
        name = self._clean_text("name", name) if name else self.name
        if not self.env.su:
            self.sudo()._reserve_place_for_key()
        keys = self.env["auth.integration.key"]
        secret, key = keys._issue(
            self.sudo(), name, expires_at, *keys._access_at_issue(access, operations)
        )
        self.sudo().message_post(
            body=self.env._(
                "%(user)s created the API key %(prefix)s…, to be replaced by %(replace_by)s. It"
                " expires on %(end)s. Access: %(access)s.",
                access=key._access_text(),
                user=self.env.user.name,
                prefix=key.prefix,
                replace_by=key._shared_moment_text(key.replace_by),
                end=key._shared_moment_text(key.expires_at),
            )
        )
        self._close_activities_of_fixed()
        return {
            "key": secret,
            "prefix": key.prefix,
            "expires_at": fields.Datetime.to_string(key.expires_at),
        }

    def action_issue_key(self):
        """Open the wizard that issues a key and shows it once."""
        return self._action_issue_key()

    def _action_issue_key(self, like_key=None):
        """Open the wizard that issues a key; see :meth:`action_issue_key`.

        :param like_key: a key that the new one stands in for: if it belongs to this integration,
            the wizard proposes its description and access
        """
        self.ensure_one()
        self._check_may_operate()
        is_own = bool(like_key) and like_key.sudo().integration_id == self
        return self.env["auth.integration.issue"]._get_records_action(
            name=self.env._("Create Key"),
            target="new",
            context={
                "default_integration_id": self.id,
                "default_like_key_id": like_key.id if is_own else False,
            },
        )


class AuthIntegrationKey(models.Model):
    """Create a key: its native row, its dates and its record together."""

    _inherit = "auth.integration.key"

    @api.model
    def _issue(self, integration, name, expires_at=False, access=None, operations=frozenset()):
        """Issue a native key for the integration user of an integration and record it.

        Like :meth:`res.users.apikeys.description.make_key`, which can make a key for the current
        user only.

        :param integration: one ``auth.integration``; the caller must check access rights
        :return: the secret, and the record of the key
        :rtype: tuple[str, AuthIntegrationKey]
        """
        integration.ensure_one()
        request = KeyRequest(integration, name, expires_at, access=access, operations=operations)
        [(secret, key)] = self._issue_all([request])
        return secret, key

    @api.model
    def _issue_all(self, wanted):
        """Issue several keys as :meth:`_issue` does, and record them in one statement.

        :param list[KeyRequest] wanted: the keys
        :return: for each, in the same order, the secret and the record
        """
        natives, dates = [], []
        for one in wanted:
            require_unlimited_key(
                self.env, but_key=one.replaces_id, keys_of=one.integration.user_id.id
            )
            self._check_may_have_keys(one.integration)
            if not one.replaces_id:
                by_policy = one.integration.policy_id.default_access
                self._check_can_be_limited(
                    one.access or by_policy or FULL, one.integration.user_id
                )
            dates.append(self._dates_at_issue(one.integration, self._parse_end(one.expires_at)))
            natives.append((one.integration.user_id, one.name, dates[-1].expires_at))
        secrets = self.env["res.users.apikeys"].sudo()._generate_all(natives)
        made = [
            (one.integration.user_id.id, secret, one.replaces_id, replace_by, one.access)
            for one, secret, (replace_by, _end) in zip(wanted, secrets, dates, strict=True)
        ]
        ids = self._record_generated(made)
        for id_, one in zip(ids, wanted, strict=True):
            self.browse(id_)._allow_operations(one.operations)
        return [(secret, self.browse(id_)) for secret, id_ in zip(secrets, ids, strict=True)]

    @api.model
    def _check_may_have_keys(self, integration):
        if not integration.active or not integration.user_id.active:
            raise UserError(
                self.env._(
                    "The integration user of %(name)s is archived. Restore the user first.",
                    name=integration.name,
                )
            )

    @api.model
    def _parse_end(self, expires_at):
        """Return the end of a key that a caller gave, as naive UTC datetime or False.

        :raise UserError: not a date
        """
        if not expires_at:
            return False
        try:
            return fields.Datetime.to_datetime(expires_at)
        except (TypeError, ValueError) as error:
            raise UserError(
                self.env._("Enter the expiration date as YYYY-MM-DD HH:MM:SS in UTC, such as"
                           " 2030-01-31 00:00:00.")
            ) from error

    @api.model
    def _allowed_dates(self, user, expires_at):
        """Return the dates of a new key of ``user`` for which the end ``expires_at`` was requested.

        :rtype: Dates
        :raise UserError: in the past, or beyond the policy of the user's integration
        """
        return self._dates_at_issue(user._integration(), self._parse_end(expires_at))

    @api.model
    def _dates_at_issue(self, integration, expires_at):
        """Return the dates of a new key, with or without integration; see :meth:`_allowed_dates`.

        A chosen end is final: the key does not get the policy's extension.
        """
        now = fields.Datetime.now()
        if expires_at and expires_at <= now:
            raise UserError(self.env._("The expiration date must be in the future."))
        if not integration:
            return Dates(None, expires_at or None)
        policy = integration.policy_id
        by_policy = key_state.issued(now, policy._lifetime())
        if not expires_at:
            return by_policy
        longest = by_policy.replace_by
        if expires_at > longest + timedelta(days=1):
            raise UserError(
                self.env._(
                    "Keys of %(name)s are valid for at most %(days)s days (policy %(policy)s)."
                    " Choose a date up to %(end)s.",
                    name=integration.name,
                    days=policy.max_age_days,
                    policy=policy.name,
                    end=moment_text(self.env, longest),
                )
            )
        chosen = min(expires_at, longest)
        return Dates(chosen, chosen)

    @api.model
    def _record_generated(self, made):
        """Record native keys that were just made.

        :param made: for each key the id of its user, the secret, the id of the key record that it
            is to replace or None, its ``replace_by``, and its access or None for the policy's
        :return: the ids of the records, in the same order
        :rtype: list[int]
        """
        if not made:
            return []
        self.flush_model()
        self.env["auth.integration.policy"].flush_model(["default_access"])
        user_ids, secrets, replaced, replace_by, access = zip(*made, strict=True)
        calling_key, caller = self._hold_calling_key(user_ids)
        digests = [IdentityCache.digest(secret) for secret in secrets]
        rows = self.env.execute_query(
            SQL(
                _RECORD_GENERATED,
                users=list(user_ids),
                prefixes=[secret[:8] for secret in secrets],
                digests=digests,
                replaced=list(replaced),
                replace_by=list(replace_by),
                access=list(access),
                calling_key=calling_key,
                caller=caller,
                uid=self.env.uid,
                now=UTC_NOW,
            )
        )
        self.invalidate_model()
        ids = {digest: id_ for id_, digest in rows}
        self._collide_with_issuing(list(user_ids))
        self.browse(ids.values())._inherit_operations()
        self.browse(ids.values())._write_native_scope()
        return [ids[digest] for digest in digests]
