"""``make run``: prepare a database with the add-on and its demo data, and run a server on it.

The environment variables PORT, DB, ODOO_PATH, PGHOST, PGPORT, PGUSER and PGPASSWORD are respected.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request

from dev.common import (
    ADDON,
    CHECKOUT_ID,
    addon_hash,
    die,
    entry_point,
    free_port,
    lock,
    say,
    state_dir,
    tail,
)
from dev.environment import virtualenv
from dev.servers import postgres, server_log
from dev.servers.odoo_command import (
    addons_path,
    check_addon,
    command,
    environment,
    run_or_die,
    tree,
)

EXAMPLE_CALL = "/json/2/auth.integration.key/whoami"


def database_name():
    """Return the name of the database for ``make run`` and ``make shell``."""
    # On a shared server, the name must be different for each checkout.
    return os.environ.get("DB") or (
        ADDON if postgres.is_private() else f"{ADDON}_{CHECKOUT_ID}"
    )


def server_arguments(database):
    """Return the options common to all Odoo commands on this database."""
    return [
        *("--database", database, "--addons-path", addons_path()),
        *("--data-dir", state_dir("run", "data")),
    ]


def prepare(database):
    """Install the add-on with demo data, or upgrade it if its files have changed."""
    note = state_dir("run") / f"{database}.json"
    done = {"addon": addon_hash(), "odoo": str(tree())}
    known = json.loads(note.read_text()) if note.exists() else None
    unfinished = note.with_suffix(".unfinished")
    if unfinished.exists():  # an interrupted installation by this function
        postgres.drop(database)
    exists = database in postgres.databases()
    if exists and known == done:
        return
    log = state_dir("run") / "install.log"
    common = [*server_arguments(database), "--stop-after-init", "--no-http"]
    if exists and (known or _is_installed(database)):
        say(f"the add-on changed: upgrading it in database {database}")
        run_or_die([*common, "-u", ADDON], log, "the upgrade")
    else:
        say(f"installing the add-on with demo data in database {database} (once, about a minute)")
        note.unlink(missing_ok=True)
        if not exists:
            unfinished.touch()
        run_or_die([*common, "-i", ADDON, "--with-demo"], log, "the installation")
        unfinished.unlink(missing_ok=True)
    # Odoo continues without demo data that it cannot load. Show why they are missing.
    for entry in server_log.complaints(log.read_text(errors="replace")):
        print(f"warning, from {log}:\n{entry}", file=sys.stderr)
    note.write_text(json.dumps(done))


def _is_installed(database):
    """Return whether the add-on is installed in a database that was created elsewhere."""
    with postgres.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('ir_module_module')")
        if cursor.fetchone() == (None,):
            return False
        cursor.execute(
            "SELECT 1 FROM ir_module_module WHERE name = %s AND state IN %s",
            (ADDON, ("installed", "to upgrade")),
        )
        return bool(cursor.fetchone())


def example_key(database, port):
    """Return a working key of an integration of the demo data.

    The database does not store keys in plain text. So the key is kept in ``.dev`` and reused at the
    next start as long as the server accepts it.

    :return: a dictionary with the key, or None if the demo data has no integration
    """
    kept = state_dir("run") / f"{database}.key.json"
    if kept.exists():
        example = json.loads(kept.read_text())
        if _works(example["key"], port):
            return example
    example = _issue_key(database)
    if example:
        kept.touch(mode=0o600)
        kept.write_text(json.dumps(example))
    return example


def _works(key, port):
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{EXAMPLE_CALL}",
        b"{}",
        {"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    try:
        urllib.request.urlopen(request, timeout=60).close()
    except OSError:
        return False
    return True


def _issue_key(database):
    code = """
import json
integration = env["auth.integration"].search([("user_id.active", "=", True)], limit=1)
if integration:
    issued = integration.issue_key(name="Example of make run")
    env.cr.commit()
    print("ISSUED " + json.dumps({"key": issued["key"], "name": integration.name}))
