"""PostgreSQL: the server that PGHOST names, or a private one, and its databases."""

import contextlib
import getpass
import os

from dev.common import die
from dev.servers.private_postgres import USER, PrivateServer


@contextlib.contextmanager
def running():
    """Provide a PostgreSQL server and set PGHOST, PGPORT and PGUSER of this process to it."""
    if os.environ.get("PGHOST"):
        os.environ.setdefault("PGPORT", "5432")
        os.environ.setdefault("PGUSER", getpass.getuser())
        _check_given_server()
        yield
        return
    server = PrivateServer()
    with server.lease():
        os.environ.update(PGHOST=str(server.socket), PGPORT="5432", PGUSER=USER)
        try:
            yield
        finally:
            del os.environ["PGHOST"]


def is_private():
    """Return whether the server in use belongs to this checkout alone."""
    return os.environ.get("PGHOST", "").startswith(str(PrivateServer().socket))


def connect(database="postgres"):
    """Return an autocommit connection to a database of the running server."""
    import psycopg2

    connection = psycopg2.connect(dbname=database)
    connection.autocommit = True
    return connection


def databases():
    """Return the names of all databases."""
    with contextlib.closing(connect()) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT datname FROM pg_database WHERE NOT datistemplate")
        return {name for (name,) in cursor.fetchall()}


def create(name, template="template0"):
    """Create a database, as a copy of the template."""
    _execute("CREATE DATABASE {} ENCODING 'unicode' TEMPLATE {}", name, template)


def drop(name):
    """Drop a database, ending any connections to it."""
    _execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)


def rename(name, new_name):
    """Rename a database that has no connections."""
    _execute("ALTER DATABASE {} RENAME TO {}", name, new_name)


def durable(wanted):
    """Turn waiting for the disk on or off on a private server, to measure what a commit costs."""
    if is_private():
        value = "on" if wanted else "off"
        _execute(f"ALTER SYSTEM SET fsync = {value}")
        _execute(f"ALTER SYSTEM SET full_page_writes = {value}")
        _execute("SELECT pg_reload_conf()")


def _execute(statement, *names):
    from psycopg2 import sql

    with contextlib.closing(connect()) as connection, connection.cursor() as cursor:
        cursor.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def _check_given_server():
    import psycopg2

    where = f"PGHOST={os.environ['PGHOST']} PGPORT={os.environ['PGPORT']}"
    user = os.environ["PGUSER"]
    if user == "postgres":
        die(
            "Odoo refuses to work as the database user 'postgres'",
            "name another one with the right to create databases in PGUSER",
        )
    try:
        with contextlib.closing(connect()) as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user"
            )
            (may_create,) = cursor.fetchone()
    except psycopg2.OperationalError as error:
        die(
            f"no PostgreSQL at {where} for PGUSER={user}: {str(error).strip().splitlines()[-1]}",
            "correct PGHOST, PGPORT, PGUSER and PGPASSWORD, or unset PGHOST to have a private one",
        )
    if not may_create:
        die(
            f"user {user} at {where} may not create databases",
            f"ALTER ROLE {user} CREATEDB, or unset PGHOST to have a private server",
        )
