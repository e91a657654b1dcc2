from unittest.mock import patch

from odoo import fields
from odoo.exceptions import AccessError
from odoo.tests import tagged
from psycopg2.errors import LockNotAvailable

from ...tools.access.operation_counts import MAX_OPERATIONS, OTHER, Counts, Place
from ...tools.key.usage_writer import UsageWriter
from ..common import IntegrationCommon

READ, CREATE = ("res.partner", "search_read"), ("res.partner", "create")
NOON = 1_772_622_000.0


@tagged("post_install", "-at_install")
class TestOperationCounts(IntegrationCommon):
    """The calls of a key are recorded exactly, in a limited number of rows."""

    def setUp(self):
        super().setUp()
        _secret, self.key = self._issue(self.integration)

    def _count(self, operation, uses=1, writes=0, refused=0, at=NOON):
        self.env.flush_all()
        counted = {operation: Counts(uses, writes, refused, at, at)}
        self.env["auth.integration.key"]._record_operations(self.key.id, counted)

    def _counted(self):
        return {
            (one.model, one.method): (one.use_count, one.write_count, one.refused_count)
            for one in self.key.operation_ids
        }

    def test_counts_add_up(self):
        self._count(READ, 3)
        self._count(CREATE, 2, 1, at=NOON + 60)
        self._count(CREATE, 0, 0, 4, at=NOON + 120)
        self.assertEqual(self._counted(), {READ: (3, 0, 0), CREATE: (2, 1, 4)})
        created = self.key.operation_ids.filtered(lambda one: one.method == "create")
        self.assertEqual(created.first_used_at, created.last_used_at)
        noon = fields.Datetime.to_datetime("2026-03-04 11:00:00")
        self.assertEqual(self.key.operations_since, noon)
        self.assertEqual(self.key.last_write_at, noon.replace(minute=1))
        self.assertEqual(self.key.operation_count, 2)

    def test_rows_are_bounded(self):
        """Whatever a key calls, operations above the limit share one row."""
        self.env["auth.integration.key"]._record_operations(
            self.key.id,
            {("res.partner", f"m{n}"): Counts(1, 0, 0, NOON, NOON) for n in range(MAX_OPERATIONS)},
        )
        self._count(READ, 5)
        self._count(CREATE, 2, 2)
        self._count(("res.partner", "m0"))
        self.assertEqual(len(self.key.operation_ids), MAX_OPERATIONS + 1)
        self.assertEqual(self._counted()[OTHER], (7, 2, 0))
        self.assertEqual(self._counted()["res.partner", "m0"], (2, 0, 0))

    def test_of_a_key_that_is_gone_nothing_is_written(self):
        self.env["auth.integration.key"]._record_operations(
            0, {READ: Counts(1, 0, 0, NOON, NOON)}
        )
        self.assertFalse(self.env["auth.integration.key.operation"].search([("key_id", "=", 0)]))

    def test_what_waits_is_written_by_the_thread(self):
        """The usage writer's thread writes what is buffered, and keeps what cannot be written."""
        writer = UsageWriter()
        place = Place(self.env.cr.dbname, self.key.id)
        writer.count(place, READ, Counts(1, 0, 0, NOON, NOON))
        self.assertFalse(self.key.operation_ids)
        self.env.flush_all()
        with (
            patch.object(UsageWriter, "_write", side_effect=LockNotAvailable),
            self.assertLogs("odoo.addons.auth_integration.tools.key.usage_writer"),
        ):
            writer.write_waiting()
        self.assertEqual(writer.waiting, 1)
        with self.enter_registry_test_mode():
            writer.write_waiting()
        self.assertEqual(self._counted(), {READ: (1, 0, 0)})
        self.assertEqual(writer.waiting, 0)

    def test_who_sees_them(self):
        self._count(READ)
        operations = self.key.operation_ids
        for user in (self.owner, self.manager):
            self.assertEqual(operations.with_user(user).mapped("use_count"), [1])
            with self.assertRaises(AccessError):
                operations.with_user(user).write({"allowed": True})
        self.assertFalse(operations.with_user(self.stranger).search([]) & operations)
        with self.assertRaises(AccessError):
            operations.with_user(self.stranger).mapped("use_count")
