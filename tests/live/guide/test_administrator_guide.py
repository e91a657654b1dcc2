"""The commands and options of the administrator guide and the README, run as printed."""

import base64
import configparser
import csv
import io
import subprocess
import sys
from pathlib import Path

import pytest
from guide_runner import make_odoo, make_program, run_shell

from callers.clients import Xmlrpc
from dev.checks import guides
from dev.common import ADDON, CHECKOUT_ID, ROOT, export_addon
from dev.servers import odoo_command, postgres, private_postgres, templates


@pytest.fixture(scope="module")
def encryption_key():
    """The key that the example prints."""
    folder_of_python = Path(sys.executable).parent
    key = run_shell(guides.example("encryption-key"), path=folder_of_python).strip()
    assert len(base64.urlsafe_b64decode(key)) == 32
    return key


@pytest.fixture(scope="module")
def server(live_server, encryption_key):
    """A server with the options of the guide, and with workers: then only it can use its port."""
    options, addon_options = configparser.RawConfigParser(), configparser.RawConfigParser()
    options.read_string(guides.example("server-wide-modules"))
    addon_options.read_string(guides.example("encryption-option"))
    assert addon_options["auth_integration"]["secret_key"] == "..."
    return live_server(
        "main",
        workers=2,
        config=dict(options["options"]),
        addon_options={"secret_key": encryption_key},
    )


def test_server_wide_modules(server):
    """Odoo reads the option of the guide, and the server loads the add-on through it."""
    server.xmlrpc("common").version()
    [line] = server.shell(
        """
        from odoo.tools import config
        result = [",".join(config["server_wide_modules"])]
        """
    )
    assert ADDON in line.split(",")


def test_encryption_key(server):
    """The server reads its key from the option, and can decrypt what it has encrypted."""
    assert server.shell(
        """
        from odoo.addons.auth_integration.tools.delivery import signatures
        integration = env["auth.integration"].create({
            "name": "encrypted", "code": "encrypted", "owner_ids": [2]})
        secret = signatures.new_secret()
        integration._set_webhook_secret(secret)
        result = integration._decrypt(integration.webhook_secret, "webhook") == secret
        """
    )


def test_import_file(server):
    """A second import of the file changes nothing."""
    server.shell(
        """
        for name in ("Olivia Owner", "Sam Second"):
            env["res.users"].with_context(no_reset_password=True).create(
                {"name": name, "login": name})
        """
    )
    header, *rows = csv.reader(io.StringIO(guides.example("import-file")))
    admin = Xmlrpc(server, 2, "admin")
    first, second = (
        admin.call("auth.integration", "load", header, rows)["ids"] for _ in range(2)
    )
    assert first and first == second
    [made] = admin.call(
        "auth.integration", "read", first, ["code", "owner_ids", "allowed_networks"])
    assert (made["code"], made["allowed_networks"]) == ("web_shop", "192.0.2.0/24")
    assert len(made["owner_ids"]) == 2


def test_confirm_move(server):
    """The hourly job accepts the parameter as a confirmation."""
    # Get this first: an Odoo process that starts later applies and removes the parameter.
    identity = server.shell("result = env['auth.integration.database'].sudo()._identity()")
    folder_of_psql = Path(private_postgres.program("psql")).parent
    run_shell(guides.example("confirm-move"), path=folder_of_psql, ODOO_DB=server.db)
    [row] = server.sql(
        "SELECT value FROM ir_config_parameter WHERE key = 'auth_integration.confirm_move'"
    )
    assert row["value"] == identity


def test_remove_passwords(server):
    """Integration users lose their passwords, and all other users keep theirs."""
    user = server.shell(
        """
        integration = env["auth.integration"].create({
            "name": "kept", "code": "kept", "owner_ids": [2]})
        integration.user_id.password = "kept from before"
        result = integration.user_id.id
        """
    )
    with_password = "SELECT id FROM res_users WHERE password <> '' AND id IN (2, %s)"
    assert len(server.sql(with_password, [user])) == 2
    folder_of_psql = Path(private_postgres.program("psql")).parent
    run_shell(guides.example("remove-passwords"), path=folder_of_psql, ODOO_DB=server.db)
    assert server.sql(with_password, [user]) == [{"id": 2}]


def test_unlock_administrator(server, tmp_path):
    """While the server runs, the command leaves a message on the administrator's form."""
    example = guides.example("unlock-administrator")
    assert "/etc/odoo/odoo.conf -d DATABASE" in example
    example = example.replace("/etc/odoo/odoo.conf", str(server._configuration))
    server.shell(
        """
        env.cr.execute("DELETE FROM mail_message WHERE model = 'res.partner' AND res_id IN"
                       " (SELECT partner_id FROM res_users WHERE id = 2)")
        """
    )
    make_odoo(tmp_path / "bin")
    run_shell(example.replace("DATABASE", server.db), tmp_path, tmp_path / "bin")
    assert server.shell("result = len(env.ref('base.user_admin').partner_id.message_ids)")


def test_install(server, tmp_path):
    """Run the three commands of the README on a database that never had the add-on.

    A server with workers is running on the same port.
    """
    database = f"live_{CHECKOUT_ID}_guide_install"
    templates.copy(templates.stock(), database)
    (tmp_path / "addons").mkdir()
    (tmp_path / "odoo.conf").write_text(
        f"[options]\naddons_path = {odoo_command.addons_path(with_addon=False)},{tmp_path}/addons\n"
        f"data_dir = {templates.data_dir()}\nmax_cron_threads = 0\nworkers = 2\n"
        f"http_interface = 127.0.0.1\nhttp_port = {server.port}\n"
    )
    make_odoo(tmp_path / "bin")
    # It is already there, so only the output of pip matters.
    make_program(tmp_path / "bin", "pip", sys.executable, "-m", "pip", "--no-input", "-q")
    export = export_addon("guide")
    try:
        run_shell(
            guides.example("install"), export.parent, tmp_path / "bin",
            ADDONS=tmp_path / "addons", CONFIG=tmp_path / "odoo.conf", DATABASE=database,
            PYTHONPATH=odoo_command.tree(), ODOO_RC="/dev/null",
        )
        with postgres.connect(database) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT state FROM ir_module_module WHERE name = %s", [ADDON])
            assert cursor.fetchone() == ("installed",)
    finally:
        templates.discard(database)


def test_try():
    """``make`` knows both commands; the other tests run them."""
    commands = guides.example("try").splitlines()
    assert [line.split()[:2] for line in commands] == [["make", "run"], ["make", "test"]]
    for line in commands:
        target = line.split()[1]
        done = subprocess.run(
            ["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True)
        assert not done.returncode and "-m dev.run" in done.stdout
