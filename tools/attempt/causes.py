"""Why an attempt to authenticate was refused: the one registry of causes.

Every refused attempt carries one ``code`` of this registry. The texts are for administrators and
owners of integrations; a caller that was refused never sees them.

The texts are English literals marked with ``_lt``, which Odoo's export of terms collects. They are
translated where they are shown, by a module of this add-on, since Odoo finds the translation by
the module that calls: ``self.env._(causes.get(code).title)``. None of them has a placeholder.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

Severity = Literal["info", "warning", "critical"]


def _lt(text: str) -> str:
    """Mark a literal for the export of terms. It stays as it is: no language is known here."""
    return text


@dataclass(frozen=True)
class Cause:
    """One reason for a refusal.

    :ivar code: stable name, stored in ``auth.attempt.cause``
    :ivar title: a few words, for lists
    :ivar explanation: what Odoo saw, in one or two sentences
    :ivar remedy: what to do next and where in Odoo, in one or two sentences
    :ivar severity: ``info`` (usually harmless), ``warning`` (the caller fails until somebody acts)
        or ``critical`` (a working integration has stopped, or a credential is in wrong hands)
    :ivar counts: whether the attempt may be a guess, and so counts towards a limit. Refusals of a
        secret that was right, of policy and of form do not.
    :ivar fixes: what helps, the best first: suffixes of ``auth.attempt.action_fix_*``
    """

    code: str
    title: str
    explanation: str
    remedy: str
    severity: Severity = "warning"
    counts: bool = False
    fixes: tuple[str, ...] = ()


# What is wrong before any secret is looked at: the same for keys and passwords.
_BEFORE_SECRET = (
    Cause(
        code="database_unknown",
        title=_lt("Unknown database"),
        explanation=_lt(
            "The caller named a database that this server does not serve. "
            "No user and no key was checked."
        ),
        remedy=_lt(
            "Compare the database name in the external system, letter by letter, with the one on "
            "the integration's Connection Sheet, and look at the server's database filter."
        ),
    ),
    Cause(
        code="endpoint_unknown",
        title=_lt("Unknown endpoint"),
        explanation=_lt(
            "The address called lies under an API of Odoo, but nothing answers at that path."
        ),
        remedy=_lt(
            "Correct the URL in the external system: /xmlrpc/2/common and /xmlrpc/2/object, "
            "/jsonrpc, or /json/2/<model>/<method>. The integration's Connection Sheet lists them."
        ),
    ),
    Cause(
        code="malformed_request",
        title=_lt("Malformed request"),
        explanation=_lt(
            "The call could not be read as an authentication: a value has the wrong type, "
            "or the service has no method of that name."
        ),
        remedy=_lt(
            "Have the developer of the external system check the order and the types of the "
            "arguments: database, user id as a number, secret as text, then model and method."
        ),
    ),
    Cause(
        code="authenticate_skipped",
        title=_lt("Called without a user id"),
        explanation=_lt(
            "The call carried no user id (False, None or 0). Usually the answer of "
            "authenticate was not checked before it was used."
        ),
        remedy=_lt(
            "Look in Integrations ▸ Attempts for the failed authenticate just before "
            "this one and solve that cause. The client should stop when authenticate answers False."
        ),
    ),
    Cause(
        code="header_missing",
        title=_lt("Authorization header missing"),
        explanation=_lt(
            "The route asks for a key in the Authorization header, and the request reached "
            "Odoo without that header."
        ),
        remedy=_lt(
            "Have the external system send 'Authorization: Bearer <key>'. If it does, look for a "
            "proxy or a redirect on the way that removes the header."
        ),
        severity="info",
    ),
    Cause(
        code="header_malformed",
        title=_lt("Authorization header malformed"),
        explanation=_lt(
            "The request has an Authorization header, but not of the form 'Bearer <key>': "
            "another scheme such as Basic, or no key after it."
        ),
        remedy=_lt(
            "Have the external system send the word Bearer, one space and the key, without quotes."
        ),
    ),
    Cause(
        code="login_missing",
        title=_lt("Login missing"),
        explanation=_lt("The caller sent an empty login."),
        remedy=_lt(
            "Enter the login of the integration user in the external system. It is shown on the "
            "integration in Integrations ▸ Overview."
        ),
    ),
    Cause(
        code="secret_missing",
        title=_lt("Key or password missing"),
        explanation=_lt(
            "The caller sent an empty key or password. Often a setting or an environment variable "
            "of the external system is not filled in."
        ),
        remedy=_lt(
            "Enter the key in the external system. If nobody has it any more, replace it in "
            "Integrations ▸ Keys: Odoo cannot show it again."
        ),
        fixes=("issue_key",),
    ),
    Cause(
        code="user_unknown",
        title=_lt("Unknown user"),
        explanation=_lt("No user of this database has the login or the user id that was sent."),
        remedy=_lt(
            "Compare the login in the external system with the integration user in Integrations ▸ "
            "Overview; the attempt names the most similar login. Check that the "
            "right database is called."
        ),
        counts=True,
    ),
    Cause(
        code="user_archived",
        title=_lt("User archived"),
        explanation=_lt(
            "The user exists and is archived. None of its keys and passwords is accepted."
        ),
        remedy=_lt(
            "If the integration is still needed, restore its user: on the integration, or in "
            "Settings ▸ Users & Companies ▸ Users. Else switch the external system off."
        ),
        severity="critical",
        fixes=("restore_user",),
    ),
)

# The rest of the design's left column.
_PASSWORD = (
    Cause(
        code="interactive_not_allowed",
        title=_lt("Interactive login not allowed"),
        explanation=_lt(
            "Somebody tried to log in at the web page as the integration user of an integration. "
            "Such users are for API calls only."
        ),
        remedy=_lt(
            "Log in with a personal user. If a program must use the web login, give it a user of "
            "its own that is not the integration user of an integration."
        ),
    ),
    Cause(
        code="password_not_allowed",
        title=_lt("Password instead of a key"),
        explanation=_lt(
            "This user is accepted with an API key only, and what was sent is not a key."
        ),
        remedy=_lt(
            "Put an API key where the external system has the password. Issue one on the "
            "integration in Integrations ▸ Overview."
        ),
        counts=True,
        fixes=("issue_key",),
    ),
    Cause(
        code="password_wrong",
        title=_lt("Wrong password"),
        explanation=_lt(
            "The user exists and is active, but the password is not the right one. Usually it was "
            "changed in Odoo and not in the external system."
        ),
        remedy=_lt(
            "Give the external system an API key instead, which no change of password breaks: "
            "Integrations ▸ Overview. Else enter the new password there."
        ),
        counts=True,
        fixes=("issue_key",),
    ),
    Cause(
        code="cooldown",
        title=_lt("Paused by Odoo's login limit"),
        explanation=_lt(
            "Too many logins failed from this address, so Odoo refuses every login from it for "
            "a while, even with the right password."
        ),
        remedy=_lt(
            "Solve the failures before this one in Integrations ▸ Attempts, then wait. "
            "The parameters base.login_cooldown_after and base.login_cooldown_duration set "
            "the limit."
        ),
    ),
    Cause(
        code="throttled",
        title=_lt("Too many wrong passwords"),
        explanation=_lt(
            "Too many attempts failed in a short time, for this login or from this address. "
            "Further ones are rejected for a while without looking at the password."
        ),
        remedy=_lt(
            "Correct the password in the external system, or give it an API key: keys are never "
            "limited. The pause ends by itself; an administrator can end it with Unlock on the "
            "user's form."
        ),
    ),
    Cause(
        code="internal_error",
        title=_lt("Error in the server"),
        explanation=_lt(
            "An error in the server prevented the check. It says nothing about the key or password."
        ),
        remedy=_lt(
            "Find the reference of this attempt in the server log and send the lines around it to "
            "whoever runs the server. Do not replace the key for this."
        ),
        severity="critical",
    ),
)

# The design's right column.
_KEY = (
    Cause(
        code="key_unknown",
        title=_lt("Unknown key"),
        explanation=_lt(
            "What was sent has the shape of an API key, but no key matches it, also none that has "
            "ended. It was mistyped, cut off, or belongs to another database."
        ),
        remedy=_lt(
            "Compare the first 8 characters in the external system with Integrations ▸ "
            "Keys and check the database. If they differ, issue a new key."
        ),
        counts=True,
        fixes=("issue_key",),
    ),
    Cause(
        code="key_wrong_scope",
        title=_lt("Key of another scope"),
        explanation=_lt(
            "The key is right, but it was made for another purpose and does not cover API calls."
        ),
        remedy=_lt(
            "Issue a key on the integration in Integrations ▸ Overview and use it here."
        ),
        fixes=("issue_key",),
    ),
    Cause(
        code="key_user_mismatch",
        title=_lt("Key of another user"),
        explanation=_lt(
            "The key is right, but it belongs to another user than the login or user id "
            "sent with it."
        ),
        remedy=_lt(
            "Look the key up in Integrations ▸ Keys and set its login in the external "
            "system, or use a key of the user that is named there."
        ),
        fixes=("issue_key",),
    ),
    Cause(
        code="key_revoked",
        title=_lt("Revoked key"),
        explanation=_lt(
            "The key was right once and has been revoked or removed since. Either the external "
            "system was forgotten, or somebody else has the key."
        ),
        remedy=_lt(
            "Check the address of the attempt. If it is your external system, issue a new key on "
            "the integration in Integrations ▸ Overview; else find out how the key got there."
        ),
        severity="critical",
        fixes=("issue_key",),
    ),
    Cause(
        code="key_superseded",
        title=_lt("Key replaced by a newer one"),
        explanation=_lt(
            "The key was retired by a rotation and its overlap is over. A part of the external "
            "system still uses the old key, or somebody else has it."
        ),
        remedy=_lt(
            "Put the new key wherever the old one is still set. Integrations ▸ "
            "Rotations shows when it was handed over, and the attempt shows the caller's address."
        ),
        severity="critical",
        fixes=("view_rotation", "issue_key"),
    ),
    Cause(
        code="key_expired",
        title=_lt("Expired key"),
        explanation=_lt("The key is right, but its end has passed."),
        remedy=_lt(
            "Issue a new key on the integration in Integrations ▸ Overview and put it in the "
            "external system. A policy with automatic rotation prevents this: "
            "Integrations ▸ Policies."
        ),
        severity="critical",
        fixes=("issue_key",),
    ),
    Cause(
        code="address_not_allowed",
        title=_lt("Address not allowed"),
        explanation=_lt(
            "The key is right, but the call came from an address outside the allowed networks of "
            "the integration. Behind a proxy, Odoo may see the address of the proxy."
        ),
        remedy=_lt(
            "If the address is yours, add it to the allowed networks of the integration in "
            "Integrations ▸ Overview. If not, replace the key: somebody else has it."
        ),
        severity="critical",
        fixes=("add_network", "rotate"),
    ),
    Cause(
        code="channel_not_allowed",
        title=_lt("Protocol not allowed"),
        explanation=_lt(
            "The key is right, but the integration may not use this protocol, for instance "
            "XML-RPC where only JSON-2 is allowed."
        ),
        remedy=_lt(
            "Have the external system use an allowed protocol, or add this one to the allowed "
            "channels of the integration in Integrations ▸ Overview."
        ),
    ),
    Cause(
        code="session_expired",
        title=_lt("Session ended"),
        explanation=_lt(
            "An API call used a session that has ended: it timed out, was logged out, or the "
            "password of its user changed."
        ),
        remedy=_lt(
            "The client has to authenticate again when its session ends. Better, let it call "
            "/json/2 with an API key of an integration, which needs no session."
        ),
        severity="info",
    ),
    Cause(
        code="session_mismatch",
        title=_lt("Session of another user"),
        explanation=_lt(
            "The key is right, but the same request carries the session cookie of another user, "
            "and Odoo refuses to mix the two."
        ),
        remedy=_lt(
            "Have the client send the key without any cookie. When programs share a cookie "
            "store, separate them."
        ),
    ),
    Cause(
        code="second_factor_wrong",
        title=_lt("Wrong second factor"),
        explanation=_lt(
            "The code of the second factor was wrong. The first factor had been accepted before."
        ),
        remedy=_lt(
            "Check the clock of the device that makes the codes. A program should use the API key "
            "of an integration, which asks for no code."
        ),
        counts=True,
    ),
    Cause(
        code="second_factor_replayed",
        title=_lt("Second factor used twice"),
        explanation=_lt(
            "The code of the second factor was right, but it had been used already. Each code is "
            "accepted once."
        ),
        remedy=_lt(
            "Wait for the next code. If nobody of yours tried twice, somebody may have seen the "
            "code: replace the key or password and look at Integrations ▸ Attempts."
        ),
        severity="critical",
        counts=True,
    ),
    Cause(
        code="webhook_unknown",
        title=_lt("Unknown webhook"),
        explanation=_lt(
            "The address called is that of a webhook, but no automation rule answers to it: it was "
            "mistyped, removed, archived, or its address was renewed."
        ),
        remedy=_lt(
            "Copy the address again from the rule in Settings ▸ Technical ▸ Automation Rules into "
            "the external system."
        ),
        counts=True,
    ),
    Cause(
        code="provider_error",
        title=_lt("Refused by the login provider"),
        explanation=_lt(
            "The outside service that checks this login (OAuth or LDAP) refused it or could not be "
            "reached. A good API key was refused by another installed module that checks keys too."
        ),
        remedy=_lt(
            "Check the provider in Settings ▸ General Settings ▸ Integrations and its own log, and "
            "for a refused key the modules that check keys. The API key of an integration depends "
            "on no provider."
        ),
    ),
    Cause(
        code="operation_not_allowed",
        title=_lt("Operation not allowed"),
        explanation=_lt(
            "The key is valid, but its access does not cover this call: it may only read, or only "
            "call the operations on its list."
        ),
        remedy=_lt(
            "If the external system needs this call, an owner or an administrator of integrations "
            "allows it under Change Access on the key. If not, correct the external system, or "
            "rotate the key if somebody else may have it."
        ),
        fixes=("allow_operation", "change_access", "rotate"),
    ),
)

CAUSES: dict[str, Cause] = {cause.code: cause for cause in (*_BEFORE_SECRET, *_PASSWORD, *_KEY)}
"""Every cause by code, in the order of the design: its left column, then its right one."""

PRECEDENCE: Mapping[bool, tuple[str, ...]] = {
    True: tuple(cause.code for cause in (*_BEFORE_SECRET, *_KEY, *_PASSWORD)),
    False: tuple(cause.code for cause in (*_BEFORE_SECRET, *_PASSWORD, *_KEY)),
}
"""All codes from the strongest to the weakest, by whether the secret has the shape of a key."""

_RANK = {
    shaped: {code: rank for rank, code in enumerate(codes)} for shaped, codes in PRECEDENCE.items()
}


def get(code: str) -> Cause:
    """Return the cause of a code.

    :raise KeyError: when no cause has this code
    """
    try:
        return CAUSES[code]
    except KeyError:
        raise KeyError(f"no cause has the code {code!r}; see CAUSES for all") from None


def first(codes: Iterable[str], key_shaped: bool) -> str | None:
    """Return the code that is the cause when several hold.

    :param codes: the codes that hold, in any order
    :param key_shaped: whether the secret has the shape of a key (``redaction.is_key_shaped``)
    :return: the winning code, None when there is none
    :raise KeyError: when a code is not in the registry
    """
    ranks = _RANK[bool(key_shaped)]
    return min(codes, key=lambda code: ranks[get(code).code], default=None)
