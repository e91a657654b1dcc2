"""SQL conditions that select the incidents to notify people and webhooks about."""

from datetime import timedelta

# A recovery that could not be sent for this long is no longer reported.
NEWS_PERIOD = timedelta(days=2)

# For an integration i, which may be missing.
ALERTS_ON = """
    (i.id IS NULL OR i.active)
    AND (i.alerts_muted_until IS NULL OR i.alerts_muted_until <= %(now)s)
"""
# For an incident n; news_since is NEWS_PERIOD ago.
RECOVERED_LATELY = "n.state = 'recovered' AND n.closed_at > %(news_since)s"


def is_reported(incident, event):
    """Return the condition that an alert line l reports an incident in its current round.

    :param incident: alias of a row with ``id`` and ``alert_round``
    :param event: SQL, ``'opened'`` or ``'recovered'``
    """
    return f"""
        l.incident_id = {incident}.id AND l.event = {event}
        AND l.alert_round = {incident}.alert_round
    """
