"""A real LDAP directory of people, for servers with Odoo's ``auth_ldap``.

The module ``ldap`` only exists after ``openldap.provide()``, so it is imported where it is used.
"""

import contextlib

from dev.common import free_port
from dev.environment import openldap
from other_servers.program import started

SUFFIX = "dc=example,dc=org"
PEOPLE = f"ou=people,{SUFFIX}"
MANAGER = f"cn=manager,{SUFFIX}"
MANAGER_PASSWORD = "the manager's password"


class Slapd:
    """A slapd process and its database.

    :param folder: an empty folder for its configuration and its database
    """

    def __init__(self, folder):
        self.folder = folder
        self.port = free_port()
        self._process = None
        schemas = [openldap.schema(name) for name in ("core", "cosine", "inetorgperson")]
        self._configuration = folder / "slapd.conf"
        self._configuration.write_text(
            "".join(f"include {schema}\n" for schema in schemas)
            + f"modulepath {openldap.modules()}\n"
            "moduleload back_mdb\n"
            f"pidfile {folder}/slapd.pid\n"
            "database mdb\n"
            f'suffix "{SUFFIX}"\n'
            f'rootdn "{MANAGER}"\n'
            f'rootpw "{MANAGER_PASSWORD}"\n'
            f"directory {folder}\n"
        )

    def start(self):
        """Start the server, always on the same port, and wait until it answers."""
        self._process = started(
            [openldap.slapd(), "-d", "0", "-f", self._configuration,
             "-h", f"ldap://127.0.0.1:{self.port}"],
            self.folder,
            self._answers,
            env=openldap.environment(),
        )
        return self

    def _answers(self):
        import ldap

        with contextlib.suppress(ldap.SERVER_DOWN), self._connection():
            return True
        return False

    def stop(self):
        """Stop the server; from then on, connections to its port are refused."""
        if self._process:
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def fill(self, passwords):
        """Add people to the empty directory.

        :param passwords: the passwords by login
        """
        with self._connection() as connection:
            _add(connection, SUFFIX, objectClass=("dcObject", "organization"), o="Example")
            _add(connection, PEOPLE, objectClass="organizationalUnit")
            for login, password in passwords.items():
                _add(connection, _dn(login), objectClass="inetOrgPerson", cn=login, sn=login,
                     userPassword=password)

    def change_password(self, login, password):
        """Change a person's password."""
        import ldap

        with self._connection() as connection:
            changes = [(ldap.MOD_REPLACE, "userPassword", [password.encode()])]
            connection.modify_s(_dn(login), changes)

    @contextlib.contextmanager
    def _connection(self):
        import ldap

        connection = ldap.initialize(f"ldap://127.0.0.1:{self.port}")
        connection.simple_bind_s(MANAGER, MANAGER_PASSWORD)
        try:
            yield connection
        finally:
            connection.unbind_s()


def _dn(login):
    return f"uid={login},{PEOPLE}"


def _add(connection, dn, **attributes):
    values = {
        name: [value] if isinstance(value, str) else value for name, value in attributes.items()
    }
    connection.add_s(
        dn, [(name, [value.encode() for value in values[name]]) for name in values]
    )
