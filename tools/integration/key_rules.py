"""What limits or directs API keys, as plain values, and whether a change of it allows more."""

from __future__ import annotations

from typing import NamedTuple

from ..access import access_rules
from ..access.access_rules import KeyAccess
from ..key.key_state import Lifetime
from . import networks


class KeyRules(NamedTuple):
    """What limits the keys of an integration, and who or what gets them.

    A single key, which only has an access of its own, is compared with defaults for the rest.

    :ivar active: whether the keys of the integration work at all
    :ivar user: id of the user as whom the keys act
    :ivar company: id of the company of the integration, whose webhook gets its alerts
    :ivar owners: ids of the users who can create and claim keys
    :ivar targets: URLs to which new keys and alerts are posted
    :ivar delivery: code of the way in which new keys are delivered
    :ivar networks: text of the allowed networks; empty means any address
    :ivar channels: allowed protocols; empty means all
    :ivar lifetime: how long keys work
    :ivar access: of the key, or that new keys have unless another is chosen
    """

    active: bool = True
    user: int = 0
    company: int = 0
    owners: frozenset[int] = frozenset()
    targets: frozenset[str] = frozenset()
    delivery: str = ""
    networks: str = ""
    channels: frozenset[str] = frozenset()
    lifetime: Lifetime = Lifetime(0, 0, 0)
    access: KeyAccess = KeyAccess()


def is_wider(new: KeyRules, old: KeyRules) -> bool:
    """Whether new rules allow anything that the old ones do not, or give keys to anyone else."""
    return bool(
        (new.active and not old.active)
        or is_handed_over(new, old)
        or new.targets - old.targets
        or new.delivery != old.delivery
        or networks.is_wider(new.networks, old.networks)
        or (old.channels and not (new.channels and new.channels <= old.channels))
        or any(map(int.__gt__, new.lifetime, old.lifetime))
        or access_rules.is_wider(new.access, old.access)
    )


def is_handed_over(new: KeyRules, old: KeyRules) -> bool:
    """Whether keys would act as another user or in another company, or get another owner."""
    return bool(
        new.user != old.user or new.company != old.company or new.owners - old.owners
    )
