"""Times as people read them in texts, with the zone of the clock."""

from odoo.tools import format_datetime


def utc_text(env, moment):
    """Return a time (naive UTC) to the minute; the text around it says that it is UTC.

    For what people with different clocks read, such as the history of an integration.
    """
    return format_datetime(env, moment, "UTC", "d MMM yyyy HH:mm")


def moment_text(env, moment, zone=None):
    """Return a time (naive UTC) by the reader's clock, and which clock that is.

    :param zone: another one than the reader's
    """
    zone = zone or env.context.get("tz") or env.user.tz or "UTC"
    text = format_datetime(env, moment, zone, "d MMM yyyy HH:mm:ss")
    return f"{text} ({zone})"
