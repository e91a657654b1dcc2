"""Which groups of a user give the rights that a key uses, with as few other rights as possible."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .access_rules import HTTP
from .suggestion import Use

Right = tuple[str, str]
"""A model, and one of ``read``, ``write``, ``create`` and ``unlink``."""

METHODS_OF_RIGHTS = {
    "unlink": {"unlink"},
    "create": {"create", "name_create", "copy", "load", "web_save", "web_save_multi"},
    "write": {"write", "web_save", "web_save_multi", "load"},
}
"""By what a right is used. Methods of other names may use it too."""


def used_rights(uses: Iterable[Use]) -> set[Right]:
    """Return the rights that calls have used, as far as method names and writes show."""
    rights = set()
    for use in uses:
        model, method = use.operation
        if model == HTTP:
            continue
        rights.add((model, "read"))
        named = {right for right, methods in METHODS_OF_RIGHTS.items() if method in methods}
        if use.writes and not named:
            named = {"write"}
        rights |= {(model, right) for right in named}
    return rights


def least_groups(
    needed: Iterable[Right], given: set[Right], offered: Mapping[int, set[Right]]
) -> list[int]:
    """Choose groups that give the needed rights, with as few other rights as a quick search finds.

    Each step takes the group that adds the fewest rights for each needed one. Groups that later
    ones made superfluous are removed again.

    :param given: what the user has without any of these groups
    :param offered: all rights that each group gives
    :return: IDs of groups, sorted; needed rights that none of them gives are ignored
    """
    has, chosen = set(given), []
    needed = missing = set(needed) - has
    while found := {id_: rights for id_, rights in offered.items() if rights & missing}:
        best = min(found, key=lambda id_: (len(found[id_] - has) / len(found[id_] & missing), id_))
        chosen.append(best)
        has |= found[best]
        missing = missing - has
    given_by_groups = needed - missing
    for group in list(chosen):
        others = set().union(*(offered[id_] for id_ in chosen if id_ != group))
        if given_by_groups <= others:
            chosen.remove(group)
    return sorted(chosen)
