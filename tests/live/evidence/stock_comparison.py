"""What happens to an ended API key, on stock Odoo and with the add-on, in each worker.

Every worker first accepts every key. Then the key ends, and every worker is called again.
"""

import xmlrpc.client
from typing import NamedTuple

from callers.clients import Session, accepted, administrator, ways
from processes import each_worker, halted_at_commit


class Key(NamedTuple):
    """A personal API key, its native row and its user."""

    uid: int
    login: str
    native_id: int
    secret: str


def make_keys(server, *logins):
    """Create users without a password, each with a native key."""
    made = server.shell(
        """
        import datetime
        end = datetime.datetime.now() + datetime.timedelta(days=30)
        result = []
        for login in logins:
            user = env["res.users"].with_context(no_reset_password=True).create(
                {"name": login, "login": login})
            secret = env["res.users.apikeys"].with_user(user).sudo()._generate(
                None, "by other code", end)
            native = env["res.users.apikeys"].search([("user_id", "=", user.id)])
            result.append([user.id, login, native.id, secret])
        """,
        logins=logins,
    )
    return [Key(*values) for values in made]


def admin_session(server):
    """The administrator's session on a server; it is shared, as each login is slow."""
    if not hasattr(server, "admin_session"):
        server.admin_session = Session(server, "admin", "admin")
    return server.admin_session


def expire(server, key):
    """Set the key's expiration date to the past."""
    server.sql(
        "UPDATE res_users_apikeys SET expiration_date = now() AT TIME ZONE 'UTC' - interval '1 s'"
        " WHERE id = %s",
        [key.native_id],
    )


def vacuum(server, key):
    """Let Odoo's vacuum remove the expired key."""
    expire(server, key)
    server.shell("env['res.users.apikeys']._gc_user_apikeys()")


def remove(server, key):
    """Remove the key with the button in the preferences, as an administrator."""
    admin_session(server).call_checked("res.users.apikeys", "remove", [key.native_id])


def remove_by_code(server, key):
    """Remove the key in another process, as a module or a shell would."""
    server.shell("env['res.users.apikeys'].browse(native_id)._remove()", native_id=key.native_id)


def delete_by_sql(server, key):
    """Delete the key's row by SQL, unnoticed by every process."""
    server.sql("DELETE FROM res_users_apikeys WHERE id = %s", [key.native_id])


def replace_by_sql(server, key):
    """Give the key's row the hash of another key, as a restored backup would."""
    server.sql(
        "UPDATE res_users_apikeys SET index = 'ffffffff', key ="
        " '$pbkdf2-sha512$6000$A.A$' || repeat('A', 86) WHERE id = %s",
        [key.native_id],
    )


def archive_user(server, key):
    """Archive the key's user over the API."""
    administrator(server).call("res.users", "write", [key.uid], {"active": False})


def archive_user_by_sql(server, key):
    """Archive the key's user by SQL, unnoticed by every process."""
    server.sql("UPDATE res_users SET active = FALSE WHERE id = %s", [key.uid])


def delete_user(server, key):
    """Delete the key's user."""
    server.shell("env['res.users'].browse(uid).unlink()", uid=key.uid)


def archive_user_during_call(server, key):
    """Archive the key's user, with a call between the clearing of the caches and the commit."""
    with halted_at_commit(server, "res_users", lambda: archive_user(server, key)):
        assert accepted(ways(server, key.uid, key.login, key.secret)["xmlrpc"])


def remove_during_call(server, key):
    """Remove the key, with a call between the removal and its commit."""
    with halted_at_commit(server, "res_users_apikeys", lambda: remove(server, key)):
        assert accepted(ways(server, key.uid, key.login, key.secret)["xmlrpc"])


ENDS = {
    "expired": expire,
    "expired, vacuumed": vacuum,
    "removed": remove,
    "removed by code": remove_by_code,
    "removed during a call": remove_during_call,
    "deleted by SQL": delete_by_sql,
    "replaced by SQL": replace_by_sql,
    "user archived": archive_user,
    "user archived during a call": archive_user_during_call,
    "user archived by SQL": archive_user_by_sql,
    "user deleted": delete_user,
}
WAYS = ("xmlrpc", "jsonrpc", "json2", "authenticate")


def still_accepted(call):
    """Like :func:`accepted`; stock answers a call of a deleted user with another error."""
    try:
        return accepted(call)
    except (xmlrpc.client.Fault, RuntimeError) as error:
        if "Record does not exist" not in str(error):
            raise
        return False


def measure(server, ways_asked=WAYS, ends=ENDS):
    """Return, for each end and way, how many workers still accept a key that all had accepted.

    Only one worker is called with ``authenticate``, and only after the end: Odoo never caches its
    result, and stock takes half a second for each call.

    :rtype: dict[str, dict[str, int]]
    """
    # The first login of an administrator sets web.base.url, which clears all caches.
    admin_session(server)
    remembered = [way for way in ways_asked if way != "authenticate"]
    table = {}
    for key, (name, end) in zip(make_keys(server, *ends), ends.items(), strict=True):
        calls = ways(server, key.uid, key.login, key.secret)
        for _worker in each_worker(server):
            for way in remembered:
                assert accepted(calls[way]), f"{way} does not work before: {name}"
        end(server, key)
        table[name] = dict.fromkeys(ways_asked, 0)
        for _worker in each_worker(server):
            for way in remembered:
                table[name][way] += still_accepted(calls[way])
        if "authenticate" in ways_asked:
            table[name]["authenticate"] = int(still_accepted(calls["authenticate"]))
    return table
