"""The state table of a rotation: the state derived from the keys, and the effect of each event.

A rotation does not store its state. :func:`state_of` derives it from the two keys and a few dates,
so a process may die between any two statements: whatever was committed is a state of this table,
and the next run continues from there. ``auth.integration.rotation`` does the same in SQL, and a
test compares both for every combination of facts.

:data:`TABLE` defines every event in every state: the next state, what is done and who is notified.
It covers all events that can be caused from outside; an event without meaning in a state is
:data:`IGNORED` there.
"""

from dataclasses import dataclass, replace
from itertools import product

DUE = "due"  # the old key should be replaced; there is no new key yet
DELIVERING = "delivering"  # a new key was created and sent; whether it arrived is unknown
DELIVERED = "delivered"  # the new key has reached somebody and has not been used
OVERLAP = "overlap"  # the new key is in use, the old one works until its overlap ends
DONE = "done"  # the old key has ended, the new one replaces it
CANCELLED = "cancelled"  # nothing has to be replaced any more
STATES = (DUE, DELIVERING, DELIVERED, OVERLAP, DONE, CANCELLED)

# States of the old key. In the first two it still works. ``active`` includes ``pending``.
OLD_STATES = ("active", "retiring", "expired", "revoked", "superseded", "copied")
OLD_ENDED = ("expired", "revoked", "superseded", "copied")
# It shall not be replaced any more.
OLD_WITHDRAWN = ("revoked", "copied")
# The best live key that replaces it: none, an unused one, or a used one.
REPLACEMENTS = ("none", "pending", "used")


@dataclass(frozen=True, slots=True)
class Facts:
    """What determines the state of a rotation.

    :ivar old: state of the old key
    :ivar replacement: the best live key that replaces it
    :ivar delivered: whether the current new key is known to have reached somebody
    :ivar replaced: whether a new key was used, even if it has ended (``replaced_by_id``)
    :ivar cancelled: whether a person cancelled the rotation
    """

    old: str = "active"
    replacement: str = "none"
    delivered: bool = False
    replaced: bool = False
    cancelled: bool = False


def all_facts():
    """Yield every combination of facts, even impossible ones, which a restored backup may have."""
    booleans = (False, True)
    for values in product(OLD_STATES, REPLACEMENTS, booleans, booleans, booleans):
        yield Facts(*values)


def state_of(facts: Facts) -> str:
    """Return the state of a rotation."""
    if facts.cancelled:
        return CANCELLED
    ended = facts.old in OLD_ENDED
    if facts.replacement == "used":
        return DONE if ended else OVERLAP
    if facts.old == "retiring":
        # The new key was revoked while another key of the integration worked.
        return OVERLAP
    if ended and (facts.replaced or facts.old == "superseded"):
        return DONE
    if facts.replacement == "pending":
        return DELIVERED if facts.delivered else DELIVERING
    if facts.old in OLD_WITHDRAWN:
        return CANCELLED
    # Also if expired: the integration still needs a key, and an owner can still claim one.
    return DUE


# Who is notified ---------------------------------------------------------------------------------

NOBODY = ()
CHATTER = ("chatter",)  # a note on the integration, no message
ACTIVITY = ("activity", "digest")  # each owner: an activity at once, a line in the day's e-mail
DIGEST = ("digest",)  # each owner: a line in the day's e-mail
ALERT = ("owners",)  # each owner: a message at once
ESCALATION = ("digest", "managers")  # a line also for each administrator of integrations


@dataclass(frozen=True, slots=True)
class Step:
    """What an event does in a state.

    :ivar to: the next state
    :ivar effect: what is done, in words; empty for nothing
    :ivar recipients: who is notified
    """

    to: str
    effect: str = ""
    recipients: tuple = NOBODY


IGNORED = None


@dataclass(frozen=True, slots=True)
class Event:
    """An event of a rotation.

    :ivar possible: whether it can happen, given the facts
    :ivar change: the facts afterwards
    """

    possible: object
    change: object


