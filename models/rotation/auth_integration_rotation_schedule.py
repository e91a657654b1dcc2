import logging
import time

from odoo import api, models
from odoo.service.model import PG_CONCURRENCY_EXCEPTIONS_TO_RETRY
from odoo.tools import SQL

from ...tools.row_locks import wait_and_lock

_logger = logging.getLogger(__name__)

BATCH = 100  # records per transaction, for steps that lock no key that others wait for
SLOW = 0.3  # seconds for a batch


class AuthIntegrationRotation(models.Model):
    """The cron job that runs the schedule."""

    _inherit = "auth.integration.rotation"

    @api.model
    def _cron_rotate(self):
        """Bring every rotation up to date; entry point of ``ir_cron_rotation``.

        Each step searches the current database for work, so that a run continues where a previous
        one died. Work is committed in batches. A record that fails is logged, rolled back and left
        to the next run, while the others continue. Found records are checked again before they are
        processed, because other processes may have changed them.
        """
        steps = [
            (self._keys_to_confirm, self._confirm_late, 1),
            (self._unneeded_siblings, self._end_sibling, 1),
        ]
        integrations, companies = self.env["auth.integration"], self.env["res.company"]
        self.env["auth.integration.key"]._reconcile_apart()
        self._commit()  # the following steps must see it
        database = self.env["auth.integration.database"]
        database._refresh()
        if database._is_copy():
            _logger.warning("This database is a copy: no key is rotated here")
        else:
            steps += [
                (self._due_keys, self._open_batch, BATCH),
                (integrations._secrets_of_old_keys, integrations._encrypt_again, 1),
                (companies._secrets_of_old_keys, companies._encrypt_again, 1),
                (self._rotations_to_deliver, self._deliver, BATCH),
                (self._rotations_to_announce, self._announce, BATCH),
                (self._rotations_with_late_callers, self._notify_of_late_callers, BATCH),
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
            if not self._process(found, act, size):
                # Otherwise the rest would wait for the next minute.
                self.env.ref("auth_integration.ir_cron_rotation")._trigger()
                return

    def _process(self, items, act, size):
        """Run one step for all its items, in batches with a commit each.

        Batches grow while they are fast and shrink when they are slow, because a run can only be
        stopped between two of them.

        :param size: maximum size of a batch
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
            self._process_batch(act, batch)
            done += len(batch)
            quick = time.monotonic() - started < SLOW
            now = min(2 * now, size) if quick else max(now // 4, 1)
            time_left = progress(len(batch))
        return True

    def _process_batch(self, act, batch):
        """Run one batch; if it fails, run its items one by one and skip those that fail."""
        try:
            act(batch)
            self.env.flush_all()
        except Exception as error:
            self.env.cr.rollback()
            if len(batch) > 1:
                for item in batch:
                    self._process_batch(act, [item])
                    # An item that fails must not undo those before it.
                    self._commit()
            elif isinstance(error, PG_CONCURRENCY_EXCEPTIONS_TO_RETRY):
                _logger.info("%s: another process is at %s", act.__name__, batch[0])
            else:
                _logger.exception("%s failed for %s", act.__name__, batch[0])

    @api.model
    def _among(self, alias, ids):
        """Return SQL that restricts a query to some ids, if any are given."""
        return SQL("%s IN %s", SQL.identifier(alias, "id"), tuple(ids)) if ids else SQL("TRUE")

    @api.model
    def _ids_of(self, query):
        """Return the first column of :meth:`_rows_of`."""
        return [row[0] for row in self._rows_of(query)]

    @api.model
    def _rows_of(self, query):
        """Flush everything pending and return the rows of a query."""
        self.env.flush_all()
        return self.env.execute_query(query)

    # Steps of other models -------------------------------------------------------------------

    @api.model
    def _reused_keys(self):
        self.env.flush_all()
        return self.env["auth.integration.key"]._reused_keys()

    def _report_reuse(self, key_ids):
        key = self.env["auth.integration.key"].browse(key_ids)
        wait_and_lock(key)
        key._report_reuse()

    @api.model
    def _people_to_notify(self):
        return self.env["auth.integration.digest"]._people_to_notify()

    def _send_digest(self, user_ids):
        self.env["auth.integration.digest"]._send(self.env["res.users"].browse(user_ids))
