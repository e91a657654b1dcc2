"""When the job for incidents is triggered."""

from odoo.addons.auth_integration.tools.incident.trigger_gate import TriggerGate


def test_the_first_event_waits_for_those_that_fail_together():
    assert TriggerGate().ask("db", 100.0) == 110.0


def test_a_flood_sets_one_trigger_a_minute():
    gate = TriggerGate()
    triggers = [at for tick in range(6000) if (at := gate.ask("db", 100 + tick / 10))]
    assert len(triggers) == 11  # ten minutes, and the trigger after them
    assert all(later - at == 60 for at, later in zip(triggers, triggers[1:], strict=False))


def test_each_event_is_followed_by_a_trigger_within_a_minute():
    gate, at = TriggerGate(), None
    for now in (100.0, 109.9, 110.1, 111.0, 169.0, 171.0, 229.0, 231.0, 500.0):
        at = gate.ask("db", now) or at
        assert now < at <= now + 60


def test_after_a_quiet_minute_it_is_as_at_first():
    gate = TriggerGate()
    assert gate.ask("db", 100.0) == 110.0
    assert gate.ask("db", 1000.0) == 1010.0


def test_databases_do_not_hold_each_other_back():
    gate = TriggerGate()
    assert gate.ask("one", 100.0) and gate.ask("two", 100.0)


def test_a_clock_that_is_set_back_silences_nothing():
    gate = TriggerGate()
    gate.ask("db", 10_000.0)
    assert gate.ask("db", 100.0) == 110.0


def test_what_could_not_be_written_is_asked_anew():
    gate = TriggerGate()
    gate.ask("db", 100.0)
    gate.reset()
    assert gate.ask("db", 101.0) == 111.0
