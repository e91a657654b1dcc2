"""Which causes open an incident, and how."""

from odoo.addons.auth_integration.tools.attempt.causes import CAUSES
from odoo.addons.auth_integration.tools.incident import conditions, kinds, retries


def test_all_are_causes():
    for codes in (conditions.MUST_FAIL, conditions.BY_HOST):
        assert set(codes) <= set(CAUSES)


def test_events_are_no_causes():
    assert not {kind.code for kind in kinds.KINDS.values() if kind.is_event} & set(CAUSES)


def test_the_sql_has_only_its_parameters():
    """It is used as a template and in a view: any other percent sign would break either."""
    sql = conditions.failing_sources("SINCE", "NOW", "3") + conditions.recovered_at("n", "NOW")
    assert "%" not in sql


def test_retries_end():
    from datetime import datetime

    now = datetime(2026, 1, 1)
    times = [retries.next_try(tries, now) for tries in range(1, 7)]
    assert times[0] > now and times[-1] is None
    assert sum(time is not None for time in times) == 4
