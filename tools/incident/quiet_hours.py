"""Quiet hours, during which notifications that can wait are not sent."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import pytz

_FORM = re.compile(r"\s*(\d{1,2})\s*-\s*(\d{1,2})\s*\Z")


def parse(text: str | None) -> tuple[int, int] | None:
    """Read ``"20-7"``: from 20:00 to 7:00 of the next day. An empty text means no quiet hours.

    :raise ValueError: not two hours of a day
    """
    if not (text or "").strip():
        return None
    match = _FORM.match(text)
    if not match:
        raise ValueError(text)
    start, end = int(match[1]), int(match[2])
    if start > 23 or end > 23:
        raise ValueError(text)
    return (start, end) if start != end else None


def _place(zone):
    try:
        return pytz.timezone(zone or "UTC")
    except pytz.UnknownTimeZoneError:
        return pytz.utc


def local_time(now: datetime, zone: str | None) -> datetime:
    """Return naive UTC as local time of a zone; UTC when the zone is empty or unknown."""
    return pytz.utc.localize(now).astimezone(_place(zone))


def ends_at(now: datetime, zone: str | None, hours: tuple[int, int] | None) -> datetime | None:
    """Return when the quiet hours that contain ``now`` end; None outside of quiet hours.

    :param now: naive UTC
    :param zone: name of a time zone; UTC when it is empty or unknown
    :return: naive UTC
    """
    if hours is None:
        return None
    start, end = hours
    local = local_time(now, zone)
    place = _place(zone)
    quiet = start <= local.hour < end if start < end else local.hour >= start or local.hour < end
    if not quiet:
        return None
    day = local.date() + timedelta(days=1 if local.hour >= end else 0)
    wanted = datetime(day.year, day.month, day.day, end)
    return place.localize(wanted).astimezone(pytz.utc).replace(tzinfo=None)
