"""The state table of a rotation is complete and agrees with the states derived from facts."""

from odoo.addons.auth_integration.tools.rotation import rotation_states as rs
from odoo.addons.auth_integration.tools.rotation.rotation_states import Facts


def reachable():
    """Return every combination of facts that the table's steps reach from a new rotation."""
    found, new = set(), {Facts()}
    while new:
        found |= new
        new = {
            rs.EVENTS[event].change(facts)
            for facts in new
            for event, step in rs.TABLE[rs.state_of(facts)].items()
            if step and rs.EVENTS[event].possible(facts)
        } - found
    return found


def test_every_state_says_what_every_event_does():
    assert set(rs.TABLE) == set(rs.STATES)
    for state, row in rs.TABLE.items():
        assert set(row) == set(rs.EVENTS), state


def test_each_step_leads_where_the_facts_do():
    """Checked for all reachable facts and every event possible there."""
    checked = set()
    for facts in reachable():
        state = rs.state_of(facts)
        for event, step in rs.TABLE[state].items():
            if not step or not rs.EVENTS[event].possible(facts):
                continue
            assert rs.state_of(rs.EVENTS[event].change(facts)) == step.to, (facts, event)
            checked.add((state, event))
    written = {(s, e) for s, row in rs.TABLE.items() for e, step in row.items() if step}
    assert checked == written, "steps that can never be taken"


def test_every_state_is_reached_and_only_ends_are_final():
    """From every state, a rotation can reach its end, and final states stay final."""
    assert {rs.state_of(facts) for facts in reachable()} == set(rs.STATES)
    for state in (rs.DONE, rs.CANCELLED):
        assert {step.to for step in rs.TABLE[state].values() if step} <= {state}
    for state in (rs.DUE, rs.DELIVERING, rs.DELIVERED, rs.OVERLAP):
        assert _leads_to_an_end(state)


def _leads_to_an_end(state):
    seen, new = set(), {state}
    while new:
        seen |= new
        new = {step.to for s in new for step in rs.TABLE[s].values() if step} - seen
    return rs.DONE in seen


def test_the_old_key_ends_by_rotation_only_after_the_new_one_was_used():
    """The promise: only a user's action ends the last working key.

    ``expire`` is the end that was announced when the key was issued. A user who revokes the new key
    while another key of the integration works lets the overlap of the old one pass.
    """
    deliberate = {"expire", "revoke_old", "cancel", "unused_end", "both_end", "used_end",
                  "last_used_end", "successor_end"}
    for facts in reachable():
        another_key_works = facts.old == "retiring" and facts.replacement == "none"
        for event, step in rs.TABLE[rs.state_of(facts)].items():
            if not step or event in deliberate or not rs.EVENTS[event].possible(facts):
                continue
            if another_key_works and event == "overlap_end":
                continue
            after = rs.EVENTS[event].change(facts)
            had_key = facts.old not in rs.OLD_ENDED or facts.replacement == "used"
            assert not had_key or after.old not in rs.OLD_ENDED or after.replacement == "used"


def test_who_learns_of_an_alarm():
    """A refused delivery, a second key, an overdue key, and systems that were not updated."""
    assert rs.TABLE[rs.DELIVERING]["refuse"].recipients == rs.ALERT
    assert rs.TABLE[rs.DELIVERED]["deliver"].recipients == rs.ALERT
    for state in (rs.DUE, rs.DELIVERING, rs.DELIVERED):
        assert rs.TABLE[state]["overdue"].recipients == rs.ESCALATION
    assert rs.TABLE[rs.OVERLAP]["late_use"].recipients == rs.ALERT
    assert rs.TABLE[rs.DONE]["reuse_old"].recipients == rs.ALERT


def test_a_new_key_that_ended_unused_opens_the_rotation_again():
    for state in (rs.DELIVERING, rs.DELIVERED):
        assert rs.TABLE[state]["unused_end"].to == rs.DUE


def test_no_event_gives_life_back():
    """An old key that has ended stays ended, whatever happens.

    Only a user's revocation takes an overlap back, and only before the overlap has passed.
    """
    for facts in reachable():
        for name, event in rs.EVENTS.items():
            if not event.possible(facts):
                continue
            after = event.change(facts)
            if facts.old in rs.OLD_ENDED:
                assert after.old in rs.OLD_ENDED, name
            elif facts.old == "retiring" and after.old == "active":
                assert name == "last_used_end"
