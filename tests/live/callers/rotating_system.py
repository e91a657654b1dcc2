"""An external system whose integration fetches its own keys, for tests of ``rotate``."""

import itertools
import time
import xmlrpc.client

import pyotp

from callers.clients import Json2, Jsonrpc, Line, Xmlrpc

HOME, ELSEWHERE = "127.0.0.2", "127.0.0.3"
CHANNELS = ["xmlrpc", "jsonrpc", "json2"]
STEP = 30  # seconds of a TOTP code
ANSWER = {"key", "prefix", "expires_at", "old_key_valid_until"}
numbers = itertools.count(1)


class System:
    """An external system whose integration fetches its own keys.

    :param due: whether its key is due
    :param known: whether it has called from ``HOME`` for a month
    :param enrolled: whether it has a second factor
    """

    def __init__(self, server, delivery="self_service", due=True, known=False, enrolled=False):
        self.server, self.seed = server, pyotp.random_base32() if enrolled else None
        self.code = f"system{next(numbers)}"
        made = server.shell(
            """
            import pyotp, time
            policy = env["auth.integration.policy"].create({"name": login, "delivery": delivery})
            integration = env["auth.integration"].create({
                "name": login, "code": login, "policy_id": policy.id,
                "owner_ids": [(4, env.ref("base.user_admin").id)]})
            if seed:
                integration._set_totp_seed(seed, pyotp.TOTP(seed).at(time.time() - 30))
                integration.totp_last_step = 0  # no test waits for the next code
            result = {"id": integration.id, "uid": integration.user_id.id,
                      "key": integration.issue_key()["key"]}
            """,
            login=self.code,
            delivery=delivery,
            seed=self.seed,
        )
        self.id, self.uid, self.key = made["id"], made["uid"], made["key"]
        self.call("json2", "whoami", source=HOME)
        if known:
            self.know(HOME)
        if due:
            self.end_in(20)

    def take_keys_at(self, url):
        """Configure a signed webhook that gets the new keys."""
        self.server.shell(
            """
            from odoo.addons.auth_integration.tools.delivery import signatures
            integration = env["auth.integration"].browse(id_)
            integration.webhook_url = url
            integration._set_webhook_secret(signatures.new_secret())
            """,
            id_=self.id,
            url=url,
        )

    def end_in(self, days):
        """Make the key expire in this many days, and be due from 30 days before."""
        self.server.sql(
            """
            WITH ends AS (
                UPDATE auth_integration_key SET (replace_by, expires_at) = (
                    SELECT moment, moment FROM (SELECT now() AT TIME ZONE 'UTC'
                        + make_interval(days => %s) AS moment) dates)
                WHERE integration_id = %s RETURNING apikey_id, expires_at)
            UPDATE res_users_apikeys n SET expiration_date = ends.expires_at
            FROM ends WHERE n.id = ends.apikey_id
            """,
            [days, self.id],
        )

    def know(self, address, days=30):
        self.server.sql(
            "UPDATE auth_integration_key_address a SET first_seen = first_seen"
            " - make_interval(days => %s) FROM auth_integration_key k"
            " WHERE k.id = a.key_id AND k.integration_id = %s AND a.address = %s",
            [days, self.id, address],
        )

    def set_policy(self, **values):
        self.server.shell(
            "env['auth.integration'].browse(id_).policy_id.write(values)",
            id_=self.id,
            values=values,
        )

    def totp(self, shift=0):
        return pyotp.TOTP(self.seed).at(time.time() + shift * STEP)

    def client(self, channel, key=None, source=ELSEWHERE, headers=()):
        key, line = key or self.key, Line(self.server, source=source)
        return {
            "xmlrpc": lambda: Xmlrpc(self.server, self.uid, key, line),
            "jsonrpc": lambda: Jsonrpc(self.server, self.uid, key, line),
            "json2": lambda: Json2(self.server, key, line, headers),
        }[channel]()

    def call(self, channel, method, key=None, source=ELSEWHERE, **arguments):
        return self.client(channel, key, source).call("auth.integration.key", method, **arguments)

    def rotate(self, channel, key=None, source=ELSEWHERE, **arguments):
        return self.call(channel, "rotate", key, source, **arguments)

    def refusal(self, channel, **arguments):
        """Return why a call of ``rotate`` is refused; it must not have changed the keys."""
        before = self.keys()
        words = reason(lambda: self.rotate(channel, **arguments))
        assert self.keys() == before
        return words

    def keys(self):
        return self.server.sql(
            "SELECT prefix, ended_at, retire_at FROM auth_integration_key"
            " WHERE integration_id = %s ORDER BY id",
            [self.id],
        )


def reason(call):
    """The message with which the call of a good key is refused."""
    try:
        answer = call()
    except xmlrpc.client.Fault as fault:
        return fault.faultString
    except RuntimeError as error:
        return str(error)
    raise AssertionError(f"accepted: {set(answer)}")
