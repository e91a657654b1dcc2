"""Moments and days as people read them in texts: in their language, by their clock."""

import pytz
from odoo.http import request
from odoo.tools import format_date, format_datetime, format_time


def day_text(env, moment, zone=None):
    """Return the day of a time (naive UTC), as a form shows it, by the reader's clock.

    :param zone: another one than the reader's
    """
    local = format_datetime(env, moment, zone or _zone(env), "yyyy-MM-dd", lang_code="en_US")
    return format_date(env, local, date_format="medium")


def moment_text(env, moment, zone=None):
    """Return a time (naive UTC) to the minute, as a form shows it, by the reader's clock.

    Where no form beside it has the same clock, in a mail or for a program, its name is added.

    :param zone: another clock than the reader's, which is named
    """
    if not moment:
        return ""
    is_named = zone or not env.context.get("tz")
    zone = zone or _zone(env)
    text = f'{day_text(env, moment, zone)}, {format_time(env, moment, zone, "short")}'
    return f"{text} ({zone})" if is_named else text


def shared_moment_text(env, moment, readers):
    """Return a time for a text that is kept and that several read, such as a history.

    By the clock of the person who writes it, or of the first reader when a job does.
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
