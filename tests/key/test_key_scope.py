"""Keys with rules fail closed: their native scope, after everything that changes it."""

from unittest.mock import patch

from odoo.addons.base.models.res_users import ResUsersApikeys as StockApikeys
from odoo.fields import Command
from odoo.tests import tagged
from psycopg2.errors import ReadOnlySqlTransaction

from ...tools.attempt import request_state
from ...tools.key import native_scope
from ..common import IntegrationCommon

RESTRICTED = native_scope.RESTRICTED
NETWORKS = {"allowed_networks": "192.0.2.0/24"}


@tagged("post_install", "-at_install")
class TestKeyScope(IntegrationCommon):
    def setUp(self):
        super().setUp()
        self.secret, self.key = self._issue(self.integration)

    def _scope(self, key=None):
        """Return the native scope of a key."""
        self.env.flush_all()
        self.env.cr.execute(
            "SELECT scope FROM res_users_apikeys WHERE id = %s", [(key or self.key).apikey_id.id]
        )
        return self.env.cr.fetchone()[0]

    def _set_scope(self, scope):
        self.env.cr.execute(
            "UPDATE res_users_apikeys SET scope = %s WHERE id = %s",
            [scope, self.key.apikey_id.id],
        )

    def _by_stock(self, secret, scope="rpc"):
        """Verify a key as stock Odoo does without the add-on's approval."""
        self.env.flush_all()
        return StockApikeys._check_credentials(
            self.env["res.users.apikeys"], scope=scope, key=secret
        )

    def test_keys_are_issued_for_rpc(self):
        """Routes of a later version cannot be used with a key that was made for RPC."""
        self.assertEqual([self._scope(), self.key.scope], ["rpc", "rpc"])
        self.assertEqual(self._by_stock(self.secret), self.integration.user_id.id)
        self.assertEqual(self._check(self.secret), self.integration.user_id.id)
        self.assertFalse(self._check(self.secret, scope="odoo.plugin.outlook"))

    def test_rules_restrict_and_lifting_them_restores(self):
        """Networks or channels, also as check boxes, restrict it; without any it is free."""
        for rules, without in (
            (NETWORKS, {"allowed_networks": False}),
            ({"allowed_channels": "json2"}, {"allowed_channels": ""}),
            ({"allowed_channel_json2": True}, {"allowed_channel_json2": False}),
        ):
            self.integration.write(rules)
            self.assertEqual(self._scope(), RESTRICTED, rules)
            self.assertEqual(self.key.scope, "rpc")
            self.assertFalse(self._by_stock(self.secret))
            # This check is not over HTTP, so no rule forbids it.
            self.assertEqual(self._check(self.secret), self.integration.user_id.id)
            self.integration.write(without)
            self.assertEqual(self._scope(), "rpc", without)
        self.integration.write({**NETWORKS, "allowed_channels": "json2"})
        self.integration.allowed_networks = False
        self.assertEqual(self._scope(), RESTRICTED)

    def test_what_a_key_was_good_for_it_is_good_for_again(self):
        """An older key without a scope keeps none, and one with another scope keeps that."""
        for scope in (None, "odoo.plugin.outlook"):
            self._set_scope(scope)
            self.key.sudo().scope = scope or False
            self.integration.write(NETWORKS)
            self.assertEqual(self._scope(), RESTRICTED)
            for asked in ("rpc", "odoo.plugin.outlook"):
                accepted = self._check(self.secret, scope=asked)
                self.assertEqual(bool(accepted), scope in (None, asked), (scope, asked))
            self.integration.allowed_networks = False
            self.assertEqual(self._scope(), scope)

    def test_no_scope_opens_a_restricted_key(self):
        """Newer builds let the caller choose the scope to verify, which does not help."""
        self.integration.write(NETWORKS)
        self.assertFalse(self._check(self.secret, scope=RESTRICTED))

    def test_new_keys_have_the_rules_that_are_there(self):
        """Issued, rotated, made by other code, or claimed: restricted from the beginning."""
        self.integration.write(NETWORKS)
        _secret, issued = self._issue(self.integration)
        generated = self.env["res.users.apikeys"].with_user(self.integration.user_id).sudo()
        secret = generated._generate("rpc", "by other code", "2026-12-24 00:00:00")
        made = self.env["auth.integration.key"].search([("prefix", "=", secret[:8])])
        self.key.action_rotate_now()
        rotation = self.env["auth.integration.rotation"].search([("old_key_id", "=", self.key.id)])
        _secret, claimed = rotation._claim()
        for key in (issued, made, claimed):
            self.assertEqual([self._scope(key), key.scope], [RESTRICTED, "rpc"])

    def test_a_key_is_not_to_be_had_without_its_rules(self):
        """If the add-on cannot record the rules, the key is not made."""
        self.integration.write(NETWORKS)
        keys = self.env["res.users.apikeys"].with_user(self.integration.user_id).sudo()
        with (
            patch.object(type(self.key), "_record_generated", side_effect=ValueError),
            self.assertRaises(ValueError),
        ):
            keys._generate("rpc", "by other code", "2026-12-24 00:00:00")

    def test_take_over_and_release(self):
        """A person's key gets the rules when the person becomes an integration user."""
        person = self.env["res.users"].create({"name": "Pat", "login": "pat"})
        keys = self.env["res.users.apikeys"].with_user(person).sudo()
        secret = keys._generate(None, "personal", "2026-12-24 00:00:00")
        key = self.env["auth.integration.key"].search([("prefix", "=", secret[:8])])
        self.assertIsNone(self._scope(key))
        taken = self._create_integration("taken", self.owner, user_id=person.id, **NETWORKS)
        self.assertEqual(self._scope(key), RESTRICTED)
        other = self.env["res.users"].create({"name": "Oz", "login": "oz"})
        taken.user_id = other
        self.assertIsNone(self._scope(key))

    def test_undo_of_a_revocation(self):
        """A key that works again has the current rules, not those of the time of its revocation."""
        self.key.revoke("by mistake")
        self.integration.write(NETWORKS)
        self.key.with_user(self.manager)._undo_revocation("a mistake")
        self.assertEqual([self._scope(), self.key.scope], [RESTRICTED, "rpc"])

    def test_drift_is_repaired_both_ways(self):
        """The job updates the native rows after rules or scopes were changed by SQL."""
        self.env.cr.execute(
            "UPDATE auth_integration SET allowed_channels = 'json2' WHERE id = %s",
            [self.integration.id],
        )
        self.env["auth.integration.key"]._reconcile()
        self.assertEqual(self._scope(), RESTRICTED)
        self._set_scope(None)
        self.env["auth.integration.key"]._reconcile()
        self.assertEqual([self._scope(), self.key.scope], [RESTRICTED, "rpc"])
        self.env.cr.execute(
            "UPDATE auth_integration SET allowed_channels = NULL WHERE id = %s",
            [self.integration.id],
        )
        self.env["auth.integration.key"]._reconcile()
        self.assertEqual(self._scope(), "rpc")
        self._set_scope("odoo.plugin.outlook")  # it was narrowed by SQL
        self.env["auth.integration.key"]._reconcile()
        self.assertEqual(
            [self._scope(), self.key.scope], ["odoo.plugin.outlook", "odoo.plugin.outlook"]
        )
        self.assertEqual(self.env["auth.integration.key"]._reconcile(), 0)

    def test_a_scope_whose_record_is_lost_stays_closed(self):
        """As after an uninstallation: the original scope of the key is unknown."""
        self.integration.write(NETWORKS)
        self.key.sudo().unlink()
        for _turn in range(2):
            self.env["auth.integration.key"]._reconcile()
            self.assertFalse(self._check(self.secret))
        self.integration.allowed_networks = False
        self.assertFalse(self._check(self.secret))
        self.assertFalse(self._by_stock(self.secret))

    def test_stock_accepts_what_we_vouch_for_and_nothing_else(self):
        """Another module between stock and the add-on sees the scope that was requested."""
        self.integration.write(NETWORKS)
        other, _key = self._issue(self.integration)
        with request_state.vouching_for(self.env.cr.dbname, "rpc", self.secret):
            self.assertEqual(self._by_stock(self.secret), self.integration.user_id.id)
            self.assertFalse(self._by_stock(other))
            self.assertFalse(self._by_stock(self.secret, scope="odoo.plugin.outlook"))
        self.assertFalse(self._by_stock(self.secret))

    def test_an_error_of_others_is_theirs(self):
        """If another module between stock and the add-on fails, it is not called again."""
        natives = type(self.env["res.users.apikeys"])
        error = TypeError("theirs")
        with (
            patch.object(natives, "_is_only_core_below", return_value=False),
            patch.object(StockApikeys, "_check_credentials", side_effect=error) as stock,
            self.assertNoLogs("odoo.addons.auth_integration.tools.fallback"),
            self.assertRaises(TypeError) as raised,
        ):
            self._check(self.secret)
        self.assertIs(raised.exception, error)
        self.assertEqual(stock.call_count, 1)

    def test_a_replica_alone_decides_nothing(self):
        """If the add-on fails, before or after other modules were called, the primary is asked."""
        natives = type(self.env["res.users.apikeys"])
        for name in ("_authorize_secret", "_narrowed"):
            with (
                self.subTest(name),
                patch.object(natives, "_is_only_core_below", return_value=False),
                patch.object(natives, name, side_effect=ZeroDivisionError),
                patch.object(type(self.env.cr), "readonly", True),
                self.assertLogs("odoo.addons.auth_integration.tools.fallback", "ERROR"),
                self.assertRaises(ReadOnlySqlTransaction),
            ):
                self._check(self.secret)

    def test_the_hooks_asleep(self):
        """With a schema older than the code, keys with rules are refused; a retry is possible."""
        self.integration.write(NETWORKS)
        free, _key = self._issue(self.foreign)
        self.patch(self.env.registry, "auth_integration_ready", False)
        with self.assertRaises(native_scope.KeyRulesUnreadable):
            self._check(self.secret)
        self.assertEqual(self._check(free), self.foreign.user_id.id)
        self.assertFalse(self._check("0" * 40))

    def test_changed_prefix_reads_as_revoked(self):
        """Stock finds a key by its first characters; if they change, it finds the key no more."""
        self.assertTrue(self._check(self.secret))
        self.env.cr.execute(
            "UPDATE res_users_apikeys SET index = 'ffffffff' WHERE id = %s",
            [self.key.apikey_id.id],
        )
        self.assertFalse(self._check(self.secret))
        self.assertEqual(self.key.state, "revoked")

    def test_removal_of_the_addon_is_announced(self):
        """The dialog before names exactly those integrations whose keys will be rejected."""
        module = self.env.ref("base.module_auth_integration")
        wizard = self.env["base.module.uninstall"].create({"module_ids": [Command.set(module.ids)]})
        self.assertFalse(wizard.auth_integration_warning)
        self.integration.write(NETWORKS)
        wizard.invalidate_recordset()
        self.assertIn("Shop", wizard.auth_integration_warning)
        self.assertNotIn("Warehouse", wizard.auth_integration_warning)
