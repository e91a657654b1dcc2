from datetime import timedelta
from time import time

from odoo import fields
from odoo.exceptions import AccessError, UserError
from odoo.tests import new_test_user, tagged

from ...tools.attempt.flood_limits import COLLAPSED
from ...tools.key.usage_writer import Batch, SuccessfulUse
from ..common import IntegrationCommon

DAY = 24 * 3600


@tagged("post_install", "-at_install")
class TestFindingAccess(IntegrationCommon):
    """Keys with more access than they use, and systems on protocols that Odoo will remove."""

    def setUp(self):
        super().setUp()
        self.now = fields.Datetime.now()
        _secret, self.key = self._issue(self.integration)

    def _found(self, user=None, **values):
        self.env.flush_all()
        self.env.invalidate_all()
        if not {"key_id", "user_id"} & values.keys():  # there may be demo data
            values["integration_id"] = self.integration.id
        domain = [(name, "=", value) for name, value in values.items()]
        return self.env["auth.integration.finding"].with_user(user or self.manager).search(domain)

    def _used(self, days=0, channel="xmlrpc", agent="erp/1", user=None, key=None):
        user = user or self.integration.user_id
        key = self.key if key is None else key
        use = SuccessfulUse(
            dbname=self.env.cr.dbname, channel=channel, auth_type=None, login=user.login,
            user_id=user.id, integration_id=None, attribution=None, key_id=key.id if key else None,
            remote_addr="192.0.2.1", user_agent=agent,
        )
        self.env.flush_all()
        at = time() - days * DAY
        self.env["auth.attempt"]._write_use(Batch(use, 1, at, at))

    # access_unused

    def _counted(self, days=31, written=None, operations=9):
        self._move(
            self.key, operations_since=self.now - timedelta(days=days), last_write_at=written,
            operation_count=operations, last_used_at=self.now,
        )

    def test_a_key_that_only_reads(self):
        self._counted()
        finding = self._found(code="access_unused", key_id=self.key.id)
        self.assertIn("but has only read data since", finding.message)
        self.assertEqual(self.integration.health, "ok", "it is for information")
        self.assertIn(finding, self._found(self.owner))
        self.assertEqual(finding.action_change_access()["res_model"], "auth.integration.access")
        self.key.set_access("read_only", reason="x")
        self.assertFalse(self._found(code="access_unused", key_id=self.key.id))

    def test_a_key_that_calls_few_operations(self):
        self._counted(written=self.now, operations=5)
        finding = self._found(code="access_unused", key_id=self.key.id)
        self.assertIn("but has called only 5 operations since", finding.message)
        self._counted(written=self.now, operations=6)
        self.assertFalse(self._found(code="access_unused", key_id=self.key.id))

    def test_a_key_that_is_not_known_for_long(self):
        for values in ({"days": 29}, {"operations": None, "written": self.now}):
            self._counted(**values)
            self.assertFalse(self._found(code="access_unused", key_id=self.key.id))
        self._counted()
        self._move(self.key, last_used_at=self.now - timedelta(days=31))
        self.assertFalse(self._found(code="access_unused", key_id=self.key.id))

    def test_a_list_changed_by_an_update(self):
        self.key.set_access("listed", operations=[["res.users", "read"]], reason="x")
        self.assertFalse(self._found(code="access_narrowed", key_id=self.key.id))
        self._move(self.key, access_narrowed_at=self.now)
        finding = self._found(self.owner, code="access_narrowed", key_id=self.key.id)
        self.assertIn("had called", finding.message)
        self.assertEqual(finding.fix, "change_access")
        self.key.set_access(operations=[["res.users", "context_get"]], reason="x")
        self.assertFalse(self._found(code="access_narrowed", key_id=self.key.id))

    def test_an_administrator_cannot_be_limited(self):
        self._counted()
        self.integration.user_id.group_ids += self.env.ref("base.group_erp_manager")
        self.assertFalse(self._found(code="access_unused", key_id=self.key.id))

    # rpc_sunset

    def test_an_integration_on_an_old_protocol(self):
        self._used(days=3, agent="erp/1")
        self._used(channel="jsonrpc", agent=None)
        finding = self._found(self.owner, integration_id=self.integration.id, code="rpc_sunset")
        self.assertRegex(
            finding.message,
            r"^Shop still uses XML-RPC or JSON-RPC, which Odoo 22 removes: an unnamed system"
            r" \(last call on .+\) and erp/1 \(last call on .+\)\.$",
        )
        self.assertFalse(self._found(code="rpc_sunset_ready"))

    def test_a_person_on_an_old_protocol(self):
        """With a key or a password; managers see it."""
        person = new_test_user(self.env, "person")
        self._used(user=person, key=False)
        finding = self._found(code="rpc_sunset", user_id=person.id)
        self.assertFalse(finding.integration_id)
        self.assertTrue(finding.message.startswith("person still uses"))
        self.assertNotIn("connection sheet", finding.remedy, "that has an integration only")
        self.assertFalse(self._found(self.owner, code="rpc_sunset", user_id=person.id))
        person.active = False
        self.assertFalse(self._found(code="rpc_sunset", user_id=person.id))

    def test_new_protocols_are_none(self):
        for channel in ("json2", "http", "session", "web"):
            self._used(channel=channel)
        self._used(agent="auth-integration-doctor/1.0")  # doctor.py tries every protocol
        self.assertFalse(self._found(code="rpc_sunset"))

    def test_programs_are_bounded(self):
        for number in range(25):
            self._used(agent=f"erp/{number}")
        self._used(agent="erp/3")
        self.env.cr.execute(
            "SELECT user_agent FROM auth_integration_rpc_use WHERE user_id = %s",
            [self.integration.user_id.id],
        )
        agents = {agent for (agent,) in self.env.cr.fetchall()}
        self.assertEqual(agents, {f"erp/{number}" for number in range(20)} | {COLLAPSED})
        self.assertIn("and 18 more systems", self._found(code="rpc_sunset").message)

    def test_the_old_protocols_are_closed_when_they_are_no_longer_used(self):
        self._used(days=31)
        self.assertFalse(self._found(code="rpc_sunset_ready"), "nothing else has been used yet")
        self._used(channel="json2")
        self.assertFalse(self._found(code="rpc_sunset"))
        finding = self._found(code="rpc_sunset_ready", integration_id=self.integration.id)
        with self.assertRaises(AccessError):
            finding.with_user(self.owner).action_close_old_protocols()
        finding.action_close_old_protocols()
        self.assertEqual(self.integration.allowed_channels, "json2,http")
        self.assertFalse(self._found(code="rpc_sunset_ready"))

    def test_the_others_stay_as_they_were(self):
        self._used(days=31)
        self._used(channel="json2")
        self.integration.allowed_channels = "json2,xmlrpc"
        self._found(code="rpc_sunset_ready").action_close_old_protocols()
        self.assertEqual(self.integration.allowed_channels, "json2")
        self.integration.allowed_channels = "xmlrpc"
        with self.assertRaises(UserError):
            self._found(code="rpc_sunset_ready").action_close_old_protocols()

    def test_what_is_in_use_is_not_closed(self):
        self._used()
        finding = self._found(code="rpc_sunset")
        with self.assertRaises(UserError):
            finding.action_close_old_protocols()

    def test_what_is_long_gone_is_forgotten(self):
        self._used(days=401, agent="old/1")
        self._used(days=399, agent="new/1")
        self.assertEqual(self.env["auth.attempt"]._gc_rpc_uses()[0], 1)
        self.assertEqual(self.env["auth.attempt"]._gc_rpc_uses(), (0, 0))
