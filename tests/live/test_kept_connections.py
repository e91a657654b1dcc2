"""The connections that the hooks keep beside those of the calls."""

import textwrap

import pytest
from attempt_world import WRONG_KEY, World


@pytest.fixture(scope="module")
def world(live_server):
    return World(live_server("main"))


KEPT_CONNECTIONS = """
    import contextlib, os
    from odoo.addons.auth_integration.tools.kept_connections import connections
    from odoo.tools import SQL, config
    connections.close_all()

    def settings(cr):
        cr.execute("SELECT current_setting('lock_timeout'),"
            " current_setting('transaction_isolation'), pg_backend_pid()")
        return cr.fetchone()

    def use():
        with connections.cursor(registry) as own:
            return settings(own)[2]
"""


def in_shell(world, *code):
    return world.server.shell("".join(map(textwrap.dedent, (KEPT_CONNECTIONS, *code))))


def test_lock_timeout_is_in_force_on_kept_connections(world):
    """And nothing that we set outlives the statement, nor stays with who has it after us."""
    during, after, given_back = in_shell(
        world,
        """
        with connections.cursor(registry) as own:
            own.execute("SET default_transaction_read_only = on")
            in_force = SQL("SELECT current_setting('lock_timeout'),"
                " current_setting('transaction_isolation'),"
                " current_setting('transaction_read_only')")
            during = env(cr=own)["auth.attempt"]._query(in_force)[0]
            after, connection = settings(own)[:2], own._cnx
        connections.close_all()
        given_back = [connection._pool_in_use]
        connection.reset()
        given_back += [connection.autocommit, connection.isolation_level]
        result = during, after, given_back
        """,
    )
    assert during == ["500ms", "read committed", "off"]
    assert after == ["0", "read committed"]
    assert given_back == [False, False, None]


def test_kept_connections_are_used_again_by_one_at_a_time(world):
    """A few at most; none that failed, was cut or rested long; none where the pool is small."""
    found = in_shell(
        world,
        """
        first = use()
        again = use()
        with connections.cursor(registry) as own:
            meanwhile = use()
            use_of_first = settings(own)[2]
        with contextlib.ExitStack() as stack:
            for _number in range(6):
                stack.enter_context(connections.cursor(registry))
        most = len(connections._kept)
        result = [again == first, meanwhile != use_of_first == first, most]

        with contextlib.suppress(ZeroDivisionError), connections.cursor(registry) as own:
            1 / 0
        result.append(own.closed)
        connections._kept = [(db, used - 301, cr) for db, used, cr in connections._kept]
        rested = connections._kept[-1][2]
        use()
        result.append(rested.closed)
        with registry.cursor() as other:
            other.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE pid = %s", [use()])
        result.append(bool(use()))

        child = os.fork()
        if not child:
            os._exit(len(connections._kept))
        result.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        size, config["db_maxconn"] = config["db_maxconn"], 8
        use()
        result.append(len(connections._kept))
        config["db_maxconn"] = size
        """,
    )
    assert found == [True, True, 4, True, True, True, 0, 0]


def test_statements_that_were_prepared_elsewhere(world):
    """As behind a pooler that gives every transaction another connection."""
    found = in_shell(
        world,
        """
        from odoo.addons.auth_integration.tools import attempt
        from odoo.addons.auth_integration.tools.flood_gauge import flood_gauge

        def refuse(agent):
            # As in another minute: rows are counted.
            flood_gauge.learn(cr.dbname, None, 0, limit=1)
            made = attempt.Attempt(channel="json2", database=cr.dbname, user_agent=agent)
            made.outcome, made.key_shaped = "failure", True
            made.note("key_unknown")
            registry["auth.attempt"]._emit_in(registry, made)

        def prepared():
            with connections.cursor(registry) as own:
                return sorted(own._cnx._auth_integration_prepared.values())

        refuse("pooled/1")
        result = [prepared()]
        for number in (2, 3):
            with connections.cursor(registry) as own:
                own.execute("DEALLOCATE ALL")
            refuse(f"pooled/{number}")
        result.append(prepared())
        cr.execute("SELECT user_agent, count FROM auth_attempt WHERE user_agent LIKE 'pooled/%%'"
            " ORDER BY id", [])
        result.append(cr.fetchall())
        with connections.cursor(registry) as own:
            del own._cnx._auth_integration_prepared
        """,
    )
    assert found == [
        [True, True], [False, False], [["pooled/1", 1], ["pooled/2", 1], ["pooled/3", 1]],
    ]


