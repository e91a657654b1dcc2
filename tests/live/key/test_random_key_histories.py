"""An end is final: random sequences of everything that can happen to keys, on a live database.

``make soak`` tries longer, with other sequences each time.
"""

import os

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from worlds.key_histories import JOBS, NATIVE_CHANGES, RECONCILING, ROTATION, World

SOAK = int(os.environ.get("SOAK") or 0)
SETTINGS = settings(
    max_examples=SOAK or 20,
    stateful_step_count=40 if SOAK else 20,
    derandomize=not SOAK,
    database=None,
    deadline=None,
    print_blob=False,
    suppress_health_check=list(HealthCheck),
)
indexes = st.integers(0, 4)
policies = st.fixed_dictionaries(
    {
        "max_age_days": st.sampled_from([10, 90]),
        "notice_days": st.just("3,1"),
        "overlap_days": st.sampled_from([7, 1, 0]),
        "on_deadline": st.sampled_from(["extend", "enforce"]),
        "max_extension_days": st.sampled_from([30, 0]),
        "auto_rotate": st.booleans(),
        "delivery": st.sampled_from(["claim", "self_service"]),
    }
)
hours = st.sampled_from([1, 12, 24, 5 * 24, 10 * 24, 40 * 24])


class KeyEnds(RuleBasedStateMachine):
    """Each rule is an action of :class:`key_histories.World`, which checks the result."""

    server = None

    def __init__(self):
        super().__init__()
        self.world = None

    def teardown(self):
        if self.world:
            self.world.close()

    @initialize(policy=policies, days=st.sampled_from([None, 1, 5]))
    def begin(self, policy, days):
        self.world = World(self.server, **policy)
        self.world.issue(days)
        self.world.use(0)

    @rule(days=st.sampled_from([None, 0.1, 1, 5]))
    def issue(self, days):
        self.world.issue(days)

    @rule(index=indexes)
    def use(self, index):
        self.world.use(index)

    @rule(index=indexes)
    def open_rotation(self, index):
        self.world.open_rotation(index)

    @rule(index=indexes)
    def claim(self, index):
        self.world.claim(index)

    @rule(index=indexes)
    def fetch(self, index):
        self.world.fetch(index)

    @rule(index=indexes)
    def replace(self, index):
        self.world.replace(index)

    @rule()
    def replace_newest(self):
        self.world.replace(len(self.world.keys) - 1)

    @rule(index=indexes)
    def cancel_rotation(self, index):
        self.world.cancel_rotation(index)

    @rule(index=indexes, compromised=st.sampled_from([False, False, True]))
    def revoke(self, index, compromised):
        self.world.revoke(index, compromised)

    @rule(index=indexes)
    def undo_revocation(self, index):
        self.world.undo_revocation(index)

    @rule(index=indexes, days=st.sampled_from([1, 20, 60]))
    def extend(self, index, days):
        self.world.extend(index, days)

    @rule(policy=policies)
    def shorten(self, policy):
        self.world.change_policy(**policy)
        self.world.shorten_existing()

    @rule(index=indexes)
    def remove(self, index):
        self.world.remove(index)

    @rule(policy=policies)
    def change_policy(self, policy):
        self.world.change_policy(**policy)

    @rule(hours=hours)
    def archive_for(self, hours):
        self.world.archive()
        self.world.pass_time(hours)
        self.world.archive(False)

    @rule()
    def rotation_job(self):
        self.world.run(ROTATION)

    @rule()
    def reconciling_job(self):
        self.world.run(RECONCILING)

    @rule()
    def all_jobs(self):
        for job in JOBS:
            self.world.run(job)

    @rule(index=indexes, change=st.sampled_from([*NATIVE_CHANGES, "restored", "copied"]))
    def change_native(self, index, change):
        self.world.change_native(index, change)

    @rule(index=indexes)
    def lose_and_restore_native(self, index):
        self.world.change_native(index, "deleted")
        self.world.run(RECONCILING)
        self.world.change_native(index, "restored")

    @rule(hours=hours)
    def pass_time(self, hours):
        self.world.pass_time(hours)

    @rule()
    def change_user(self):
        self.world.change_user()

    @rule(deed=st.sampled_from(["revoke_all", "delete"]))
    def end_all(self, deed):
        # Otherwise most sequences would end too early.
        if len(self.world.keys) > 2:
            getattr(self.world, deed)()


@pytest.fixture(scope="module")
def server(live_server):
    return live_server("main")


SEQUENCES = {
    "job_after_the_end": [("pass_time", 250), ("run", ROTATION)],
    "job_before_the_end": [("pass_time", 230), ("run", ROTATION)],
    "chosen_end": [("issue", 0.5), ("run", ROTATION)],
    "native_end_past": [("pass_time", 200), ("change_native", 0, "past"), ("run", ROTATION)],
    "native_end_past_in_the_overlap": [
        ("replace", 0),
        ("change_native", 0, "past"),
        ("run", RECONCILING),
    ],
    "middle_of_a_chain_revoked": [
        ("replace", 0),
        ("replace", 1),
        ("revoke", 1),
        ("run", ROTATION),
    ],
    "only_new_key_revoked": [("replace", 0), ("revoke", 1), ("run", ROTATION), ("use", 0)],
    "deleted_recorded_and_restored": [
        ("change_native", 0, "deleted"),
        ("run", RECONCILING),
        ("change_native", 0, "restored"),
        ("run", RECONCILING),
    ],
    "deleted_refused_and_restored": [
        ("change_native", 0, "deleted"),
        ("change_native", 0, "restored"),
    ],
    "past_refused_and_endless": [("change_native", 0, "past"), ("change_native", 0, "never")],
    "revoked_and_copied": [
        ("revoke", 0),
        ("change_native", 0, "copied"),
        ("run", RECONCILING),
        ("change_native", 0, "copied"),
        ("run", ROTATION),
    ],
    "copied_and_revoked": [("change_native", 0, "copied"), ("revoke", 0), ("run", RECONCILING)],
    "only_new_key_removed": [("replace", 0), ("remove", 1), ("run", ROTATION), ("use", 0)],
    "looser_policy_after_the_end": [
        ("pass_time", 2000),
        ("change_policy",),
        ("run", RECONCILING),
        ("run", ROTATION),
    ],
}


@pytest.mark.parametrize("deeds", SEQUENCES.values(), ids=SEQUENCES)
def test_known_sequences(server, deeds):
    """Sequences that once revived an ended key, or could be expected to."""
    world = World(server, max_age_days=10, notice_days="3,1")
    try:
        world.issue()
        world.use(0)
        for name, *arguments in deeds:
            values = {"max_age_days": 90} if name == "change_policy" else {}
            getattr(world, name)(*arguments, **values)
    finally:
        world.close()


def test_random_sequences(server):
    machine = type("KeyEnds", (KeyEnds,), {"server": server})
    run_state_machine_as_test(machine, settings=SETTINGS)
