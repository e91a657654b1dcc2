"""Shared by the tests of the limits on guessing: servers on one database, people, guessers."""

from concurrent.futures import ThreadPoolExecutor

from callers.clients import Authenticate, Line, Refused, Session, Xmlrpc
from dev.common import TEST_ADDONS
from dev.servers.live_server import LiveServer

# Hashes quickly, as the tests check thousands of times whether a password is hashed.
SERVER = {
    "modules": ("auth_integration", "auth_integration_faults"),
    "extra_addons": (TEST_ADDONS,),
}
PASSWORD = "the right password"
# Lower than the defaults, so that fewer calls are needed.
FAILURES, WIDE = 3, 30
PEOPLE = ("alice", "bob", "carol", "dave", "erin", "1001", "0", "1.5", "True")

MAKE_PEOPLE = """
    env["ir.config_parameter"].set_param("base.login_cooldown_after", "0")
    env["ir.config_parameter"].set_param("auth_integration.attempt_new_rows_per_minute", "100000")
    env["ir.config_parameter"].set_param("auth_integration.throttle_failures", str(failures))
    uids = {}
    for login in people:
        user = env["res.users"].create({
            "name": login, "login": login, "password": password, "email": f"{login}@example.com"})
        uids[login] = user.id
    archived = env["res.users"].create({"name": "gone", "login": "gone", "password": password})
    archived.active = False
    integration = env["auth.integration"].create(
        {"name": "robot", "code": "robot", "owner_ids": [(4, env.ref("base.user_admin").id)]})
    uids |= {"gone": archived.id, "robot": integration.user_id.id}
    result = {"uids": uids, "key": integration.issue_key()["key"]}
"""


class World:
    """People in a database, and the servers that serve it."""

    def __init__(self, *servers):
        self.servers = servers
        made = servers[0].shell(
            MAKE_PEOPLE, people=PEOPLE, password=PASSWORD, failures=FAILURES
        )
        self.uids, self.key = made["uids"], made["key"]

    @property
    def server(self):
        return self.servers[0]

    def reset(self):
        """Delete all guesses, known pairs and the log."""
        self.server.sql("DELETE FROM auth_throttle")
        self.server.sql("DELETE FROM auth_attempt")

    def line(self, address="127.0.0.1", server=0, **options):
        return Line(self.servers[server], source=address, **options)

    def signs_in(self, login, password=PASSWORD, address="127.0.0.1", server=0, line=None):
        """Whether ``common.authenticate`` accepts a password."""
        line = line or self.line(address, server)
        try:
            return bool(Authenticate(line.server, login, password, line).call())
        except Refused:
            return False

    def signs_in_on_web(self, login, password=PASSWORD, address="127.0.0.1"):
        line = self.line(address)
        try:
            return bool(Session(line.server, login, password, line).uid)
        except Refused:
            return False

    def calls(self, login, password=PASSWORD, address="127.0.0.1", version=2):
        """Whether an object call accepts a password."""
        line = self.line(address)
        try:
            client = Xmlrpc(line.server, self.uids.get(login, login), password, line, version)
            return bool(client.call("res.users", "context_get"))
        except Refused:
            return False

    def prime(self, login, address):
        """Make accepted object calls until every worker has cached the password."""
        for _turn in range(30):
            assert self.calls(login, address=address)

    def guess(self, login, count, address="127.0.0.1", **options):
        """Try wrong passwords one after the other."""
        for number in range(count):
            assert not self.signs_in(login, f"wrong {number}", address, **options)

    def set_failures(self, value=FAILURES):
        """Set the limit for a pair of login and address."""
        self.server.shell(
            "env['ir.config_parameter'].set_param('auth_integration.throttle_failures', value)",
            value=str(value),
        )

    def causes(self, **columns):
        """Return how often each cause was recorded, for attempts with these column values."""
        where = "".join(f" AND {name} = %s" for name in columns)
        rows = self.server.sql(
            "SELECT cause, sum(count)::integer AS count FROM auth_attempt"
            f" WHERE outcome = 'failure'{where} GROUP BY cause",
            list(columns.values()),
        )
        return {row["cause"]: row["count"] for row in rows}


def second_server(first, name="second", **options):
    """Start another server on the database of the first one."""
    server = LiveServer(first.db, **{**SERVER, **options})
    server.folder = first.folder.with_name(f"{first.db}_{name}")
    server.folder.mkdir(parents=True, exist_ok=True)
    server.log_path = server.folder / "server.log"
    server.log_path.write_text("")
    return server.start()


def at_once(count, call):
    """Call with 0, 1, ... in as many threads; return the results."""
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(call, range(count)))