def _live(facts):
    return facts.old not in OLD_ENDED


def _pending(facts):
    return facts.replacement == "pending"


EVENTS = {
    # A secret was created and committed, and is about to be sent. Only for deliveries that send.
    "send": Event(
        lambda f: f.replacement != "used",
        lambda f: replace(f, replacement="pending", delivered=False),
    ),
    # A person saw the new key, the integration fetched it, or its endpoint accepted it.
    "deliver": Event(
        lambda f: f.replacement != "used",
        lambda f: replace(f, replacement="pending", delivered=True),
    ),
    # The integration's endpoint rejected the key that was sent.
    "refuse": Event(
        lambda f: _pending(f) and not f.delivered and f.old not in OLD_WITHDRAWN,
        lambda f: replace(f, replacement="none"),
    ),
    # No answer, a broken connection or a server error: the endpoint may have the key.
    "no_answer": Event(lambda f: _pending(f) and not f.delivered, lambda f: f),
    # First successful use of a new key over HTTP while the old one is live.
    "first_use": Event(
        lambda f: _pending(f) and _live(f),
        lambda f: replace(f, replacement="used", old="retiring", replaced=True),
    ),
    # The same, after the old one has ended.
    "late_first_use": Event(
        lambda f: _pending(f) and not _live(f),
        lambda f: replace(f, replacement="used", replaced=True),
    ),
    # Every new key ended (revoked, expired) before it was used.
    "unused_end": Event(
        lambda f: _pending(f) and f.old != "revoked", lambda f: replace(f, replacement="none")
    ),
    # The same, when the old one was revoked too.
    "both_end": Event(
        lambda f: _pending(f) and f.old == "revoked", lambda f: replace(f, replacement="none")
    ),
    # The new key was revoked during the overlap, and no other key of the integration works.
    "last_used_end": Event(
        lambda f: f.replacement == "used" and f.old == "retiring",
        lambda f: replace(f, replacement="none", replaced=False, old="active"),
    ),
    # The new key ended during the overlap, but another key works or no person revoked it.
    "used_end": Event(
        lambda f: f.replacement == "used" and f.old == "retiring",
        lambda f: replace(f, replacement="none"),
    ),
    # The new key ended at some time after the old one.
    "successor_end": Event(
        lambda f: f.replacement == "used" and not _live(f),
        lambda f: replace(f, replacement="none"),
    ),
    # The old key should have been replaced and still works. Repeated per overlap until its end.
    "overdue": Event(lambda f: f.old == "active", lambda f: f),
    # An administrator lets the old key work longer, with a reason.
    "extend": Event(lambda f: f.old == "active", lambda f: f),
    # The old key's end has passed.
    "expire": Event(lambda f: f.old == "active", lambda f: replace(f, old="expired")),
    # The overlap has ended.
    "overlap_end": Event(lambda f: f.old == "retiring", lambda f: replace(f, old="superseded")),
    # The old key is still used long after the first use of the new one.
    "late_use": Event(lambda f: f.old == "retiring", lambda f: f),
    # Somebody revoked the old key.
    "revoke_old": Event(_live, lambda f: replace(f, old="revoked")),
    # An owner postpones the rotation, with a reason.
    "postpone": Event(lambda f: True, lambda f: f),
    # An owner cancels it.
    "cancel": Event(
        lambda f: f.replacement != "used",
        lambda f: replace(f, cancelled=True, replacement="none"),
    ),
    # The old key is presented after the rotation has ended it.
    "reuse_old": Event(lambda f: f.old == "superseded", lambda f: f),
}

