from odoo import fields
from odoo.tests import TransactionCase, new_test_user, tagged


@tagged("post_install", "-at_install")
class TestAttemptLinks(TransactionCase):
    """The log has no foreign keys: its screens still work when the records of a row are deleted."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.manager = new_test_user(
            cls.env, "mona", "base.group_user,auth_integration.auth_integration_group_manager"
        )
        cls.gone = new_test_user(cls.env, "gone")
        cls.stays = new_test_user(cls.env, "stays")
        cls.numbers = [cls.gone.id, cls.stays.id]
        for user in cls.gone + cls.stays:
            cls._attempt(user)
        cls.gone.unlink()
        cls.env.invalidate_all()
        cls.attempts = cls.env["auth.attempt"].with_user(cls.manager)

    @classmethod
    def _attempt(cls, user):
        now = fields.Datetime.now()
        empty = ("auth_type", "integration_id", "attribution", "key_id", "user_agent", "reference")
        values = dict.fromkeys(empty) | {
            "outcome": "failure",
            "cause": "password_wrong",
            "channel": "xmlrpc",
            "login": user.login,
            "user_id": user.id,
            "remote_addr": "192.0.2.1",
            "database": cls.env.cr.dbname,
        }
        cls.env["auth.attempt"]._upsert(values, 1, now, now)

    def _search(self):
        return self.attempts.web_search_read(
            [("user_id", "in", self.numbers)],
            {"login": {}, "user_id": {"fields": {"display_name": {}}}},
            order="login",
        )["records"]

    def test_list_shows_row_of_deleted_user(self):
        gone, stays = self._search()
        self.assertEqual((gone["login"], gone["user_id"]), ("gone", False))
        self.assertEqual(stays["user_id"]["id"], self.stays.id)

    def test_groups_show_deleted_user(self):
        groups = self.attempts.formatted_read_group(
            [("user_id", "in", self.numbers)], ["user_id"], ["count:sum"]
        )
        names = {group["user_id"][0]: group["user_id"][1] for group in groups}
        self.assertEqual(names[self.numbers[0]], f"Deleted (number {self.numbers[0]})")
        self.assertEqual(names[self.stays.id], self.stays.display_name)

    def test_number_of_deleted_user_is_still_found(self):
        self.assertEqual(self.attempts.search_count([("user_id", "=", self.numbers[0])]), 1)
