import logging
from datetime import datetime, timezone

from odoo import api, fields, models
from odoo.tools import SQL

from ...tools.access.access_rules import operation_name
from ...tools.access.operation_counts import admitted

_logger = logging.getLogger(__name__)

MAX_LOGGED = 10


class AuthIntegrationKey(models.Model):
    """Count the calls of a key by operation; see :mod:`operations`.

    A few totals are stored on the key for the findings, which read all keys at once.
    """

    _inherit = "auth.integration.key"

    operations_since = fields.Datetime(
        "Calls Counted Since", readonly=True, help="The first call whose operation was counted."
    )
    last_write_at = fields.Datetime(
        "Last Write", readonly=True, help="The last counted call that changed data."
    )
    operation_count = fields.Integer(
        "Operations Called", readonly=True, help="Number of different operations counted."
    )

    @api.model
    def _record_operations(self, key_id, counted):
        """Add the calls of a key to its counts.

        :param dict counted: by operation, its
            :class:`~odoo.addons.auth_integration.tools.access.operation_counts.Counts`
        """
        attempts = self.env["auth.attempt"]
        locked = attempts._query_first(
            SQL(
                "SELECT prefix, access <> 'full' AND access_mode = 'report'"
                " FROM auth_integration_key WHERE id = %s FOR NO KEY UPDATE",
                key_id,
            )
        )
        if not locked:
            return
        known = dict.fromkeys(
            attempts._query(
                SQL(
                    "SELECT model, method FROM auth_integration_key_operation WHERE key_id = %s",
                    key_id,
                )
            )
        )
        merged = {}
        for operation, counts in counted.items():
            operation = admitted(operation, known)
            known[operation] = None
            merged[operation] = merged[operation].merged(counts) if operation in merged else counts
        self._upsert_operations(key_id, sorted(merged.items()))
        self._update_operation_facts(key_id, merged.values())
        [(prefix, is_report)] = locked
        if is_report:
            _log_reported(prefix, merged)
        self.invalidate_model()

    def _upsert_operations(self, key_id, counted):
        rows = [
            (
                model, method, counts.uses, counts.writes, counts.refused,
                *(_moments(counts) if counts.uses else (None, None)),
            )
            for (model, method), counts in counted
        ]
        self.env["auth.attempt"]._query(
            SQL(
                """
                INSERT INTO auth_integration_key_operation AS known (key_id, model, method,
                    use_count, write_count, refused_count, first_used_at, last_used_at)
                SELECT %s, * FROM unnest(%s::varchar[], %s::varchar[], %s::integer[], %s::integer[],
                    %s::integer[], %s::timestamp[], %s::timestamp[])
                ON CONFLICT (key_id, model, method) DO UPDATE
                SET use_count = COALESCE(known.use_count, 0) + EXCLUDED.use_count,
                    write_count = COALESCE(known.write_count, 0) + EXCLUDED.write_count,
                    refused_count = COALESCE(known.refused_count, 0) + EXCLUDED.refused_count,
                    first_used_at = LEAST(known.first_used_at, EXCLUDED.first_used_at),
                    last_used_at = GREATEST(known.last_used_at, EXCLUDED.last_used_at)
                """,
                key_id,
                *map(list, zip(*rows, strict=True)),
            )
        )
        self.env["auth.integration.key.operation"].invalidate_model()

    def _update_operation_facts(self, key_id, counted):
        written = [_moments(counts)[1] for counts in counted if counts.writes]
        self.env["auth.attempt"]._query(
            SQL(
                """
                UPDATE auth_integration_key
                SET operations_since = LEAST(operations_since, %(first)s),
                    last_write_at = GREATEST(last_write_at, %(written)s::timestamp),
                    operation_count = (SELECT count(*) FROM auth_integration_key_operation
                                       WHERE key_id = %(key)s AND use_count > 0)
                WHERE id = %(key)s
                """,
                key=key_id,
                first=min(_moments(counts)[0] for counts in counted),
                written=max(written, default=None),
            )
        )


def _log_reported(prefix, counted):
    """Log the operations for which a key in report mode would have been rejected."""
    found = [
        f"{operation_name(operation)} ({counts.refused})"
        for operation, counts in sorted(counted.items())
        if counts.refused
    ]
    if found:
        more = f" and {len(found) - MAX_LOGGED} more" if len(found) > MAX_LOGGED else ""
        _logger.info(
            "API key %s… would be rejected if its access were enforced: %s%s",
            prefix, ", ".join(found[:MAX_LOGGED]), more,
        )


def _moments(counts):
    """Return the times of the first and last call as naive UTC datetimes for the database."""
    return [
        datetime.fromtimestamp(seconds, timezone.utc).replace(tzinfo=None, microsecond=0)
        for seconds in (counts.first, counts.last)
    ]
