"""Whether a recognized API key may be used, as plain rules over the current facts."""

from typing import NamedTuple

from ..access.access_rules import FULL, REPORT
from ..health import probe
from ..integration import networks
from .native_scope import RESTRICTED

# Channels on which API keys can be used: interactive channels never receive one.
KEY_CHANNELS = ("xmlrpc", "jsonrpc", "json2", "http")
_NO_RECORD = (None, None, None, False, None, None, None)
CODE_OF_STATE = {
    "revoked": "key_revoked",
    "superseded": "key_superseded",
    "expired": "key_expired",
    "copied": "key_copied",
}
END_CODES = frozenset(CODE_OF_STATE.values())
"""The causes that hold for good."""


class KeyIdentity(NamedTuple):
    """The key that a secret belongs to: a native row, or our tombstone when that row is gone."""

    native_id: int | None = None
    record_id: int | None = None
    stored_hash: str | None = None
    prefix: str | None = None


class KeyFacts(NamedTuple):
    """What the database says about a key right now.

    :ivar scope: the key's own scope; the native row of a key with rules has another one
    :ivar is_end_recorded: its record says that it has ended, not only its dates or a missing row
    :ivar own_networks: those of the key, in addition to ``allowed_networks`` of its integration
    :ivar lacks_native_rules: it has rules, but its native row does not have their scope
    """

    user_id: int | None
    login: str | None
    user_active: bool | None
    scope: str | None
    natively_expired: bool | None
    key_id: int | None
    state: str | None
    integration_id: int | None
    integration_active: bool | None
    allowed_networks: str | None
    allowed_channels: str | None
    is_end_recorded: bool = False
    lacks_native_rules: bool = False
    access: str | None = None
    access_mode: str | None = None
    own_networks: str | None = None


def live_facts(row: list) -> KeyFacts:
    """Return the facts of a key whose native row exists.

    :param row: user ID, native scope and whether the key has expired natively; then three lists,
        each of which may be None: login and active of the user; ID, scope, state, whether its end
        is recorded, access, mode and networks of our record; ID, active, networks and channels of
        the integration
    """
    user_id, native_scope, natively_expired, user, record, integration = row
    login, user_active = user or (None, None)
    key_id, scope, state, is_end_recorded, *access = record or _NO_RECORD
    has_rules = bool(integration and (integration[2] or integration[3])) or _has_own_rules(*access)
    return KeyFacts(
        user_id,
        login,
        user_active,
        scope if native_scope == RESTRICTED and record else native_scope,
        natively_expired,
        key_id,
        state,
        *(integration or (None, None, None, None)),
        is_end_recorded,
        has_rules and native_scope not in (RESTRICTED, probe.SCOPE),
        *access,
    )


def _has_own_rules(access, mode, own_networks):
    """The same condition as ``KEY_HAS_RULES_SQL`` of :mod:`native_scope`."""
    return bool(own_networks) or (access not in (None, FULL) and mode != REPORT)


def refusal_codes(
    facts: KeyFacts, *, scope: str, channel: str | None, address: str | None
) -> set[str]:
    """Return all causes for which this key must be rejected now; empty when it may be used.

    :param scope: what the caller needs, ``rpc`` for RPC; a key without scope covers everything
    :param channel: None outside of HTTP, where no channel can be rejected
    :param address: None outside of HTTP, where no address can be rejected
    """
    codes = set()
    # As in core, a user that is not known to be active is not.
    if facts.user_id is not None and facts.user_active is not True:
        codes.add("user_archived")
    if facts.integration_id is not None and facts.integration_active is not True:
        codes.add("user_archived")
    if facts.scope is not None and facts.scope != scope:
        codes.add("key_wrong_scope")
    if facts.state in CODE_OF_STATE:
        codes.add(CODE_OF_STATE[facts.state])
    elif facts.natively_expired:
        codes.add("key_expired")
    if facts.user_id is None:
        codes.add("key_revoked")
    if channel is not None:
        codes |= _origin_codes(facts, channel, address)
    return codes


def _origin_codes(facts, channel, address):
    codes = set()
    for allowed in (facts.allowed_networks, facts.own_networks):
        if allowed and not networks.contains(networks.parse_cached(allowed), address):
            codes.add("address_not_allowed")
    allowed = {part.strip() for part in (facts.allowed_channels or "").split(",")} - {""}
    if allowed and channel not in allowed:
        codes.add("channel_not_allowed")
    return codes
