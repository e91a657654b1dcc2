"""From 19.0.1.2: totals of the log by half hour, which ``auth.attempt.report`` replaces."""


def migrate(cr, version):
    """Drop them; the first run of ``ir_cron_attempt_rollup`` reads the log again."""
    cr.execute("DROP TABLE IF EXISTS auth_attempt_total, auth_attempt_total_redo")
