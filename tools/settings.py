"""Settings stored as system parameters: their names, their defaults, and how they are read."""

from .integration import networks

# All are numbers, each written by a field of *Settings ▸ Integrations*.
DEFAULTS = {
    "attempt_keep_failures_days": 365,
    "attempt_keep_successes_days": 90,
    "attempt_max_rows": 5_000_000,
    "attempt_new_rows_per_minute": 240,
    "key_keep_ended_days": 400,
    "max_active_keys": 20,
    "throttle_failures": 10,
    "throttle_minutes": 15,
    "incident_threshold": 3,
    "escalation_hours": 4,
}
# Smallest and largest value, where values outside would be a mistake.
BOUNDS = {
    "throttle_failures": (3, 1000),
    "throttle_minutes": (5, 1440),
}
# Internal networks that webhooks may reach nevertheless.
WEBHOOK_NETWORKS = "auth_integration.webhook_allowed_networks"


def webhook_networks(env) -> tuple:
    """Return the internal networks that webhooks may reach.

    :raise ValueError: the parameter is not a list of networks
    """
    return networks.parse(env["ir.config_parameter"].sudo().get_param(WEBHOOK_NETWORKS) or "")


def number(env, name: str) -> int:
    """Return a setting: a positive number within its bounds, or the default if it is invalid.

    :param name: one of :data:`DEFAULTS`
    """
    text = env["ir.config_parameter"].sudo().get_param(f"auth_integration.{name}") or ""
    value = int(text) if text.isdecimal() and len(text) < 19 and int(text) else DEFAULTS[name]
    smallest, largest = BOUNDS.get(name, (value, value))
    return max(smallest, min(value, largest))
