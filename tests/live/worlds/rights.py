"""The people, integrations and keys by which the tests of rights try what each of them may do."""

from callers.clients import Jsonrpc, Refused, Session

PASSWORD = "a good password"
INTEGRATION, KEY, USERS = "auth.integration", "auth.integration.key", "res.users"

MAKE_WORLD = """
    from datetime import datetime, timedelta
    soon = datetime.now() + timedelta(days=1)
    people, ids = {}, {}

    def person(login, *groups):
        user = env["res.users"].create({
            "name": login, "login": login, "password": password,
            "group_ids": [(6, 0, [env.ref(group).id for group in groups])]})
        people[login] = [user.id, env["res.users.apikeys"].with_user(user).sudo()._generate(
            None, login, soon)]
        return user

    def integration(code, owner, **values):
        made = env["auth.integration"].create(
            {"name": code, "code": code, "owner_ids": [(6, 0, owner.ids)], **values})
        ids[code] = made.id
        ids[code + "_user"] = made.user_id.id
        return made

    person("portal", "base.group_portal")
    person("employee", "base.group_user")
    person("access_rights", "base.group_user", "base.group_erp_manager")
    person("manager", "base.group_user", "auth_integration.auth_integration_group_manager")
    person("settings", "base.group_user", "base.group_system")
    owner = person("owner", "base.group_user")
    person("second", "base.group_user")
    policy = env["auth.integration.policy"].create({"name": "another", "max_age_days": 180})
    shop = integration("shop", owner, allowed_networks="10.0.0.0/8\\n127.0.0.0/8",
                       allowed_channels="jsonrpc,json2,xmlrpc")
    shop.totp_enrolled_at = datetime.now()
    open_one = integration("open", owner)
    integration("foreign", person("third", "base.group_user"))
    privileged = integration("privileged", owner)
    privileged.user_id.group_ids = [(4, env.ref("base.group_system").id)]
    open_one.user_id.password = "from before"
    spare = env["res.users"].create({"name": "spare", "login": "spare"})
    for name in ("shop", "open", "privileged"):
        ids[name + "_key"] = 0
        issued = env["auth.integration"].browse(ids[name]).issue_key()
        people[name] = [ids[name + "_user"], issued["key"]]
        ids[name + "_key"] = env["auth.integration.key"].search(
            [("prefix", "=", issued["prefix"])]).id
    rotating = integration("rotating", owner)
    rotating.issue_key()
    rotating.key_ids.action_rotate_now()
    ids["rotation"] = env["auth.integration.rotation"].search(
        [("integration_id", "=", rotating.id)]).id
    narrow = shop.policy_id.copy({"name": "narrow", "overlap_days": 1})
    ids.update(policy=policy.id, narrow_policy=narrow.id, company=env.company.id,
               default_policy=shop.policy_id.id, spare=spare.id,
               **{"me_" + login: uid for login, (uid, secret) in people.items()},
               system=env.ref("base.group_system").id)
    env["auth.integration.key.address"].sudo().create({
        "key_id": ids["shop_key"], "address": "192.0.2.77", "first_seen": soon, "last_seen": soon})
    result = {"people": people, "ids": ids}
"""
STATE = (
    "SELECT id, name, code, active, user_id, webhook_url, alert_url, allowed_networks,"
    " allowed_channels, totp_enrolled_at, totp_locked_until, policy_id FROM auth_integration"
    " ORDER BY id",
    "SELECT * FROM auth_integration_owner_rel ORDER BY 1, 2",
    "SELECT id, ended_at, expires_at, end_reason FROM auth_integration_key ORDER BY id",
    "SELECT id, user_id FROM res_users_apikeys ORDER BY id",
    "SELECT id, active, password FROM res_users ORDER BY id",
    "SELECT id, cancelled_at FROM auth_integration_rotation ORDER BY id",
    "SELECT id, alert_url FROM res_company ORDER BY id",
    "SELECT id, max_age_days, delivery FROM auth_integration_policy ORDER BY id",
)


class World:
    """The people, their keys, and the ids of what there is, by name."""

    def __init__(self, server):
        self.server = server
        made = server.shell(MAKE_WORLD, password=PASSWORD)
        self.people, self.ids = made["people"], made["ids"]

    def state(self):
        return [self.server.sql(query) for query in STATE]

    def by_key(self, who, model, method, *args, **kwargs):
        client = Jsonrpc(self.server, *self.people[who])
        return client.call(model, method, *self.filled(args), **self.filled(kwargs))

    def session(self, who):
        return Session(self.server, who, PASSWORD)

    def filled(self, value):
        if isinstance(value, str) and value.startswith("$"):
            return self.ids[value[1:]]
        if isinstance(value, list | tuple):
            return [self.filled(item) for item in value]
        if isinstance(value, dict):
            return {name: self.filled(item) for name, item in value.items()}
        return value


def answer_of(call, *args, **kwargs):
    try:
        return call(*args, **kwargs)
    except (RuntimeError, Refused) as error:
        return error
