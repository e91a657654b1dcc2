"""From 19.0.1.0: change data that an update keeps, as administrators may have changed it."""

from odoo import SUPERUSER_ID, api
from odoo.tools import SQL


def migrate(cr, version):
    """Give the scheduled job, notices and followers the values of a new installation."""
    env = api.Environment(cr, SUPERUSER_ID, {})
    job = env.ref("auth_integration.ir_cron_reconcile", raise_if_not_found=False)
    if job and job.code.strip() == "model._reconcile()":
        # It works in separate transactions, which wait for calls, and records its progress.
        job.code = "model._cron_reconcile()"
    # Texts that were accepted as days although they made every query of notices fail.
    cr.execute(
        SQL(
            """
            UPDATE auth_integration_policy
            SET notice_days = btrim(regexp_replace(
                regexp_replace(notice_days, '[^0-9,]', '', 'g'), ',+', ',', 'g'), ',')
            WHERE notice_days ~ '[^0-9, ]|, *,|, *$|^ *,'
            """
        )
    )
    # Integration users followed their integrations: a stolen key could read messages there.
    cr.execute(
        SQL(
            """
            DELETE FROM mail_followers f USING auth_integration i, res_users u
            WHERE f.res_model = 'auth.integration' AND f.res_id = i.id
              AND u.id = i.user_id AND f.partner_id = u.partner_id
            """
        )
    )
