"""From 19.0.1.2: give every key the two dates that are now set when a key is issued."""

from odoo import SUPERUSER_ID, api
from odoo.tools import SQL, convert
from odoo.tools.sql import column_exists

DIGEST_TEMPLATE = "mail_template_digest"


def migrate(cr, version):
    """Date the keys, flag those that the old jobs extended, and keep the notices that were sent."""
    if column_exists(cr, "auth_integration_key", "original_expires_at"):  # not updated before
        _date_keys(cr, _dates_sql())
        _prolong_native_rows(cr)
        _flag_revived_keys(cr)
    # A notice of the old version counted down to what is now the Replace By date.
    cr.execute(
        "UPDATE auth_integration_digest_line SET replace_by = ends_at WHERE replace_by IS NULL"
    )
    _renew_digest_template(cr)


def _dates_sql():
    """Return SQL of the data of each live key, with the end that it was issued with.

    An end counts as set by the policy if it is the policy's lifetime after the issue, a day more or
    less, or if it is the lifetime after the key came under the policy, minus the hours by which
    imported keys were spread.  All other ends were chosen by somebody, here or in Odoo's own table.
    """
    spread = """make_interval(hours => (k.id::bigint * 37 % GREATEST(1, 24 * LEAST(
        p.max_age_days / 3, p.max_age_days - p.rotation_lead_days - 1)))::integer)"""
    lifetime = "make_interval(days => p.max_age_days)"
    near = "BETWEEN {0} - interval '1 day' AND {0} + interval '1 day'"
    at_import = [near.format(f"{since}.create_date + {lifetime} - {spread}") for since in "ki"]
    return f"""
        SELECT known.*, known.native_end IS NULL AND (
                   known.first_end {near.format('known.issued_at + known.lifetime')}
                   OR known.was_spread) AS by_policy
        FROM (
            SELECT k.id, k.integration_id, k.issued_at, k.expires_at, p.on_deadline,
                   p.max_extension_days, {lifetime} AS lifetime,
                   CASE WHEN n.expiration_date < LEAST(k.expires_at, k.retire_at)
                        THEN n.expiration_date END AS native_end,
                   COALESCE(k.original_expires_at, k.expires_at) AS first_end,
                   COALESCE(k.original_expires_at, k.expires_at) {at_import[0]}
                       OR COALESCE(k.original_expires_at, k.expires_at) {at_import[1]}
                       AS was_spread
            FROM auth_integration_key k
            JOIN auth_integration i ON i.id = k.integration_id
            JOIN auth_integration_policy p ON p.id = i.policy_id
            JOIN res_users_apikeys n ON n.id = k.apikey_id AND n.key = k.hash
            WHERE k.ended_at IS NULL AND k.expires_at IS NOT NULL AND k.replace_by IS NULL
              AND LEAST(k.expires_at, k.retire_at, n.expiration_date)
                  > now() AT TIME ZONE 'UTC'
        ) known
    """


def _date_keys(cr, dates):
    """Set the two dates of each key, and flag keys that work past their chosen end.

    A key of the policy gets its extension now. A chosen end stays; if the old jobs had moved it,
    the key works until the end that they announced, no longer, and is flagged.
    """
    cr.execute(
        f"""
        UPDATE auth_integration_key k
        SET replace_by = LEAST(dates.first_end, dates.native_end),
            managed_since = CASE WHEN dates.by_policy THEN dates.first_end - dates.lifetime END,
            expires_at = CASE
                WHEN dates.by_policy AND dates.on_deadline = 'extend' THEN GREATEST(
                    dates.expires_at,
                    dates.first_end + make_interval(days => dates.max_extension_days))
                ELSE LEAST(dates.expires_at, dates.native_end)
            END,
            outlived_end = NOT dates.by_policy AND dates.expires_at > dates.first_end
        FROM ({dates}) dates
        WHERE dates.id = k.id
        """
    )


def _prolong_native_rows(cr):
    """Write the later ends of keys of the policy to Odoo's own table."""
    cr.execute(
        """
        UPDATE res_users_apikeys n SET expiration_date = LEAST(k.expires_at, k.retire_at)
        FROM auth_integration_key k
        WHERE k.ended_at IS NULL AND k.managed_since IS NOT NULL
          AND n.id = k.apikey_id AND n.key = k.hash
          AND n.expiration_date < LEAST(k.expires_at, k.retire_at)
        """
    )


def _flag_revived_keys(cr):
    """Flag keys whose overlap the old job took back although a later key of the chain works."""
    cr.execute(
        """
        UPDATE auth_integration_key k SET outlived_end = TRUE
        WHERE k.ended_at IS NULL AND k.retire_at IS NULL AND EXISTS (
            SELECT FROM auth_integration_key middle
            JOIN auth_integration_key last ON last.replaces_id = middle.id
            WHERE middle.replaces_id = k.id AND middle.ended_at IS NOT NULL
              AND middle.first_used_at IS NOT NULL
              AND last.first_used_at IS NOT NULL AND last.ended_at IS NULL)
        """
    )


def _renew_digest_template(cr):
    """Reload the text of the digest, unless an administrator has changed it."""
    cr.execute(
        SQL(
            """
            SELECT FROM mail_template t JOIN ir_model_data d ON d.res_id = t.id
            WHERE d.module = 'auth_integration' AND d.model = 'mail.template' AND d.name = %s
              AND t.write_date - t.create_date < interval '1 second'
            """,
            DIGEST_TEMPLATE,
        )
    )
    if cr.rowcount:
        env = api.Environment(cr, SUPERUSER_ID, {})
        convert.convert_file(
            env, "auth_integration", "data/mail_template_digest.xml", {}, mode="init", noupdate=True
        )
