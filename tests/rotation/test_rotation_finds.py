import random
from datetime import timedelta
from unittest.mock import patch

from odoo import fields
from odoo.tests import tagged
from odoo.tools import SQL

from ...models.key.auth_integration_key import LIVE_STATES
from ..common import IntegrationCommon

DAYS = (-6, 0.1, 6, 6, 9, 40, None)
INTEGRATIONS, KEYS_OF_EACH = 80, 7


@tagged("post_install", "-at_install")
class TestRotationFinds(IntegrationCommon):
    """The schedule's queries by dates find the same as the state of each row."""

    def setUp(self):
        super().setUp()
        self.rotations = self.env["auth.integration.rotation"]
        self.keys = self.env["auth.integration.key"]
        self.now = fields.Datetime.now()

    def _some_day(self, dice):
        days = dice.choice(DAYS)
        return days and self.now + timedelta(days=days)

    def _insert(self, table, values):
        self.env.cr.execute(
            SQL(
                "INSERT INTO %s (%s) VALUES (%s) RETURNING id",
                SQL.identifier(table),
                SQL(", ").join(map(SQL.identifier, values)),
                SQL(", ").join(SQL("%s", value) for value in values.values()),
            )
        )
        return self.env.cr.fetchone()[0]

    def _make_anything(self):
        """Make integrations with keys and rotations in any mixture of dates, possible or not."""
        dice = random.Random(11)
        policies = self.env["auth.integration.policy"].create(
            [
                {"name": f"Policy {n}", "auto_rotate": n != 1,
                 "notice_days": ("30,7,0", "10,5", "40,20,10,0")[n]}
                for n in range(3)
            ]
        )
        for place in range(INTEGRATIONS):
            integration = self._create_integration(
                f"any_{place}", self.owner | dice.choice([self.owner, self.stranger]),
                policy_id=dice.choice(policies.ids),
            )
            keys = []
            for number in range(KEYS_OF_EACH):
                keys.append(self._make_key(dice, integration, keys, number))
            for key in dice.sample(keys, 5):
                self._make_rotation(dice, integration, key)
            if dice.random() < 0.3:
                integration.activity_schedule(
                    "auth_integration.mail_activity_type_claim", user_id=self.owner.id
                )
            if dice.random() < 0.1:
                integration.active = False
        self.env.invalidate_all()

    def _make_key(self, dice, integration, earlier, number):
        hashed, prefix = f"{integration.code}-{number}", f"{number:08d}"
        native = None
        if dice.random() < 0.95:
            native = self._insert(
                "res_users_apikeys",
                {
                    "name": "any", "user_id": integration.user_id.id,
                    "expiration_date": self._some_day(dice),
                    "key": hashed if dice.random() < 0.95 else f"another {number}",
                    "index": prefix if dice.random() < 0.95 else "another1",
                },
            )
        ended = dice.random() < 0.3
        old = dice.choice(earlier[:3]) if earlier and dice.random() < 0.7 else None
        key = self._insert(
            "auth_integration_key",
            {
                "name": "any", "user_id": integration.user_id.id, "apikey_id": native,
                "integration_id": integration.id, "login": integration.code,
                "hash": hashed, "prefix": prefix,
                "issued_at": self.now - timedelta(days=60),
                "replace_by": self._some_day(dice),
                "expires_at": self._some_day(dice),
                "retire_at": dice.choice([None, self._some_day(dice)]),
                "first_used_at": dice.choice([None, *[self.now - timedelta(days=7)] * 2]),
                "imported": dice.random() < 0.2,
                "replaces_id": old,
                "ended_at": self.now - timedelta(days=1) if ended else None,
                "end_kind": dice.choice(["expired", "revoked", "superseded"]) if ended else None,
            },
        )
        if old and dice.random() < 0.6:
            self.env.cr.execute(
                "UPDATE auth_integration_key SET replaced_by_id = %s WHERE id = %s", (key, old)
            )
        if dice.random() < 0.8:
            self._insert(
                "auth_integration_key_address",
                {"key_id": key, "address": "192.0.2.1", "use_count": 1,
                 "first_seen": self.now - timedelta(days=8), "last_seen": self.now},
            )
        return key

    def _make_rotation(self, dice, integration, key):
        self._insert(
            "auth_integration_rotation",
            {
                "old_key_id": key, "integration_id": integration.id,
                "delivery": dice.choice(["claim", "webhook"]),
                "opened_at": self.now - timedelta(days=9),
                "opened_by": dice.choice([None, self.owner.id]),
                "delivered_at": dice.choice([None, self.now]),
                "next_try_at": self._some_day(dice),
                "postponed_until": self._some_day(dice),
                "cancelled_at": dice.choice([None, None, self.now - timedelta(days=11)]),
            },
        )

    def _find_all(self):
        return {
            "due": self.rotations._due_keys(),
            "confirm": self.rotations._keys_to_confirm(),
            "siblings": self.rotations._unneeded_siblings(),
            "deliver": self.rotations._rotations_to_deliver(),
            "late_callers": self.rotations._rotations_with_late_callers(),
            "ask": self.rotations._missing_activities(),
            "stale": sorted(self.rotations._stale_activities()),
            "digest": self.env["auth.integration.digest"]._pending(),
            "people": self.env["auth.integration.digest"]._people_to_notify(),
        }

    def _find_by_states(self):
        """Find the same by the state of each row."""

        def is_live(keys, alias):
            return SQL("(%s IN %s)", keys._state_sql(alias), LIVE_STATES)

        def open_sql(rotations, states):
            return SQL(
                "FROM auth_integration_rotation r"
                " JOIN auth_integration_key old_key ON old_key.id = r.old_key_id"
                " WHERE r.cancelled_at IS NULL AND %s IN %s",
                rotations._state_sql("r"),
                states,
            )

        with (
            patch.object(type(self.keys), "_is_live_sql", is_live),
            patch.object(type(self.rotations), "_open_sql", open_sql),
        ):
            return self._find_all()

    def test_same_rows(self):
        self._make_anything()
        found, expected = self._find_all(), self._find_by_states()
        for name, rows in found.items():
            self.assertEqual(rows, expected[name], name)
            self.assertTrue(rows, f"{name}: nothing to compare")

    def test_live_is_a_state(self):
        self._make_anything()
        for key in self.keys.search([]):
            self.assertEqual(key.is_live, key.state in LIVE_STATES, key)

    def test_open_states(self):
        """The join finds each rotation in the state that the rotation itself has."""
        self._make_anything()
        for state in ("due", "delivering", "delivered"):
            rows = self.env.execute_query(
                SQL("SELECT r.id %s", self.rotations._open_sql((state,)))
            )
            expected = self.rotations.search(
                [("state", "=", state), ("cancelled_at", "=", False)]
            )
            self.assertTrue(rows, state)
            self.assertEqual({id_ for [id_] in rows}, set(expected.ids), state)
