"""Times as text for people, with the time zone."""

from odoo.tools import format_date, format_datetime, format_time


def utc_text(env, moment):
    """Return a time (naive UTC) to the minute; the surrounding text must say that it is UTC.

    For texts read by people in different time zones, such as the history of an integration.
    """
    return format_datetime(env, moment, "UTC", "d MMM yyyy HH:mm")


def moment_text(env, moment, zone=None):
    """Return a time (naive UTC) in the reader's time zone, and the name of the zone.

    :param zone: another zone than the reader's
    """
    zone = zone or _zone(env)
    text = format_datetime(env, moment, zone, "d MMM yyyy HH:mm:ss")
    return f"{text} ({zone})"


def day_text(env, moment, zone=None):
    """Return the day of a time (naive UTC) as a form shows it, in the reader's time zone.

    :param zone: another zone than the reader's
    """
    local = format_datetime(env, moment, zone or _zone(env), "yyyy-MM-dd", lang_code="en_US")
    return format_date(env, local, date_format="medium")


def minute_text(env, moment, zone=None):
    """Return a time (naive UTC) to the minute in the reader's time zone, and the name of the zone.

    :param zone: another zone than the reader's
    """
    zone = zone or _zone(env)
    return f'{day_text(env, moment, zone)}, {format_time(env, moment, zone, "short")} ({zone})'


def _zone(env):
    return env.context.get("tz") or env.user.tz or "UTC"
