"""Two servers behind nginx on one database: a rolling update, and the kill of one server."""

import copy
import random

import pytest

from callers.traffic import Traffic
from dev.common import ADDON
from other_servers import nginx
from processes import odoo
from worlds.attempt import World


class Front:
    """The proxy as a server for callers: the same database at another port."""

    def __init__(self, server, port):
        self.db, self.port, self.log_mark = server.db, port, server.log_mark


class Cluster:
    """Two servers with two workers each, behind nginx.

    :ivar world: users and keys, called through the proxy
    :ivar servers: both servers
    """

    def __init__(self, live_server, folder):
        first = live_server("first", workers=2, config={"proxy_mode": True})
        behind = World(first)
        second = live_server(
            "second", database=first.db, workers=2, config={"proxy_mode": True}
        )
        self.servers = first, second
        self._nginx = nginx.Nginx(folder, "cluster")
        self._nginx.upstream("cluster", [f"127.0.0.1:{server.port}" for server in self.servers])
        self.world = copy.copy(behind)
        self.world.server = Front(first, self._nginx.site())
        self._nginx.start()

    def stop(self):
        self._nginx.stop()


@pytest.fixture(scope="module")
def cluster(live_server, tmp_path_factory):
    if not nginx.executable():
        pytest.skip("nginx is not installed, and only root may install it: apt-get install nginx")
    made = Cluster(live_server, tmp_path_factory.mktemp("nginx"))
    yield made
    made.stop()


@pytest.fixture
def traffic(cluster):
    running = Traffic(cluster.world, random.Random(), outlasts=True)
    running.wait_for(50)
    yield running
    running.end()


def test_rolling_update(cluster, traffic):
    """While one server is updated, the other one answers, although the schema changes.

    Each server is stopped cleanly, so no answered call may be missing in the log. While the update
    locks the tables, Odoo decides alone, and rejected calls are in the server log.
    """
    first, second = cluster.servers
    for server in cluster.servers:
        server.expect_log("Tables of the add-on are locked|Attempt (not written|waits)")
    first.stop()
    odoo(first, "-u", ADDON)
    first.start()
    traffic.wait_for(50)
    second.restart()
    traffic.wait_for(50)
    traffic.end()
    for server in cluster.servers:
        server.restart()  # writes what is still buffered
    assert not traffic.refused
    assert not traffic.mistakes(*cluster.servers)


def test_one_server_is_killed(cluster, traffic):
    """The other server continues, and no refused call is missing in the log.

    Accepted calls of the killed server's last minute may be missing.
    """
    first, second = cluster.servers
    first.kill9()
    traffic.wait_for(50)
    first.start()
    traffic.wait_for(50)
    traffic.end()
    for server in cluster.servers:
        server.restart()
    assert not traffic.refused
    mistakes = traffic.mistakes(*cluster.servers)
    assert not {place: found for place, found in mistakes.items() if place[1]}, "refused calls"
    assert all(logged <= answered + traffic.cut[place]
               for place, (answered, logged) in mistakes.items())
