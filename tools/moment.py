"""Times as people read them in texts, with the zone of the clock."""

from odoo.tools import format_datetime


def moment_text(env, moment, zone=None):
    """Return a time (naive UTC) by the reader's clock, and which clock that is.

    :param zone: another one than the reader's
    """
    zone = zone or env.context.get("tz") or env.user.tz or "UTC"
    text = format_datetime(env, moment, zone, "d MMM yyyy HH:mm:ss")
    return f"{text} ({zone})"
