"""Everything that can happen to the keys of an integration, in any order, and the rule to keep.

The rule: an end only moves earlier. A key that was once seen as ended is never accepted again. An
end moves later only by three actions of users: extending, undoing a revocation, and revoking a new
key while no other one works.
"""

import itertools
from dataclasses import dataclass, field
from datetime import timedelta

from callers.clients import Json2, Line, accepted
from callers.rotating_system import HOME

SLACK = timedelta(seconds=2)  # dates may be rounded when written or read
WORKING = ("pending", "active")
LIVE = (*WORKING, "retiring")
ROTATION, RECONCILING = "auth_integration.ir_cron_rotation", "auth_integration.ir_cron_reconcile"
JOBS = (ROTATION, RECONCILING, "base.autovacuum_job")
numbers = itertools.count(1)

# Runs code as a user or a program would: a refusal is a result.
GUARDED = """
from odoo.exceptions import AccessError, UserError
integration = env["auth.integration"].with_context(active_test=False).browse(id_).exists()
key = env["auth.integration.key"].with_user(2).browse(key_id or [])
try:
    with cr.savepoint():
        {code}
        env.flush_all()
except (AccessError, UserError) as error:
    env.invalidate_all()
    result = {{"refused": str(error)}}
"""
OBSERVE = """
natives = env["res.users.apikeys"]
result = [
    [env["auth.integration.key"].browse(id_).state,
     bool(natives._check_credentials(scope="rpc", key=secret))]
    for id_, secret in keys
]
"""
FACTS = """
    SELECT k.id, u.active AND i.active IS NOT FALSE AS active,
           n.id IS NOT NULL AND (n.scope IS NULL OR n.scope = 'rpc')
               AND (n.expiration_date IS NULL OR n.expiration_date >= timezone('UTC', now()))
               AS native,
           EXISTS (SELECT FROM res_users_apikeys copy
                   WHERE copy.key = k.hash AND copy.id <> k.apikey_id
                     AND (copy.expiration_date IS NULL
                          OR copy.expiration_date >= timezone('UTC', now()))) AS copied,
           LEAST(k.expires_at, k.retire_at, n.expiration_date) AS until
    FROM auth_integration_key k
    LEFT JOIN res_users_apikeys n ON n.id = k.apikey_id AND n.key = k.hash
    LEFT JOIN res_users u ON u.id = k.user_id
    LEFT JOIN auth_integration i ON i.user_id = k.user_id
    WHERE k.id = ANY(%s)
"""
NATIVE_CHANGES = {
    "past": "UPDATE res_users_apikeys SET expiration_date = timezone('UTC', now())"
    " - interval '1 hour' WHERE index = %s",
    "earlier": "UPDATE res_users_apikeys SET expiration_date = LEAST(expiration_date,"
    " timezone('UTC', now()) + interval '1 day') WHERE index = %s",
    "later": "UPDATE res_users_apikeys SET expiration_date = timezone('UTC', now())"
    " + interval '300 days' WHERE index = %s",
    "never": "UPDATE res_users_apikeys SET expiration_date = NULL WHERE index = %s",
    "deleted": "DELETE FROM res_users_apikeys WHERE index = %s",
}
# Those that revive a key in Odoo's own table.
REVIVING = ("later", "never", "restored", "copied")
DATES = """
    SELECT format('UPDATE %%I SET %%s WHERE %%s', c.table_name, string_agg(
               format('%%1$I = %%1$I - interval %%2$L', c.column_name, %(hours)s || ' hours'),
               ', '),
               CASE c.table_name WHEN 'auth_integration_key_address'
                   THEN 'key_id IN (SELECT id FROM auth_integration_key WHERE user_id = %(user)s)'
                   WHEN 'auth_integration_rotation' THEN 'integration_id = %(integration)s'
                   ELSE 'user_id = %(user)s' END) AS statement
    FROM information_schema.columns c
    WHERE c.table_name IN ('auth_integration_key', 'auth_integration_key_address',
                           'auth_integration_rotation', 'res_users_apikeys')
      AND c.data_type LIKE 'timestamp%%'
    GROUP BY c.table_name
"""
CLEAR = """
    DELETE FROM mail_activity WHERE res_model = 'auth.integration';
    DELETE FROM auth_integration_digest;
    DELETE FROM auth_integration_rotation;
    DELETE FROM res_users_apikeys WHERE user_id = %(user)s;
    DELETE FROM auth_integration_key WHERE user_id = %(user)s OR integration_id IS NULL;
    UPDATE auth_integration SET active = FALSE WHERE user_id = %(user)s
"""


@dataclass
class Key:
    """A key, and what was observed of it.

    :ivar until: the earliest end that it ever had; None for no end
    :ivar born_until: the end with which it was created
    :ivar revoked: whether a user revoked it, which can be undone
    """

    id: int
    secret: str
    until: object = None
    born_until: object = None
    ended: bool = False
    revoked: bool = False
    compromised: bool = False
    native: dict = field(default_factory=dict)  # its native row, to restore it from


