"""Texts about a cause for one audience: remedies for owners, and additions for the guide.

The texts that every reader sees are in :mod:`causes`. All of them are translated where they are
shown.
"""

from __future__ import annotations

from . import causes


def _lt(text: str) -> str:
    """Mark a literal for the export of terms; see :mod:`causes`."""
    return text


# Remedies for owners, who may not do what the registry advises.
_OWNER_REMEDIES = {
    "user_archived": _lt(
        "If the integration is still needed, ask an administrator to restore its user. Otherwise, "
        "turn off the external system."
    ),
    "address_not_allowed": _lt(
        "If the address belongs to your system, ask an administrator to allow it. If not, revoke "
        "the key: someone else has it."
    ),
    "channel_not_allowed": _lt(
        "Use an allowed protocol in the external system, or ask an administrator to allow this one."
    ),
}

# What the guide adds to the text on screen: where a cause comes from and how to check.
_GUIDE = {
    "database_unknown": _lt(
        "Usually, the database was renamed or moved to another server, or the name has a typing "
        "error. Upper and lower case count. With one database per host name, the host decides: "
        "compare the URL too. If a host name leads to several databases, such a call is only in "
        "the server log, with its reference."
    ),
    "endpoint_unknown": _lt(
        "Common mistakes are /xmlrpc/2 without common or object, and /json/2/res.partner.read "
        "instead of /json/2/res.partner/read. A proxy can also change the path."
    ),
    "malformed_request": _lt(
        "Often, the login is sent where the user ID is expected, or the arguments are not in a "
        "list. To compare, make the same call with doctor.py from the same host."
    ),
    "authenticate_skipped": _lt(
        "authenticate does not raise an error when it is rejected: it returns False. An "
        "external system that continues with False sends no user ID. /json/2 needs no user ID."
    ),
    "header_missing": _lt(
        "Most HTTP libraries drop the header when a redirect leads to another host or from http to "
        "https. Call the final URL. A proxy that asks for a password itself may remove it too."
    ),
    "header_malformed": _lt(
        "A key in the user name and password fields of an HTTP library is sent as Basic. Use a "
        "custom header instead. A trailing line break in a key file also breaks the header."
    ),
    "login_missing": _lt(
        "Often, the setting has another name than the external system expects, or is empty in one "
        "environment, such as a container or a scheduled job."
    ),
    "secret_missing": _lt(
        "Scheduled jobs and services do not read the environment of your shell. Print whether the "
        "variable is set, never its value."
    ),
    "user_unknown": _lt(
        "Logins are compared exactly: upper and lower case and spaces count. After a conversion "
        "to an integration, the login changes to the one of the integration user."
    ),
    "user_archived": _lt(
        "Archiving a user stops its keys with the next call. It is often done when a person "
        "leaves whose account an external system also used. Convert such keys to an integration."
    ),
    "interactive_not_allowed": _lt(
        "The web login includes the mobile app and /web/session/authenticate. No password of an "
        "integration user works, even if one is stored."
    ),
    "password_not_allowed": _lt(
        "This holds for all integration users, and for users with a second factor. Put the key "
        "where the password is: the other settings can stay."
    ),
    "password_wrong": _lt(
        "An external system that repeats its calls can pause the login of its user. It is safer to "
        "turn it off until the password is corrected."
    ),
    "cooldown": _lt(
        "This limit is part of Odoo and counts failures per address. Behind a proxy without "
        "proxy_mode, all external systems have the proxy's address and are paused together."
    ),
    "throttled": _lt(
        "The limit counts per login and address, per address, and per login over all new "
        "addresses. Addresses that signed in within the last 30 days are not affected by the "
        "failures of others."
    ),
    "internal_error": _lt(
        "Common reasons are a lost connection to PostgreSQL, a full disk, or another app whose "
        "code fails during sign-in. The call can work again without a change: try once more."
    ),
    "key_unknown": _lt(
        "A key has 40 characters, 0 to 9 and a to f. Quotes, spaces and a trailing line break "
        "belong to the key that is sent. A test database has other keys. “Probably mistyped” on "
        "the attempt means that it starts like a known key but the rest differs. Enter it again, "
        "or create a new key."
    ),
    "key_wrong_scope": _lt(
        "Other apps create keys for their own purposes, which Odoo does not accept for API calls. "
        "Keys created here, or under My Preferences ▸ Security, have the right scope."
    ),
    "key_user_mismatch": _lt(
        "XML-RPC and JSON-RPC send a login or user ID and a key: both must be of one user. This "
        "often happens after a conversion to an integration, when only the key was replaced. "
        "/json/2 sends the key only."
    ),
    "key_revoked": _lt(
        "The key shows who revoked it, when and why. Within an hour, an administrator can use Undo "
        "Revocation. A key that was revoked because it was stolen must stay revoked."
    ),
    "key_superseded": _lt(
        "Often, a second host, a backup job or a colleague's computer has a copy of the old key. "
        "View Calls with Old Key on the rotation lists the addresses."
    ),
    "key_expired": _lt(
        "No setting makes an expired key work again. Owners are notified before the Replace By "
        "date: check that the integration has an owner whose email address is correct."
    ),
    "key_copied": _lt(
        "In a neutralized copy, no key of the original works, and nothing makes it work again "
        "there. In the original database, it is not affected."
    ),
    "address_not_allowed": _lt(
        "Addresses of cloud services and home connections change. Allow the range that the "
        "provider documents. If all calls seem to come from one address, a proxy is in front: "
        "proxy_mode must be on."
    ),
    "channel_not_allowed": _lt(
        "XML-RPC is /xmlrpc/2, JSON-RPC is /jsonrpc, JSON-2 is /json/2. All other paths are HTTP "
        "routes. Odoo plans to remove XML-RPC and JSON-RPC in Odoo 22."
    ),
    "operation_not_allowed": _lt(
        "The answer to the call names the operation, with status 403. To find out what a key "
        "needs, set its access to report only for two weeks: nothing is rejected then."
    ),
    "session_expired": _lt(
        "By default, a session expires after a week without a call. A changed password and Log out "
        "from all devices close it immediately."
    ),
    "session_mismatch": _lt(
        "HTTP libraries, such as a Python Session, keep the cookies of earlier answers. Use a new "
        "session for calls with a key, or delete its cookies."
    ),
    "second_factor_wrong": _lt(
        "Codes change every 30 seconds. A clock that is off by a minute makes every code wrong. "
        "Compare it with a time server."
    ),
    "second_factor_replayed": _lt(
        "Two external systems that share one second factor, or a call that is repeated after a "
        "timeout, send the same code twice."
    ),
    "webhook_unknown": _lt(
        "The URL of a webhook contains a secret. With Renew on the automation rule, the "
        "old URL stops working."
    ),
    "provider_error": _lt(
        "LDAP and OAuth are asked on each sign-in with a password. When the service is down, no "
        "user of it can sign in, but API keys keep working."
    ),
}


def owner_remedy(code: str) -> str:
    """Return what an owner can do about a cause."""
    return _OWNER_REMEDIES.get(code) or causes.get(code).remedy


def guide(code: str) -> str:
    """Return what the guide adds to the text on screen about a cause."""
    return _GUIDE[code]
