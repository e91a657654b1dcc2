"""Settings kept as system parameters: their names and defaults, and how they are read."""

# Each is a number, and a field of *Settings ▸ Integrations* writes it.
DEFAULTS = {
    "attempt_keep_failures_days": 365,
    "attempt_keep_successes_days": 90,
    "attempt_max_rows": 5_000_000,
    "attempt_new_rows_per_minute": 120,
    "key_keep_ended_days": 400,
    "max_active_keys": 20,
}


def number(env, name: str) -> int:
    """Return a setting: a positive number, the default when it is anything else.

    :param name: one of :data:`DEFAULTS`
    """
    text = env["ir.config_parameter"].sudo().get_param(f"auth_integration.{name}") or ""
    return int(text) if text.isdecimal() and int(text) else DEFAULTS[name]
