"""Settings kept as system parameters: their names and defaults, and how they are read."""

from .integration import networks

# Each is a number, and a field of *Settings ▸ Integrations* writes it.
DEFAULTS = {
    "attempt_keep_failures_days": 365,
    "attempt_keep_successes_days": 90,
    "attempt_max_rows": 5_000_000,
    "attempt_new_rows_per_minute": 120,
    "key_keep_ended_days": 400,
    "max_active_keys": 20,
    "throttle_failures": 10,
    "throttle_minutes": 15,
    "incident_threshold": 3,
    "escalation_hours": 4,
}
# Smallest and largest value of those where anything else would be a mistake.
BOUNDS = {
    "throttle_failures": (3, 1000),
    "throttle_minutes": (5, 1440),
}
# Networks inside, which webhooks may reach all the same.
WEBHOOK_NETWORKS = "auth_integration.webhook_allowed_networks"


def webhook_networks(env) -> tuple:
    """Return the networks inside that webhooks may reach.

    :raise ValueError: what is entered there is none
    """
    return networks.parse(env["ir.config_parameter"].sudo().get_param(WEBHOOK_NETWORKS) or "")


def number(env, name: str) -> int:
    """Return a setting: a positive number within its bounds, the default when it is anything else.

    :param name: one of :data:`DEFAULTS`
    """
    text = env["ir.config_parameter"].sudo().get_param(f"auth_integration.{name}") or ""
    value = int(text) if text.isdecimal() and len(text) < 19 and int(text) else DEFAULTS[name]
    smallest, largest = BOUNDS.get(name, (value, value))
    return max(smallest, min(value, largest))
