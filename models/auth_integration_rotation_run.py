import logging
import time
from datetime import timedelta

from odoo import api, fields, models
from odoo.service.model import PG_CONCURRENCY_EXCEPTIONS_TO_RETRY
from odoo.tools import SQL

from ..tools.row_locks import wait_and_lock
from ..tools.secret_box import NoKeyError, secret_box
from .auth_integration_key import LIVE_STATES, UTC_NOW
from .auth_integration_rotation import CLAIM_ACTIVITY

_logger = logging.getLogger(__name__)

BATCH = 100  # records per transaction, where it locks no key that others wait for
SLOW = 2  # seconds for a batch
# How long before a key's end it is extended: the schedule may fail to run for that long.
EXTENSION_MARGIN = timedelta(days=1)


class AuthIntegrationRotation(models.Model):
    """What a run of the schedule does."""

    _inherit = "auth.integration.rotation"

    @api.model
    def _cron_rotate(self):
        """Bring every rotation to where it should be now; entry point of ``ir_cron_rotation``.

        Each step looks for what is to be done in the database as it is, so a run goes on where
        one before it died.  Work is committed in batches; a record that fails is logged, rolled
        back and left to the next run, and the others go on.
        """
        steps = [
            (self._keys_to_extend, self._extend, 1),
            (self._keys_to_confirm, self._confirm_late, 1),
            (self._keys_wrongly_retiring, self._take_retirement_back, 1),
            (self._unneeded_siblings, self._end_sibling, 1),
        ]
        self.env["auth.integration.key"]._reconcile()
        if self._is_copied_database():
            _logger.warning("This database is a copy: no key is rotated here")
        else:
            steps += [
                (self._due_keys, self._open_batch, BATCH),
                (self._secrets_of_old_keys, self._encrypt_again, 1),
                (self._rotations_to_deliver, self._deliver, BATCH),
                (self._rotations_to_announce, self._announce, BATCH),
                (self._rotations_with_stragglers, self._tell_of_stragglers, BATCH),
                (self._reused_keys, self._report_reuse, 1),
                (self._missing_activities, self._ask_owners, BATCH),
                (self._stale_activities, self._close_stale, BATCH),
                (self._people_to_notify, self._send_digest, 1),
            ]
        for find, act, size in steps:
            try:
                found = find()
            except Exception:
                self.env.cr.rollback()
                _logger.exception("%s failed; the other steps go on", find.__name__)
                continue
            if not self._work(found, act, size):
                return

    def _work(self, items, act, size):
        """Do one step for all its items, in batches with a commit each.

        What is quick goes on in larger batches, what is slow in smaller ones: a run can only be
        ended between two of them.

        :param size: of the largest batch
        :return: whether there is time for the next step
        """
        progress = self.env["ir.cron"]._commit_progress
        time_left = progress(remaining=len(items))
        now, done = 1, 0
        while done < len(items):
            if not time_left:
                return False
            started = time.monotonic()
            batch = items[done : done + now]
            self._try(act, batch)
            done += len(batch)
            quick = time.monotonic() - started < SLOW
            now = min(2 * now, size) if quick else max(now // 4, 1)
            time_left = progress(len(batch))
        return True

    def _try(self, act, batch):
        """Do one batch; should it fail, each of its items by itself, and pass over the culprit."""
        try:
            act(batch)
            self.env.flush_all()
        except Exception as error:
            self.env.cr.rollback()
            if len(batch) > 1:
                for item in batch:
                    self._try(act, [item])
                    # An item that fails must not undo those before it.
                    self._commit()
            elif isinstance(error, PG_CONCURRENCY_EXCEPTIONS_TO_RETRY):
                _logger.info("%s: another process is at %s", act.__name__, batch[0])
            else:
                _logger.exception("%s failed for %s", act.__name__, batch[0])

    @api.model
    def _ids_of(self, query):
        """First column of :meth:`_rows_of`."""
        return [row[0] for row in self._rows_of(query)]

    @api.model
    def _rows_of(self, query):
        """The rows of a query, with everything pending written first."""
        self.env.flush_all()
        return self.env.execute_query(query)

    # Deadline --------------------------------------------------------------------------------

    @api.model
    def _keys_to_extend(self):
        """Keys about to end that nothing has taken over, where the policy extends.

        One that ended because no run came in time is extended too, while its native row is
        there; one that somebody ended is not.
        """
        return self._ids_of(
            SQL(
                """
                SELECT k.id
                FROM auth_integration_key k
                JOIN auth_integration i ON i.id = k.integration_id AND i.active
                JOIN res_users u ON u.id = i.user_id AND u.active
                JOIN auth_integration_policy p ON p.id = i.policy_id
                JOIN res_users_apikeys n ON n.id = k.apikey_id AND n.key = k.hash
                WHERE p.on_deadline = 'extend'
                  AND (k.ended_at IS NULL OR k.end_kind = 'expired')
                  AND k.expires_at BETWEEN %(now)s - make_interval(days => p.overlap_days)
                                       AND %(now)s + %(margin)s
                  AND k.expires_at < COALESCE(k.original_expires_at, k.expires_at)
                                     + make_interval(days => p.max_extension_days)
                  AND (p.auto_rotate OR EXISTS (
                      SELECT FROM auth_integration_rotation r
                      WHERE r.old_key_id = k.id AND r.cancelled_at IS NULL))
                  AND NOT EXISTS (
                      SELECT FROM auth_integration_key newer
                      WHERE newer.replaces_id = k.id AND newer.first_used_at IS NOT NULL
                        AND newer.ended_at IS NULL)
                  AND NOT EXISTS (
                      SELECT FROM auth_integration_key older
                      WHERE older.id = k.replaces_id AND k.first_used_at IS NULL
                        AND older.ended_at IS NULL)
                ORDER BY k.expires_at, k.id
                """,
                now=UTC_NOW,
                margin=EXTENSION_MARGIN,
            )
        )

    def _extend(self, key_ids):
        """Move the end of one key, here and natively in one transaction, and escalate."""
        key = self.env["auth.integration.key"].browse(key_ids)
        wait_and_lock(key)
        policy = key.integration_id.policy_id
        now = fields.Datetime.now()
        latest = (key.original_expires_at or key.expires_at) + timedelta(
            days=policy.max_extension_days
        )
        step = timedelta(days=max(policy.overlap_days, 1))
        end = min(max(key.expires_at, now) + step, latest)
        key.write(
            {
                "expires_at": end,
                "original_expires_at": key.original_expires_at or key.expires_at,
                "ended_at": False,
                "end_kind": False,
            }
        )
        key._write_native_end()
        rotation = self.search([("old_key_id", "=", key.id), ("cancelled_at", "=", False)])
        rotation.postponed_until = False
        self._tell_about(
            key.integration_id,
            self.env._(
                "The API key %(prefix)s… was about to end and nothing has replaced it: it now"
                " ends on %(end)s UTC. The policy allows no later end than %(latest)s UTC;"
                " %(name)s then stops working.",
                prefix=key.prefix,
                end=fields.Datetime.to_string(end),
                latest=fields.Datetime.to_string(latest),
                name=key.integration_id.name,
            ),
        )

    # Repair ----------------------------------------------------------------------------------

    def _alive(self, alias):
        return SQL("%s IN %s", self.env["auth.integration.key"]._state_sql(alias), LIVE_STATES)

    @api.model
    def _keys_to_confirm(self):
        """New keys in use whose old key was never told."""
        return self._ids_of(
            SQL(
                """
                SELECT n.id FROM auth_integration_key n
                JOIN auth_integration_key k ON k.id = n.replaces_id
                WHERE n.first_used_at IS NOT NULL AND k.retire_at IS NULL AND k.ended_at IS NULL
                  AND %s AND %s
                ORDER BY n.first_used_at
                """,
                self._alive("n"),
                self._alive("k"),
            )
        )

    def _confirm_late(self, key_ids):
        key = self.env["auth.integration.key"].browse(key_ids)
        wait_and_lock(key)
        key._confirm_first_use(key.first_used_at)

    @api.model
    def _keys_wrongly_retiring(self):
        """Keys in their overlap whose replacement has ended: they are needed again."""
        return self._ids_of(
            SQL(
                """
                SELECT k.id FROM auth_integration_key k
                WHERE k.ended_at IS NULL AND k.retire_at IS NOT NULL AND %s
                  AND NOT EXISTS (
                      SELECT FROM auth_integration_key n
                      WHERE n.replaces_id = k.id AND n.first_used_at IS NOT NULL AND %s)
                """,
                self._alive("k"),
                self._alive("n"),
            )
        )

    def _take_retirement_back(self, key_ids):
        """Let a key live to its own end: what replaced it is no more."""
        key = self.env["auth.integration.key"].browse(key_ids)
        wait_and_lock(key)
        key.write({"retire_at": False, "replaced_by_id": False})
        key._write_native_end()
        rotation = self.search([("old_key_id", "=", key.id), ("cancelled_at", "=", False)])
        rotation.write(
            {
                "delivered_at": False,
                "announced_at": False,
                "stragglers_told_at": False,
                "new_key_id": False,
            }
        )
        self._tell_about(
            key.integration_id,
            self.env._(
                "The key that replaced %(prefix)s… has ended. %(prefix)s… works until %(end)s UTC"
                " and needs another replacement.",
                prefix=key.prefix,
                end=fields.Datetime.to_string(key.expires_at),
            ),
        )

    @api.model
    def _unneeded_siblings(self):
        """New keys never used although a sibling is: handed over while it was first used."""
        return self._ids_of(
            SQL(
                """
                SELECT n.id FROM auth_integration_key n
                JOIN auth_integration_key k ON k.id = n.replaces_id
                JOIN auth_integration_key used ON used.id = k.replaced_by_id
                WHERE n.ended_at IS NULL AND n.first_used_at IS NULL AND n.id != used.id
                  AND used.first_used_at IS NOT NULL AND %s AND %s
                """,
                self._alive("used"),
                self._alive("n"),
            )
        )

    def _end_sibling(self, key_ids):
        key = self.env["auth.integration.key"].browse(key_ids)
        wait_and_lock(key)
        key._end(
            "superseded",
            self.env._("Its sibling %s… was used", key.replaces_id.replaced_by_id.prefix),
        )

    # Opening ---------------------------------------------------------------------------------

    @api.model
    def _due_keys(self, among=None):
        """Keys whose ``rotate_after`` has passed, the first to end first.

        Where a rotation was cancelled, the key's next notice opens another.  A new key that was
        never used is not replaced as long as the old one lives.

        :param among: only these ids
        """
        policies = (
            self.env["auth.integration.policy"]
            .with_context(active_test=False)
            .search([("auto_rotate", "=", True)])
            .filtered(lambda policy: policy._is_in_window(fields.Datetime.now()))
        )
        if not policies:
            return []
        return self._ids_of(
            SQL(
                """
                SELECT k.id
                FROM auth_integration_key k
                JOIN auth_integration i ON i.id = k.integration_id AND i.active
                JOIN res_users u ON u.id = i.user_id AND u.active
                JOIN auth_integration_policy p ON p.id = i.policy_id
                LEFT JOIN auth_integration_key older ON older.id = k.replaces_id
                WHERE p.id IN %(policies)s AND k.ended_at IS NULL
                  AND k.expires_at <= %(now)s + make_interval(days => p.rotation_lead_days)
                  AND %(live)s
                  AND NOT (k.first_used_at IS NULL AND older.id IS NOT NULL
                           AND older.ended_at IS NULL)
                  AND NOT EXISTS (
                      SELECT FROM auth_integration_rotation r
                      WHERE r.old_key_id = k.id AND (
                          r.cancelled_at IS NULL
                          OR r.cancelled_at >= (
                              SELECT max(k.expires_at - make_interval(days => d::integer))
                              FROM unnest(string_to_array(p.notice_days, ',')) d
                              WHERE k.expires_at - make_interval(days => d::integer) <= %(now)s)))
                  AND %(among)s
                ORDER BY k.expires_at, k.id
                """,
                policies=tuple(policies.ids),
                now=UTC_NOW,
                live=self._alive("k"),
                among=SQL("k.id IN %s", tuple(among)) if among else SQL("TRUE"),
            )
        )

    def _open_batch(self, key_ids):
        """Open the rotations of keys that are still due: others may have opened some meanwhile."""
        if due := self._due_keys(key_ids):
            self._open_all(self.env["auth.integration.key"].browse(due))

    # Secrets -------------------------------------------------------------------------------------

    @api.model
    def _secrets_of_old_keys(self):
        """Integrations with a secret that is not encrypted with the server's newest key."""
        try:
            box = secret_box()
        except NoKeyError:
            return []
        stored = self._rows_of(
            SQL("SELECT id, totp_seed, webhook_secret FROM auth_integration"
                " WHERE totp_seed IS NOT NULL OR webhook_secret IS NOT NULL")
        )
        return [
            id_ for id_, *tokens in stored if not all(box.is_current(t) for t in tokens if t)
        ]

    def _encrypt_again(self, integration_ids):
        """Encrypt the secrets of one integration with the newest key."""
        integration = self.env["auth.integration"].browse(integration_ids)
        wait_and_lock(integration)
        for field, purpose in (("totp_seed", "totp"), ("webhook_secret", "webhook")):
            if integration[field]:
                secret = integration._decrypt(integration[field], purpose)
                integration[field] = integration._encrypt(secret, purpose)

    # Telling ---------------------------------------------------------------------------------

    @api.model
    def _rotations_to_announce(self):
        return self.search(
            [
                ("announced_at", "=", False),
                ("cancelled_at", "=", False),
                ("new_key_id.first_used_at", "!=", False),
                ("old_key_id.replaced_by_id", "!=", False),
            ],
            order="id",
        ).ids

    def _announce(self, rotation_ids):
        """Note on the integrations that the new key is in use."""
        rotations = self.browse(rotation_ids)
        wait_and_lock(rotations)
        for rotation in rotations:
            rotation._tell(
                self.env._(
                    "The new API key %(new)s… was first used on %(first)s UTC from %(address)s."
                    " The old key %(old)s… ends on %(end)s UTC.",
                    new=rotation.new_key_id.prefix,
                    first=fields.Datetime.to_string(rotation.confirmed_at),
                    address=rotation.new_key_id.address_ids.sorted("first_seen")[:1].address or "?",
                    old=rotation.old_key_id.prefix,
                    end=fields.Datetime.to_string(rotation.deadline),
                )
            )
        rotations.announced_at = fields.Datetime.now()

    @api.model
    def _reused_keys(self):
        self.env.flush_all()
        return self.env["auth.integration.key"]._reused_keys()

    def _report_reuse(self, key_ids):
        key = self.env["auth.integration.key"].browse(key_ids)
        wait_and_lock(key)
        key._report_reuse()

    @api.model
    def _claimable_sql(self):
        """Integrations with a rotation that waits for an owner."""
        return SQL(
            """
            SELECT r.integration_id, min(k.expires_at) AS expires_at
            FROM auth_integration_rotation r
            JOIN auth_integration_key k ON k.id = r.old_key_id
            WHERE r.cancelled_at IS NULL AND r.delivery IN %s
              AND (r.postponed_until IS NULL OR r.postponed_until <= %s) AND %s = 'due'
            GROUP BY r.integration_id
            """,
            self.env["auth.integration.delivery"]._codes("_asks_owners"),
            UTC_NOW,
            self._state_sql("r"),
        )

    @api.model
    def _claim_activities_sql(self):
        return SQL(
            "FROM mail_activity a WHERE a.active AND a.res_model = 'auth.integration'"
            " AND a.activity_type_id = %s",
            self.env.ref(CLAIM_ACTIVITY).id,
        )

    @api.model
    def _missing_activities(self):
        """Integrations that wait for an owner, and each owner not yet asked.

        :return: tuples of integration id, user id and the day the old key ends
        """
        self.env.flush_all()
        return self.env.execute_query(
            SQL(
                """
                SELECT due.integration_id, u.id, COALESCE(due.expires_at::date, %(now)s::date)
                FROM (%(due)s) due
                JOIN auth_integration i ON i.id = due.integration_id AND i.active
                JOIN auth_integration_owner_rel o ON o.integration_id = due.integration_id
                JOIN res_users u ON u.id = o.user_id AND u.active
                WHERE (due.integration_id, u.id) NOT IN (SELECT a.res_id, a.user_id %(asked)s
                                                         AND a.user_id IS NOT NULL)
                ORDER BY due.expires_at, due.integration_id, u.id
                """,
                due=self._claimable_sql(),
                asked=self._claim_activities_sql(),
                now=UTC_NOW,
            )
        )

    def _start_now(self):
        """Begin what a person wants now, without waiting for the next run or the window."""
        self.ensure_one()
        wait_and_lock(self)
        self.write(
            {
                "opened_by": self.opened_by or self.env.user,
                "postponed_until": False,
                "next_try_at": False,
            }
        )
        requests = [r for r in self._missing_activities() if r[0] == self.integration_id.id]
        if requests:
            self._ask_owners(requests, by_mail=True)

    def _ask_owners(self, requests, by_mail=False):
        """Ask owners to claim, each by an activity on the integration.

        :param requests: from :meth:`_missing_activities`
        :param by_mail: also send each of them a mail of his own; the day's digest does otherwise
        """
        activities = self.env["mail.activity"].with_context(
            mail_activity_quick_update=not by_mail
        )
        integrations = self.env["auth.integration"].browse([r[0] for r in requests])
        # Whoever asks of the same at the same time waits here, and then begins again.
        rotations = self.search(
            [
                ("integration_id", "in", integrations.ids),
                ("cancelled_at", "=", False),
                ("state", "=", "due"),
            ]
        )
        wait_and_lock(rotations)
        rotations.asked_at = fields.Datetime.now()
        names = {integration.id: integration.name for integration in integrations}
        activities.create(
            [
                {
                    "activity_type_id": self.env.ref(CLAIM_ACTIVITY).id,
                    "summary": self.env._("Claim the new API key of %s", names[integration_id]),
                    "automated": True,
                    "date_deadline": day,
                    "res_model_id": self.env["ir.model"]._get_id("auth.integration"),
                    "res_id": integration_id,
                    "user_id": user_id,
                }
                for integration_id, user_id, day in requests
            ]
        )

    @api.model
    def _stale_activities(self):
        """Requests to claim on integrations where nothing waits for an owner any more."""
        return self._ids_of(
            SQL(
                "SELECT a.id %s AND a.res_id NOT IN (SELECT due.integration_id FROM (%s) due)",
                self._claim_activities_sql(),
                self._claimable_sql(),
            )
        )

    def _close_stale(self, activity_ids):
        activities = self.env["mail.activity"].browse(activity_ids)
        wait_and_lock(activities)
        activities.action_feedback(
            feedback=self.env._("Nothing is left to claim")
        )

    # Notices ---------------------------------------------------------------------------------

    @api.model
    def _people_to_notify(self):
        return self.env["auth.integration.digest"]._people_to_notify()

    def _send_digest(self, user_ids):
        self.env["auth.integration.digest"]._send(self.env["res.users"].browse(user_ids))