_SEND = Step(DELIVERING, "make a new key, commit, then send it")
_DELIVER = Step(DELIVERED, "make a new key and deliver it, once", CHATTER)
_FIRST_USE = Step(
    OVERLAP, "old key ends overlap_days from now or at its own end; unused siblings end", CHATTER
)
_LATE_FIRST_USE = Step(DONE, "unused siblings end", CHATTER)
_UNUSED_END = Step(DUE, "the rotation is open again", ACTIVITY)
_BOTH_END = Step(CANCELLED, "activities close: nothing is left to replace", CHATTER)
_OVERDUE = "nothing: the old key works until its own end, which no job moves"
_EXTEND = "old key's end moves later by max_extension_days at most, also natively"
_EXPIRE = "nothing: the old key ended by its own date; a new one can still be delivered"
_POSTPONE = "no delivery, activity or notice until then; never beyond the old key's end"
_CANCEL = Step(
    CANCELLED, "unused new keys end, activities close; the old key's next notice opens another",
    CHATTER,
)
_LATE_CALLER = "nothing ends: the good key stays; late callers and suspicious ones are told apart"


def _row(**steps):
    return {event: steps.get(event, IGNORED) for event in EVENTS}


TABLE = {
    DUE: _row(
        send=_SEND,
        deliver=_DELIVER,
        overdue=Step(DUE, _OVERDUE, ESCALATION),
        extend=Step(DUE, _EXTEND, CHATTER),
        expire=Step(DUE, _EXPIRE, DIGEST),
        revoke_old=Step(CANCELLED, "activities close", CHATTER),
        postpone=Step(DUE, _POSTPONE, CHATTER),
        cancel=_CANCEL,
    ),
    DELIVERING: _row(
        send=Step(DELIVERING, "make another new key and send it; the first may have arrived"),
        deliver=Step(DELIVERED, "note that it arrived, or deliver another"),
        refuse=Step(DUE, "new key ends; the error is kept, the next try waits longer", ALERT),
        no_answer=Step(DELIVERING, "new key stays; the error is kept, the next try waits longer"),
        first_use=_FIRST_USE,
        late_first_use=_LATE_FIRST_USE,
        unused_end=_UNUSED_END,
        both_end=_BOTH_END,
        overdue=Step(DELIVERING, _OVERDUE, ESCALATION),
        extend=Step(DELIVERING, _EXTEND, CHATTER),
        expire=Step(DELIVERING, _EXPIRE, DIGEST),
        revoke_old=Step(DELIVERING, "nothing: the new key may be in place already", CHATTER),
        postpone=Step(DELIVERING, _POSTPONE, CHATTER),
        cancel=_CANCEL,
    ),
    DELIVERED: _row(
        deliver=Step(DELIVERED, "make another new key (the answer was lost), keep both", ALERT),
        first_use=_FIRST_USE,
        late_first_use=_LATE_FIRST_USE,
        unused_end=_UNUSED_END,
        both_end=_BOTH_END,
        overdue=Step(DELIVERED, _OVERDUE, ESCALATION),
        extend=Step(DELIVERED, _EXTEND, CHATTER),
        expire=Step(DELIVERED, _EXPIRE, DIGEST),
        revoke_old=Step(DELIVERED, "nothing: the new key goes on", CHATTER),
        postpone=Step(DELIVERED, _POSTPONE, CHATTER),
        cancel=_CANCEL,
    ),
    OVERLAP: _row(
        last_used_end=Step(
            DUE, "the overlap is taken back: the old key works to its own end", ACTIVITY
        ),
        used_end=Step(OVERLAP, "nothing: the overlap of the old key passes as announced", CHATTER),
        late_use=Step(OVERLAP, "half-way through the overlap its addresses are named", ALERT),
        overlap_end=Step(DONE, "old key ends as superseded, unused siblings end", CHATTER),
        revoke_old=Step(DONE, "", CHATTER),
    ),
    DONE: _row(
        successor_end=Step(DONE),
        reuse_old=Step(DONE, _LATE_CALLER, ALERT),
    ),
    CANCELLED: _row(),
}
