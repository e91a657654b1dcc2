"""From 19.0.1.2: ``auth.attempt.report`` replaces the totals of the log by half hour."""

from odoo import SUPERUSER_ID, api


def migrate(cr, version):
    """Drop the totals, and make ``ir_cron_attempt_rollup`` read the log again, at once.

    Until it has run, each view of the counters of attempts reads the whole log.
    """
    cr.execute("DROP TABLE IF EXISTS auth_attempt_total, auth_attempt_total_redo")
    job = api.Environment(cr, SUPERUSER_ID, {}).ref(
        "auth_integration.ir_cron_attempt_rollup", raise_if_not_found=False
    )
    if job:
        job._trigger()
