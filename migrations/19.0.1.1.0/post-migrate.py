"""From 19.0.1.0: what an update leaves as it is, because administrators may have changed it."""

from odoo import SUPERUSER_ID, api
from odoo.tools import SQL


def migrate(cr, version):
    """Bring the scheduled job and the followers to where a new installation has them."""
    env = api.Environment(cr, SUPERUSER_ID, {})
    job = env.ref("auth_integration.ir_cron_reconcile", raise_if_not_found=False)
    if job and job.code.strip() == "model._reconcile()":
        # In a transaction that waits for calls, and with its progress noted.
        job.code = "model._cron_reconcile()"
    # What was accepted as a number of days, and ended every query for the notices of all policies.
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
    # Technical users followed their integrations: a stolen key could read what people write there.
    cr.execute(
        SQL(
            """
            DELETE FROM mail_followers f USING auth_integration i, res_users u
            WHERE f.res_model = 'auth.integration' AND f.res_id = i.id
              AND u.id = i.user_id AND f.partner_id = u.partner_id
            """
        )
    )