"""
    done = subprocess.run(
        command("shell", *server_arguments(database), "--no-http", "--log-level", "warn"),
        env=environment(),
        input=code,
        capture_output=True,
        text=True,
    )
    for line in done.stdout.splitlines():
        if line.startswith("ISSUED "):
            return json.loads(line[7:])
    (state_dir("run") / "issue-key.log").write_text(done.stdout + done.stderr)
    return None


def choose_port():
    """Return PORT, or the first free port from 8069 on."""
    wanted = os.environ.get("PORT")
    if wanted and not wanted.isdigit():
        die(f"PORT={wanted} is no number", "make run PORT=8070")
    for port in [int(wanted)] if wanted else range(8069, 8100):
        if _is_free(port):
            return port
    die(f"port {wanted or '8069 to 8099'} is in use", "choose another one: make run PORT=...")


def _is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return False
    return True


def serve(database, port):
    """Run the server in the foreground until Ctrl-C."""
    log = state_dir("run") / "server.log"
    server = subprocess.Popen(
        command(
            *server_arguments(database),
            *("--db-filter", f"^{database}$"),
            *("--http-port", port, "--gevent-port", free_port()),
        ),
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,  # only this process gets Ctrl-C; it stops the server
    )
    quiet = threading.Event()
    copier = threading.Thread(target=_copy, args=(server.stdout, log, quiet), daemon=True)
    quiet.set()
    copier.start()
    try:
        _wait_until_it_answers(server, port, log)
        _introduce(database, port, example_key(database, port), log)
        quiet.clear()
        server.wait()
    except KeyboardInterrupt:
        say("stopping")
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
    return server.returncode


def _copy(source, path, quiet):
    """Copy the server's log to a file, and to stderr once the introduction is printed."""
    with open(path, "w") as log:
        for line in source:
            log.write(line)
            log.flush()
            if not quiet.is_set():
                sys.stderr.write(line)


def _wait_until_it_answers(server, port, log):
    """Wait for the first answer, for which the database is loaded: two minutes at most."""
    say("starting the server")
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if server.poll() is not None:
            print(tail(log), file=sys.stderr)
            die("the server ended", f"see {log}")
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/web/login", timeout=60).close()
            return
        except OSError:
            time.sleep(0.2)
    die("the server does not answer", f"see {log}")


def _introduce(database, port, example, log):
    url = f"http://localhost:{port}"
    lines = [
        "",
        f"  Odoo with {ADDON} is ready:  {url}",
        "",
        "  Administrator      admin / admin",
        "  Demo user          demo / demo",
        f"  Database           {database}",
        f"  Log                {log}",
        "",
    ]
    if example:
        call = (
            f"curl -s {url}{EXAMPLE_CALL}"
            f" -H 'Authorization: Bearer {example['key']}'"
            f" -H 'Content-Type: application/json' -d '{{}}'"
        )
        lines += [
            f"  An API call with a key of the integration “{example['name']}”, ready to paste:",
            "",
            f"  {call}",
            "",
        ]
    lines += ["  Ctrl-C stops the server.", ""]
    print("\n".join(lines), flush=True)


def set_base_url(database, port):
    """Set the address in screens and mails, as a login of ``admin`` does, unless it is frozen."""
    with contextlib.closing(postgres.connect(database)) as connection:
        connection.cursor().execute(
            """
            UPDATE ir_config_parameter SET value = %s WHERE key = 'web.base.url' AND NOT EXISTS (
                SELECT FROM ir_config_parameter WHERE key = 'web.base.url.freeze')
            """,
            [f"http://localhost:{port}"],
        )


def main():
    """Prepare the database and run the server until Ctrl-C."""
    check_addon()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # end like Ctrl-C
    with postgres.running():
        port = choose_port()
        database = database_name()
        with lock(state_dir("run") / "prepare.lock"):
            prepare(database)
            set_base_url(database, port)
        serve(database, port)


if __name__ == "__main__":
    virtualenv.enter()
    entry_point(main)