ASKED = """
    import psycopg2
    from psycopg2.extensions import TRANSACTION_STATUS_IDLE
    from odoo.addons.auth_integration.tools import hook_queries

    BACKEND = "SELECT pg_backend_pid() WHERE %(one)s = 1"
    FAILING = "SELECT 1 / (%(one)s - 1)"

    def ask(own, statement):
        return hook_queries.query(env(cr=own), statement, {"one": 1})

    def is_idle(own):
        return own._cnx.get_transaction_status() == TRANSACTION_STATUS_IDLE
"""


def test_question_of_a_call_begins_no_transaction_for_it(world):
    """It goes to a kept connection; where none is free to the call's own, undone if it fails."""
    found = in_shell(
        world,
        ASKED,
        """
        def asked():
            with registry.cursor() as own:
                [[pid]] = ask(own, BACKEND)
                return pid == own._cnx.info.backend_pid, is_idle(own)

        def failing():
            with registry.cursor() as own:
                try:
                    ask(own, FAILING)
                except psycopg2.errors.DivisionByZero:
                    return is_idle(own)

        result = {"free": asked(), "again": asked(), "failing": failing()}
        with contextlib.ExitStack() as stack:
            for _number in range(4):
                stack.enter_context(connections.cursor(registry))
            result["all lent"] = asked()
            result["failing, all lent"] = failing()
        size, config["db_maxconn"] = config["db_maxconn"], 8
        result["small pool"] = asked()
        config["db_maxconn"] = size
        result["lent"] = connections._lent
        """,
    )
    assert found == {
        "free": [False, True],
        "again": [False, True],
        "failing": True,
        "all lent": [True, False],
        "failing, all lent": True,
        "small pool": [True, False],
        "lent": 0,
    }


def test_question_within_a_transaction_leaves_it_as_it_was(world):
    """It sees what the transaction has done, and ends nothing when it fails."""
    found = in_shell(
        world,
        ASKED,
        """
        with registry.cursor() as own:
            own.execute("CREATE TEMPORARY TABLE begun AS SELECT 7 AS seven")
            result = [ask(own, "SELECT seven FROM begun WHERE %(one)s = 1")]
            try:
                ask(own, FAILING)
            except psycopg2.errors.DivisionByZero:
                result.append(ask(own, "SELECT seven FROM begun WHERE %(one)s = 1"))
            own.rollback()
        """,
    )
    assert found == [[[7]], [[7]]]


@pytest.mark.parametrize("cut", ["rests", "is asked"])
def test_good_key_is_accepted_although_the_connection_was_cut(world, cut):
    """While it rests, which can be seen; or so late that the question fails: then the call's own
    connection has to serve."""
    found = in_shell(
        world,
        f"""
        from odoo.addons.auth_integration.tools import kept_connections, prepared

        def verified():
            with registry.cursor() as own:
                natives = env(cr=own)["res.users.apikeys"]
                return natives._decide_secret("rpc", {world.keys["good"]!r})

        def cut(pid):
            with registry.cursor() as other:
                other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])

        result = [verified()]
        if {cut!r} == "rests":
            cut(use())
        else:
            run = prepared.run
            def run_too_late(own, *arguments):
                prepared.run = run
                cut(own._cnx.info.backend_pid)
                return run(own, *arguments)
            prepared.run = run_too_late
        result += [verified(), verified()]
        """,
    )
    assert found == [world.uids["worker"]] * 3


def test_connections_that_were_cut_are_replaced(world):
    """PostgreSQL was restarted, a firewall has forgotten them: no refusal is lost."""
    for _time in range(2):
        caller = world.calls()
        caller.json2(WRONG_KEY)
        assert [row["count"] for row in caller.rows()] == [1]
        world.server.sql(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