class World:
    """An integration with its keys and the possible actions; the rule is checked after each.

    :param policy: values of its policy
    """

    def __init__(self, server, **policy):
        self.server, self.keys, self.drifted, self.deleted = server, [], False, False
        self.name = f"ends{next(numbers)}"
        made = server.shell(
            """
            policy = env["auth.integration.policy"].create({"name": name, **values})
            integration = env["auth.integration"].create({
                "name": name, "code": name, "policy_id": policy.id, "owner_ids": [(4, 2)]})
            result = [integration.id, integration.user_id.id]
            """,
            name=self.name,
            values=policy,
        )
        self.id, self.uid = made

    def close(self):
        """Delete everything that the jobs of the next world would find."""
        self.server.sql(CLEAR, {"user": self.uid})

    # Actions ---------------------------------------------------------------------------------

    def issue(self, days=None):
        """Issue a new key with a given end, or with the policy's."""
        end = (
            "False"
            if days is None
            else f"fields.Datetime.now() + __import__('datetime').timedelta(days={days})"
        )
        self._add(
            self._do(f"from odoo import fields; result = integration.issue_key(expires_at={end})")
        )

    def use(self, index):
        """Make a call over HTTP."""
        key = self._key(index)
        before = self._facts()[key.id]
        client = Json2(self.server, key.secret, Line(self.server, source=HOME))
        answer = accepted(lambda: client.call("res.users", "context_get"))
        assert not (answer and key.ended), f"{self._name(key)} was accepted after its end"
        assert answer <= bool(before["active"] and before["native"]), "stock would have refused it"
        # Backdate the address, so that the integration may fetch a new key from it.
        self.server.sql(
            "UPDATE auth_integration_key_address SET first_seen = first_seen - interval '30 days'"
            " WHERE key_id = %s AND first_seen > timezone('UTC', now()) - interval '1 day'",
            [key.id],
        )
        self.check()

    def open_rotation(self, index):
        self._do("key.action_rotate_now()", self._key(index))

    def claim(self, index):
        """Claim the new key of an open rotation as an owner."""
        self._add(
            self._do(
                "rotation = env['auth.integration.rotation'].with_user(2).search("
                "[('old_key_id', '=', key.id), ('cancelled_at', '=', False)]);"
                " result = dict(zip(('key', 'record'), rotation._claim())) if rotation else None;"
                " result = result and {'key': result['key']}",
                self._key(index),
            )
        )

    def fetch(self, index):
        """Fetch the new key as the integration does, with its current key."""
        client = Json2(self.server, self._key(index).secret, Line(self.server, source=HOME))
        try:
            answer = client.call("auth.integration.key", "rotate")
        except Exception:
            answer = None  # the policy, the state or the address does not allow it
        self._add(answer)

    def replace(self, index):
        """Rotate by hand, up to the first use of the new key."""
        before = len(self.keys)
        self.open_rotation(index)
        self.claim(index)
        if len(self.keys) > before:
            self.use(before)

    def cancel_rotation(self, index):
        self._do(
            "env['auth.integration.rotation'].with_user(2).search([('old_key_id', '=', key.id),"
            " ('cancelled_at', '=', False)]).action_cancel()",
            self._key(index),
        )

    def revoke(self, index, compromised=False):
        key, before = self._key(index), self._observe()
        self._do(f"key.revoke('test', compromised={compromised})", key, check=False)
        self._allow_overlaps_taken_back(before)
        self.check()
        key.compromised |= compromised

    def revoke_all(self):
        self._do("integration.with_user(2).revoke_all_keys('test')")

    def undo_revocation(self, index):
        key = self._key(index)
        answer = self._do(
            "key._undo_revocation('test'); result = True",
            key,
            check=False,
        )
        if answer is True:
            assert key.revoked, f"{self._name(key)} came back although no revocation ended it"
            assert not key.compromised, f"{self._name(key)} came back although it leaked"
            key.ended = key.revoked = False
        self.check()

    def extend(self, index, days):
        """Extend a working key, as an integration administrator."""
        key = self._key(index)
        answer = self._do(
            "from datetime import timedelta;"
            f" key._extend(key.effective_end + timedelta(days={days}), 'test'); result = True",
            key,
            check=False,
        )
        if answer is True:
            assert not key.ended, f"{self._name(key)} was extended after its end"
            key.until += timedelta(days=days)
            key.born_until = max(key.born_until, key.until)
        self.check()

    def shorten_existing(self):
        """Shorten existing keys, with the button for a stricter policy."""
        self._do("integration.policy_id.with_user(2)._shorten_existing_keys()")

    def remove(self, index):
        """Remove a key as its user does on the preferences page."""
        key, before = self._key(index), self._observe()
        self._do("key.sudo().apikey_id.unlink()", key, check=False)
        self._allow_overlaps_taken_back(before)
        self.check()

    def change_policy(self, **values):
        self._do(f"integration.policy_id.write({values!r})")

    def archive(self, archived=True):
        self._do(f"integration.active = {not archived}")

    def archive_user(self, archived=True):
        self._do(f"integration.user_id.active = {not archived}")

    def change_user(self):
        """Give the integration another user, and then this one and its keys again."""
        self._do(
            "user = env['res.users'].with_context(no_reset_password=True).create("
            "{'name': 'other', 'login': f'other {id_} {cr.now()}'}); integration.user_id = user"
        )
        self.run(RECONCILING)
        self._do(f"integration.user_id = {self.uid}")

    def delete(self):
        """Delete the integration, then restore its user."""
        self._do("user = integration.user_id; integration.unlink(); user.active = True")
        self.deleted = True

    def run(self, job):
        """Run a scheduled job through its own record."""
        self.server.shell("env.ref(job).method_direct_trigger()", job=job)
        self.drifted = False
        self.check()

    def change_native(self, index, change):
        """Change Odoo's own table by SQL, as anyone with access to the database could."""
        key = self._key(index)
        rows = self.server.sql("SELECT * FROM res_users_apikeys WHERE index = %s", [key.secret[:8]])
        if rows:
            key.native = rows[0]
        if change in ("restored", "copied"):
            if change == "restored" and rows:
                return
            values = {n: v for n, v in key.native.items() if n != "id" or change == "restored"}
            names = ", ".join(f'"{name}"' for name in values)
            holders = ", ".join(["%s"] * len(values))
            self.server.sql(
                f"INSERT INTO res_users_apikeys ({names}) VALUES ({holders})",
                list(values.values()),
            )
        else:
            self.server.sql(NATIVE_CHANGES[change], [key.secret[:8]])
        if change in REVIVING:
            self.drifted = True
        self.check()

    def pass_time(self, hours):
        """Move all dates into the past."""
        values = {"hours": hours, "user": self.uid, "integration": self.id}
        for row in self.server.sql(DATES, values):
            self.server.sql(row["statement"])
        for key in self.keys:
            for name in ("until", "born_until"):
                if date := getattr(key, name):
                    setattr(key, name, date - timedelta(hours=hours))
            if key.native and key.native["expiration_date"]:
                key.native["expiration_date"] -= timedelta(hours=hours)
        self.check()

    # The rule --------------------------------------------------------------------------------

    def check(self):
        """Compare with all earlier observations, and store the new ones."""
        facts, seen = self._facts(), self._observe()
        for key in self.keys:
            if key.id not in facts:
                continue  # its record's retention period is over
            row, (state, verified) = facts[key.id], seen[key.id]
            name = self._name(key)
            ended = state not in LIVE or not row["native"] or (row["active"] and not verified)
            assert not (verified and not row["native"]), f"stock refuses {name}, and we do not"
            if not self.drifted:
                alive = row["native"] and row["active"]
                assert not alive or verified, f"stock accepts {name} ({state}), and we do not"
            if key.ended:
                assert not verified, f"{name} ({state}) is accepted after its end"
                assert ended, f"{name} is {state} again"
                natively = row["native"] or row["copied"]
                assert self.drifted or not natively, f"stock accepts {name} after its end"
            elif not ended:
                later = key.until and (row["until"] is None or row["until"] > key.until + SLACK)
                assert not later, f"the end of {name} moved from {key.until} to {row['until']}"
                key.until = min(filter(None, (key.until, row["until"])), default=None)
            if ended and not key.ended:
                key.ended, key.revoked = True, state == "revoked"

    def _allow_overlaps_taken_back(self, before):
        """Allow a revocation that left only keys in their overlap to take that overlap back.

        :param before: what was observed before the revocation
        """
        after = self._observe()
        left = [before[key.id][0] for key in self.keys if after[key.id][0] in LIVE]
        for key in self.keys:
            if not set(left) & set(WORKING) and before[key.id][0] == "retiring" and not key.ended:
                key.until = key.born_until

    # Helpers ---------------------------------------------------------------------------------

    def _key(self, index):
        return self.keys[index % len(self.keys)]

    def _name(self, key):
        return f"key {self.keys.index(key)}"

    def _do(self, code, key=None, check=True):
        """Run code about the integration or a key, and return its result."""
        if self.deleted and not key:
            return None
        answer = self.server.shell(
            GUARDED.format(code=code.replace("\n", "\n        ")),
            id_=self.id,
            key_id=key and key.id,
        )
        if check:
            self.check()
        return answer

    def _add(self, answer):
        if answer and "key" in answer:
            [row] = self.server.sql(
                "SELECT id, expires_at FROM auth_integration_key WHERE prefix = %s",
                [answer["key"][:8]],
            )
            key = Key(row["id"], answer["key"], born_until=row["expires_at"])
            [key.native] = self.server.sql(
                "SELECT * FROM res_users_apikeys WHERE index = %s", [key.secret[:8]]
            )
            self.keys.append(key)
        self.check()

    def _facts(self):
        ids = [key.id for key in self.keys]
        return {row["id"]: row for row in self.server.sql(FACTS, [ids])}

    def _observe(self):
        keys = [(key.id, key.secret) for key in self.keys]
        seen = self.server.shell(OBSERVE, keys=keys)
        return {key.id: found for key, found in zip(self.keys, seen, strict=True)}
