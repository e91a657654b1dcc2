import logging
from datetime import timedelta

from odoo import api, fields, models
from odoo.tools import SQL

from ...tools import server_config
from ...tools.attempt.redaction import escape
from ...tools.monitoring import event_file
from ...tools.monitoring.export_position import Position

_logger = logging.getLogger(__name__)

OPTION = "event_log"
CRON = "auth_integration.ir_cron_event_log"
BATCH = 1000
INTERVAL = timedelta(minutes=1)
# The first run writes the events of this period before it.
FIRST_LOOK = timedelta(days=1)


class AuthAttemptEventLog(models.AbstractModel):
    """Write the events of :meth:`auth.attempt.export` to a file on the server, one per line.

    The position is kept in the database and moved after the lines are on the disk: if a run is
    killed in between, the next one writes them again. The server that runs the job writes to its
    own file.
    """

    _name = "auth.attempt.event.log"
    _description = "Event Log File"

    def init(self):
        self.env.cr.execute(
            """
            CREATE TABLE IF NOT EXISTS auth_attempt_event_log (
                id integer PRIMARY KEY CHECK (id = 1),
                position varchar,
                written_at timestamp,
                error varchar
            );
            INSERT INTO auth_attempt_event_log (id) VALUES (1) ON CONFLICT DO NOTHING;
            """
        )
        return super().init()

    @api.model
    def _cron_write(self):
        """Write the events since the last run; entry point of ``ir_cron_event_log``."""
        path = server_config.option(OPTION)
        if not path:
            return
        progress = self.env["ir.cron"]._commit_progress
        progress(remaining=1)
        while self._write_batch(path):
            if not progress(1, remaining=1):
                return
        self.env.ref(CRON)._trigger(fields.Datetime.now() + INTERVAL)
        progress(1, remaining=0)

    def _write_batch(self, path):
        """Write the next events to the file and move the position, in this transaction.

        :return: whether there may be more
        """
        rows = self.env.execute_query(
            SQL("SELECT position, error FROM auth_attempt_event_log FOR UPDATE SKIP LOCKED")
        )
        if not rows:
            return False  # another process is writing
        [(text, error)] = rows
        start = Position(new_since=fields.Datetime.now() - FIRST_LOOK)
        position = Position.load(text) if text else start
        events, position = self.env["auth.attempt"].sudo()._export(position, BATCH)
        try:
            # Also without events, so that an unwritable file is detected before there are any.
            event_file.append(path, events)
        except OSError as failure:
            self._set_error(failure, path)
            return False
        if error:
            _logger.info("The event log %s is written again", escape(path))
        self.env.cr.execute(
            SQL(
                "UPDATE auth_attempt_event_log SET position = %s, error = NULL, written_at = %s",
                position.dump(),
                fields.Datetime.now(),
            )
        )
        return len(events) == BATCH

    def _set_error(self, failure, path):
        """Record for the finding that the file cannot be written; new events wait."""
        _logger.warning(
            "The event log %s cannot be written: %s. Events are kept and written later.",
            escape(path),
            escape(failure.strerror or str(failure)),
        )
        self.env.cr.execute(
            SQL("UPDATE auth_attempt_event_log SET error = %s", type(failure).__name__)
        )
