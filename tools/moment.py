"""Times and days as text for people: in their language and time zone."""

import pytz
from odoo.http import request
from odoo.tools import format_date, format_datetime, format_time


def day_text(env, moment, zone=None):
    """Return the day of a time (naive UTC) as a form shows it, in the reader's time zone.

    :param zone: another zone than the reader's
    """
    local = format_datetime(env, moment, zone or _zone(env), "yyyy-MM-dd", lang_code="en_US")
    return format_date(env, local, date_format="medium")


def moment_text(env, moment, zone=None):
    """Return a time (naive UTC) to the minute as a form shows it, in the reader's time zone.

    Mails and programs have no form beside the text to show the zone: there, its name is added.

    :param zone: another zone than the reader's; its name is added
    """
    if not moment:
        return ""
    is_named = zone or not env.context.get("tz")
    zone = zone or _zone(env)
    text = f'{day_text(env, moment, zone)}, {format_time(env, moment, zone, "short")}'
    return f"{text} ({zone})" if is_named else text


def shared_moment_text(env, moment, readers):
    """Return a time (naive UTC) for a stored text with several readers, such as a chatter message.

    It is in the time zone of the author, or of the first reader if a scheduled job is the author.
    """
    zone = env.context.get("tz") or env.user.tz or readers[:1].sudo().tz
    return moment_text(env, moment, zone or "UTC")


def _zone(env):
    return _browser_zone(env) or env.context.get("tz") or env.user.tz or "UTC"


def _browser_zone(env):
    """Return the clock of the screen that asks, if one does.

    The web client shows fields by the browser's clock, which it tells in a cookie, and sends that
    of the user's preferences, which may be another one.
    """
    zone = request.cookies.get("tz") if request and env.context.get("tz") else None
    return zone if zone in pytz.all_timezones_set else None
