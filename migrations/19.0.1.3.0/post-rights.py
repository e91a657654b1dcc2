"""From 19.0.1.2: narrow rules that are unchanged, and note users archived with integrations."""

from odoo import SUPERUSER_ID, api

# External ID: the domain before and after.
NARROWED_RULES = {
    "auth_integration_key_rule_user": (
        "[('user_id', '=', user.id)]",
        "[('user_id', '=', user.id), ('integration_id', '=', False)]",
    ),
    "auth_integration_key_address_rule_user": (
        "[('key_id.user_id', '=', user.id)]",
        "[('key_id.user_id', '=', user.id), ('key_id.integration_id', '=', False)]",
    ),
}


def migrate(cr, version):
    env = api.Environment(cr, SUPERUSER_ID, {})
    for name, (before, after) in NARROWED_RULES.items():
        rule = env.ref(f"auth_integration.{name}", raise_if_not_found=False)
        if rule and rule.domain_force == before:
            rule.domain_force = after
    # Until now a manager could restore both; who archived the user is unknown.
    cr.execute(
        "UPDATE auth_integration i SET user_archived_along = TRUE FROM res_users u"
        " WHERE u.id = i.user_id AND NOT i.active AND NOT u.active"
    )
