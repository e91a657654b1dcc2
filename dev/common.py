"""Where things are, and how the development environment speaks: paths, messages, locks."""

import contextlib
import fcntl
import hashlib
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

ADDON = "auth_integration"
ROOT = Path(__file__).resolve().parent.parent
# Small add-ons that only tests install.
TEST_ADDONS = ROOT / "tests/live/addons"
# The only folder we write to inside the checkout; git ignores it.
STATE = ROOT / ".dev"
# Downloads, shared by all checkouts of this user.
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / ADDON
# Tells this checkout's sockets and databases from those of another one.
CHECKOUT_ID = hashlib.sha256(str(ROOT).encode()).hexdigest()[:8]

_started = time.monotonic()


def say(message):
    """Report progress on stderr, with the seconds since the command began."""
    print(f"[{time.monotonic() - _started:5.1f}s] {message}", file=sys.stderr, flush=True)


def die(problem, remedy=""):
    """Stop with one line that names what is missing and what to do about it."""
    sys.exit(f"error: {problem}" + (f" -> {remedy}" if remedy else ""))


def entry_point(main):
    """Run the main function of a command; Ctrl-C ends it without a traceback."""
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted")


@contextlib.contextmanager
def lock(path, *, shared=False):
    """Hold a file lock. The kernel releases it however the process ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as handle:
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another command to let go of {path}")
            fcntl.flock(handle, kind)
        yield handle


def state_dir(*parts):
    """Return a folder below ``.dev``, made on demand.

    The folder ignores itself, so that git stays silent even in a checkout that lost ``.gitignore``.
    """
    STATE.mkdir(exist_ok=True)
    ignore = STATE / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n")
    path = STATE.joinpath(*parts)
    path.mkdir(parents=True, exist_ok=True)
    return path


def addons_dir():
    """Return a folder that holds the checkout under the add-on's technical name.

    Odoo names an add-on after its folder; the link makes the name right whatever the checkout is
    called.
    """
    folder = state_dir("addons")
    link = folder / ADDON
    if not link.is_symlink() or os.readlink(link) != str(ROOT):
        fresh = folder / f".{ADDON}.{os.getpid()}"
        fresh.symlink_to(ROOT)
        fresh.replace(link)
    return folder


def addon_files():
    """Return the files that make up the add-on: tracked or new, not ignored, not development."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard", "-z"],
        capture_output=True,
        text=True,
    )
    if listed.returncode == 0:
        files = [ROOT / name for name in listed.stdout.split("\0") if name]
    else:  # an unpacked archive is no git repository
        files = [path for path in ROOT.rglob("*") if STATE not in path.parents]
    apart = {"dev", "benchmarks", ".ci", ".git", ".dev", "tests"}
    return sorted(
        path
        for path in files
        if path.is_file() and path.relative_to(ROOT).parts[0] not in apart
        # At the root only Python matters to Odoo: prose and the Makefile change nothing.
        and (path.parent != ROOT or path.suffix == ".py")
    )


def export_addon(purpose):
    """Copy the add-on's files into a folder of its name, and return that folder.

    For tools that follow links or read everything they find: through ``addons_dir`` they would
    come upon ``.dev``, and through it upon the add-on again, without end.
    """
    export = state_dir("export", purpose) / ADDON
    shutil.rmtree(export, ignore_errors=True)
    for path in [*addon_files(), ROOT / "README.rst", *(ROOT / "tests").glob("*.py")]:
        if path.exists():
            target = export / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    return export


def addon_hash():
    """Return a short hash of the add-on's files: it changes when a database needs ``-u``."""
    digest = hashlib.sha256()
    for path in addon_files():
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def free_port():
    """Return a TCP port that nothing listens on at the moment.

    From below the range in which the kernel picks ports for outgoing connections: one of those,
    by whoever runs at the same time, would take the port before the server does.
    """
    while True:
        port = random.randrange(10_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def tail(path, lines=40):
    """Return the last lines of a file."""
    with contextlib.suppress(OSError):
        return "\n".join(Path(path).read_text(errors="replace").splitlines()[-lines:])
    return ""
