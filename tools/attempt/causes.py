"""The registry of causes: why an attempt to authenticate was rejected.

Every rejected attempt carries one ``code`` of this registry. The texts are for administrators and
owners of integrations; a rejected caller never sees them.

The texts are English literals marked with ``_lt``, which Odoo's export of terms collects. They are
translated where they are shown, by a module of this add-on, since Odoo finds the translation by
the module that calls: ``self.env._(causes.get(code).title)``. No text has a placeholder.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

Severity = Literal["info", "warning", "critical"]


def _lt(text: str) -> str:
    """Mark a literal for the export of terms and return it as it is: no language is known here."""
    return text


@dataclass(frozen=True)
class Cause:
    """One reason for a rejection.

    :ivar code: stable name, stored in ``auth.attempt.cause``
    :ivar title: a few words, for lists
    :ivar explanation: what Odoo saw, in a few short sentences
    :ivar remedy: what to do next and where in Odoo, in a few short sentences
    :ivar severity: ``info`` (usually harmless), ``warning`` (the caller fails until somebody acts)
        or ``critical`` (a working integration has stopped, or a credential is in wrong hands)
    :ivar counts: whether the attempt may be a guess and so counts towards a limit. Rejections of a
        correct secret, by a policy, or of a malformed call do not count.
    :ivar fixes: actions that help, the best first: suffixes of ``auth.attempt.action_fix_*``
    """

    code: str
    title: str
    explanation: str
    remedy: str
    severity: Severity = "warning"
    counts: bool = False
    fixes: tuple[str, ...] = ()


# Causes found before any secret is checked: the same for keys and passwords.
_BEFORE_SECRET = (
    Cause(
        code="database_unknown",
        title=_lt("Unknown database"),
        explanation=_lt(
            "The call requested a database that does not exist on this server. No user or key was "
            "checked."
        ),
        remedy=_lt(
            "Compare the database name in the external system with the one on the Connection "
            "Sheet of the integration. Also check the server's database filter."
        ),
    ),
    Cause(
        code="endpoint_unknown",
        title=_lt("Unknown endpoint"),
        explanation=_lt(
            "The URL starts like an Odoo API, but its path does not exist."
        ),
        remedy=_lt(
            "Correct the URL in the external system: /xmlrpc/2/common and /xmlrpc/2/object, "
            "/jsonrpc, or /json/2/<model>/<method>. The Connection Sheet of the integration lists "
            "them."
        ),
    ),
    Cause(
        code="malformed_request",
        title=_lt("Malformed request"),
        explanation=_lt(
            "The call could not be read. A value has the wrong type, or the service has no method "
            "with this name."
        ),
        remedy=_lt(
            "Ask the developer of the external system to check the order and types of the "
            "arguments: database, user ID as a number, secret as text, then model and method."
        ),
    ),
    Cause(
        code="authenticate_skipped",
        title=_lt("Missing user ID"),
        explanation=_lt(
            "The call had no valid user ID (False, None or 0). Usually, the result of "
            "authenticate was not checked before it was used."
        ),
        remedy=_lt(
            "Find the failed authenticate call just before this one in Integrations ▸ Attempts "
            "and fix its cause. The external system should stop when authenticate returns False."
        ),
    ),
    Cause(
        code="header_missing",
        title=_lt("Authorization header missing"),
        explanation=_lt(
            "This route needs a key in the Authorization header, but the header did not reach Odoo."
        ),
        remedy=_lt(
            "Configure the external system to send 'Authorization: Bearer <key>'. If it already "
            "does, check for a proxy or redirect that removes the header."
        ),
        severity="info",
    ),
    Cause(
        code="header_malformed",
        title=_lt("Authorization header malformed"),
        explanation=_lt(
            "The Authorization header does not have the form 'Bearer <key>'. It has another "
            "scheme, such as Basic, or no key."
        ),
        remedy=_lt(
            "Configure the external system to send the word Bearer, one space and the key, "
            "without quotes."
        ),
    ),
    Cause(
        code="login_missing",
        title=_lt("Login missing"),
        explanation=_lt("The call had an empty login."),
        remedy=_lt(
            "Enter the login of the integration user in the external system. It is shown on the "
            "integration in Integrations ▸ Overview."
        ),
    ),
    Cause(
        code="secret_missing",
        title=_lt("Key or password missing"),
        explanation=_lt(
            "The call had an empty key or password. Often, a setting or environment variable of "
            "the external system is missing."
        ),
        remedy=_lt(
            "Enter the key in the external system. If the key was lost, create a new one. Odoo "
            "cannot show it again."
        ),
        fixes=("issue_key",),
    ),
    Cause(
        code="user_unknown",
        title=_lt("Unknown user"),
        explanation=_lt("No user in this database has this login or user ID."),
        remedy=_lt(
            "Compare the login in the external system with the integration user in Integrations ▸ "
            "Overview. The attempt shows the most similar login. Also check that the correct "
            "database is called."
        ),
        counts=True,
    ),
    Cause(
        code="user_archived",
        title=_lt("Archived user"),
        explanation=_lt(
            "The user is archived. All its keys and passwords are rejected."
        ),
        remedy=_lt(
            "If the integration is still needed, restore its user. Otherwise, turn off the "
            "external system."
        ),
        severity="critical",
        fixes=("restore_user",),
    ),
)

# Causes that take precedence when the secret does not have the shape of a key.
_PASSWORD = (
    Cause(
        code="interactive_not_allowed",
        title=_lt("Web login not allowed"),
        explanation=_lt(
            "Someone tried to sign in at the web login as an integration user. Integration users "
            "can only make API calls."
        ),
        remedy=_lt(
            "Sign in with a personal user. If the external system must use the web login, create "
            "a separate user for it."
        ),
    ),
    Cause(
        code="password_not_allowed",
        title=_lt("Password instead of a key"),
        explanation=_lt(
            "This user can only sign in with an API key, but the call did not have one."
        ),
        remedy=_lt(
            "Create an API key and enter it in the external system instead of the password."
        ),
        counts=True,
        fixes=("issue_key",),
    ),
    Cause(
        code="password_wrong",
        title=_lt("Wrong password"),
        explanation=_lt(
            "The password of this active user is wrong. Usually, it was changed in Odoo but not "
            "in the external system."
        ),
        remedy=_lt(
            "Create an API key and use it instead of the password. API keys keep working when "
            "the password changes. Otherwise, enter the new password in the external system."
        ),
        counts=True,
        fixes=("issue_key",),
    ),
    Cause(
        code="cooldown",
        title=_lt("Paused by Odoo's login limit"),
        explanation=_lt(
            "Too many logins failed from this address. Odoo rejects all logins from it for a "
            "while, even with the correct password."
        ),
        remedy=_lt(
            "Fix the earlier failures in Integrations ▸ Attempts, then wait. The parameters "
            "base.login_cooldown_after and base.login_cooldown_duration set the limit."
        ),
    ),
    Cause(
        code="throttled",
        title=_lt("Too many wrong passwords"),
        explanation=_lt(
            "Too many attempts failed in a short time, for this login or from this address. "
            "Further attempts are rejected for a while without checking the password."
        ),
        remedy=_lt(
            "Correct the password in the external system, or use an API key: keys are never "
            "limited. The pause is temporary. An administrator can lift it with Unlock User."
        ),
        fixes=("unlock",),
    ),
    Cause(
        code="internal_error",
        title=_lt("Server error"),
        explanation=_lt(
            "A server error prevented the check. The key or password may be correct."
        ),
        remedy=_lt(
            "Send the reference of this attempt to your server administrator, who finds it in the "
            "server log. Do not replace the key."
        ),
        severity="critical",
    ),
)

# Causes that take precedence when the secret has the shape of a key.
_KEY = (
    Cause(
        code="key_unknown",
        title=_lt("Unknown key"),
        explanation=_lt(
            "This looks like an API key but matches no current or past key. It was mistyped, cut "
            "off, or belongs to another database."
        ),
        remedy=_lt(
            "Compare the first 8 characters in the external system with Integrations ▸ Keys and "
            "check the database. If they are equal, enter the whole key again. If they differ, "
            "create a key."
        ),
        counts=True,
        fixes=("issue_key",),
    ),
    Cause(
        code="key_wrong_scope",
        title=_lt("Key not valid for API calls"),
        explanation=_lt(
            "The key is valid, but its scope does not cover API calls."
        ),
        remedy=_lt(
            "Create a key and install it in the external system."
        ),
        fixes=("issue_key",),
    ),
    Cause(
        code="key_user_mismatch",
        title=_lt("Key of another user"),
        explanation=_lt(
            "The key is valid but belongs to another user than the login or user ID in the call."
        ),
        remedy=_lt(
            "Enter the login that belongs to the key in the external system. Integrations ▸ Keys "
            "shows it."
        ),
        fixes=("issue_key",),
    ),
    Cause(
        code="key_revoked",
        title=_lt("Revoked key"),
        explanation=_lt(
            "The key has been revoked or removed. The external system still uses it, or someone "
            "else has it."
        ),
        remedy=_lt(
            "Check the address of the attempt. If it belongs to your external system, create a "
            "new key. If not, find out who has the key."
        ),
        severity="critical",
        fixes=("issue_key", "undo_revocation"),
    ),
    Cause(
        code="key_superseded",
        title=_lt("Replaced key"),
        explanation=_lt(
            "The key was replaced by a rotation, and its overlap is over. Part of the external "
            "system still uses it, or someone else has it."
        ),
        remedy=_lt(
            "Install the new key everywhere the old one is still used. Integrations ▸ Rotations "
            "shows when it was delivered. The attempt shows the address of the call. If no one "
            "kept the new key, create a key for that host."
        ),
        severity="critical",
        fixes=("view_rotation", "issue_key"),
    ),
    Cause(
        code="key_expired",
        title=_lt("Expired key"),
        explanation=_lt("The key has expired."),
        remedy=_lt(
            "Create a key and install it in the external system. To prevent this, an "
            "administrator can choose a policy that delivers new keys automatically."
        ),
        severity="critical",
        fixes=("issue_key",),
    ),
    Cause(
        code="key_copied",
        title=_lt("Key of the original database"),
        explanation=_lt(
            "This database is a neutralized copy. The key belongs to the original database and "
            "does not work in the copy."
        ),
        remedy=_lt(
            "If the external system is meant to call the original, correct its URL and database. "
            "If it is meant to call the copy, create a key here and install it."
        ),
        fixes=("issue_key",),
    ),
    Cause(
        code="address_not_allowed",
        title=_lt("Address not allowed"),
        explanation=_lt(
            "The key is valid, but the address is not in the allowed networks. Behind a proxy, "
            "Odoo may see the proxy's address."
        ),
        remedy=_lt(
            "If the address belongs to your system, allow it. If not, revoke the key: someone else "
            "has it."
        ),
        severity="critical",
        fixes=("add_network", "revoke"),
    ),
    Cause(
        code="channel_not_allowed",
        title=_lt("Protocol not allowed"),
        explanation=_lt(
            "The key is valid, but the integration does not allow this protocol. For example, it "
            "allows only JSON-2 but the call used XML-RPC."
        ),
        remedy=_lt(
            "Use an allowed protocol in the external system, or allow this one for the "
            "integration."
        ),
        fixes=("allow_protocol",),
    ),
    Cause(
        code="session_expired",
        title=_lt("Session expired"),
        explanation=_lt(
            "The session of this API call has expired. It timed out, was logged out, or the "
            "user's password changed."
        ),
        remedy=_lt(
            "The external system must authenticate again when its session expires. Or call "
            "/json/2 with an API key, which needs no session."
        ),
        severity="info",
    ),
    Cause(
        code="session_mismatch",
        title=_lt("Session of another user"),
        explanation=_lt(
            "The key is valid, but the call also had the session cookie of another user. Odoo "
            "does not accept both."
        ),
        remedy=_lt(
            "Configure the external system to send the key without cookies. If several systems "
            "share a cookie store, separate them."
        ),
    ),
    Cause(
        code="second_factor_wrong",
        title=_lt("Wrong second factor"),
        explanation=_lt(
            "The password was correct, but the second-factor code was wrong."
        ),
        remedy=_lt(
            "Check the clock of the device that shows the codes. External systems should use the "
            "API key of an integration, which needs no code."
        ),
        counts=True,
    ),
    Cause(
        code="second_factor_replayed",
        title=_lt("Second-factor code used twice"),
        explanation=_lt(
            "The second-factor code was correct but had already been used. Each code is valid once."
        ),
        remedy=_lt(
            "Wait for the next code. If you did not try twice, the code may have been "
            "intercepted: replace the key or password and check Integrations ▸ Attempts."
        ),
        severity="critical",
        counts=True,
    ),
    Cause(
        code="webhook_unknown",
        title=_lt("Unknown webhook"),
        explanation=_lt(
            "The URL belongs to a webhook, but no automation rule uses it. It was mistyped, or "
            "the rule was deleted, archived or given a new URL."
        ),
        remedy=_lt(
            "Copy the URL again from the rule in Settings ▸ Technical ▸ Automation Rules to the "
            "external system."
        ),
        counts=True,
    ),
    Cause(
        code="provider_error",
        title=_lt("Rejected by the login provider"),
        explanation=_lt(
            "The OAuth or LDAP service rejected this login or could not be reached. If a valid "
            "API key was rejected, another installed app that verifies keys rejected it."
        ),
        remedy=_lt(
            "Check the provider in the section Integrations of Odoo's own General Settings, and "
            "its log. If a key was rejected, check the apps that verify keys. API keys of "
            "integrations do not depend on a provider."
        ),
    ),
    Cause(
        code="operation_not_allowed",
        title=_lt("Operation not allowed"),
        explanation=_lt(
            "The key is valid, but its access does not cover this call. It can only read data, or "
            "only call the operations on its list."
        ),
        remedy=_lt(
            "If the external system needs this call, an owner or administrator can allow it with "
            "Change Access. If not, correct the external system. Revoke the key if someone else "
            "may have it."
        ),
        fixes=("allow_operation", "change_access", "revoke"),
    ),
)

CAUSES: dict[str, Cause] = {cause.code: cause for cause in (*_BEFORE_SECRET, *_PASSWORD, *_KEY)}
"""Every cause by code, in the order in which they count."""

PRECEDENCE: Mapping[bool, tuple[str, ...]] = {
    True: tuple(cause.code for cause in (*_BEFORE_SECRET, *_KEY, *_PASSWORD)),
    False: tuple(cause.code for cause in (*_BEFORE_SECRET, *_PASSWORD, *_KEY)),
}
"""All codes from the strongest to the weakest, by whether the secret has the shape of a key."""

_RANK = {
    shaped: {code: rank for rank, code in enumerate(codes)} for shaped, codes in PRECEDENCE.items()
}


def get(code: str) -> Cause:
    """Return the cause that has a code.

    :raise KeyError: when no cause has this code
    """
    try:
        return CAUSES[code]
    except KeyError:
        raise KeyError(f"no cause has the code {code!r}; see CAUSES for all") from None


def first(codes: Iterable[str], key_shaped: bool) -> str | None:
    """Return the code that takes precedence when several hold.

    :param codes: the codes that hold, in any order
    :param key_shaped: whether the secret has the shape of a key (``redaction.is_key_shaped``)
    :return: the winning code, None when there is none
    :raise KeyError: when a code is not in the registry
    """
    return min(codes, key=_RANK[bool(key_shaped)].__getitem__, default=None)
