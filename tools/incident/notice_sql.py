"""Conditions in SQL on which incidents people and webhooks are to be notified of."""

from datetime import timedelta

# A recovery that could not be sent for so long is no news.
NEWS_PERIOD = timedelta(days=2)

# Of an integration i, which an incident need not have.
ALERTS_ON = """
    (i.id IS NULL OR i.active)
    AND (i.alerts_muted_until IS NULL OR i.alerts_muted_until <= %(now)s)
"""
# Of an incident n; news_since is NEWS_PERIOD ago.
RECOVERED_LATELY = "n.state = 'recovered' AND n.closed_at > %(news_since)s"


def is_reported(incident, event):
    """Return the condition that an alert line l reports an incident in its present round.

    :param incident: alias of a row with ``id`` and ``alert_round``
    :param event: SQL, ``'opened'`` or ``'recovered'``
    """
    return f"""
        l.incident_id = {incident}.id AND l.event = {event}
        AND l.alert_round = {incident}.alert_round
    """
