"""Operations of keys are counted exactly, for at most a fixed number of operations."""

from hypothesis import given
from hypothesis import strategies as st

from odoo.addons.auth_integration.tools.access.operation_counts import (
    MAX_OPERATIONS,
    OTHER,
    Counts,
    OperationBuffer,
    Place,
)

KEY = Place("db", 1)
READ, WRITE = ("res.partner", "read"), ("res.partner", "write")


def test_equal_calls_are_added_up():
    buffer = OperationBuffer()
    buffer.add(KEY, READ, Counts(1, 0, 0, 20.0, 20.0))
    buffer.add(KEY, READ, Counts(1, 1, 0, 10.0, 10.0))
    buffer.add(KEY, READ, Counts(0, 0, 1, 30.0, 30.0))
    buffer.add(KEY, WRITE, Counts(1, 1, 0, 5.0, 5.0))
    buffer.add(Place("db", 2), READ, Counts(1, 0, 0, 5.0, 5.0))
    assert buffer.waiting == 4
    assert buffer.take() == {
        KEY: {READ: Counts(2, 1, 1, 10.0, 30.0), WRITE: Counts(1, 1, 0, 5.0, 5.0)},
        Place("db", 2): {READ: Counts(1, 0, 0, 5.0, 5.0)},
    }
    assert buffer.take() == {} and not buffer.waiting


def test_beyond_the_bound_operations_are_counted_together():
    buffer = OperationBuffer()
    for number in range(MAX_OPERATIONS + 7):
        buffer.add(KEY, ("res.partner", f"method_{number}"), Counts(1, 0, 0, 1.0, 1.0))
    buffer.add(KEY, ("res.partner", "method_0"), Counts(1, 0, 0, 1.0, 1.0))
    taken = buffer.take()[KEY]
    assert len(taken) == MAX_OPERATIONS + 1
    assert taken[OTHER].uses == 7
    assert taken["res.partner", "method_0"].uses == 2, "what is known goes on being told apart"


steps_of = st.sampled_from(["add", "take", "put_back"])
calls = st.tuples(steps_of, st.integers(1, 3), st.integers(0, 4))


@given(st.lists(calls, max_size=50))
def test_nothing_is_lost_or_counted_twice(steps):
    buffer, added, written = OperationBuffer(), 0, 0
    for call, key, number in steps:
        if call == "add":
            added += 1
            buffer.add(Place("db", key), ("m", f"x{number}"), Counts(1, 0, 0, 1.0, 1.0))
            continue
        for place, operations in buffer.take().items():
            if call == "put_back":
                buffer.put_back(place, operations)
            else:
                written += sum(counts.uses for counts in operations.values())
    rest = sum(c.uses for operations in buffer.take().values() for c in operations.values())
    assert added == written + rest
