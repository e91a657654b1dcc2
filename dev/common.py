"""What all development commands share: paths, messages and locks."""

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
# The only folder inside the checkout that the commands write to; git ignores it.
STATE = ROOT / ".dev"
# Downloads, shared by all checkouts of this user.
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / ADDON
# Distinguishes this checkout's sockets and databases from those of other checkouts.
CHECKOUT_ID = hashlib.sha256(str(ROOT).encode()).hexdigest()[:8]

_started = time.monotonic()


def say(message):
    """Report progress on stderr, with the seconds since the command began."""
    print(f"[{time.monotonic() - _started:5.1f}s] {message}", file=sys.stderr, flush=True)


def die(problem, remedy=""):
    """Exit with one line that says what is missing and what to do about it."""
    sys.exit(f"error: {problem}" + (f" -> {remedy}" if remedy else ""))


def entry_point(main):
    """Run the main function of a command; Ctrl-C ends it without a traceback."""
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted")


@contextlib.contextmanager
def lock(path, *, shared=False):
    """Hold a file lock, which the kernel releases even if the process is killed."""
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
    """Return a folder below ``.dev``, creating it if needed.

    ``.dev`` gets its own ``.gitignore``, so that git ignores it even if the checkout has none.
    """
    STATE.mkdir(exist_ok=True)
    ignore = STATE / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n")
    path = STATE.joinpath(*parts)
    path.mkdir(parents=True, exist_ok=True)
    return path


def addons_dir():
    """Return a folder that contains the checkout under the add-on's technical name.

    Odoo takes the name of an add-on from its folder. The link has the right name whatever the
    checkout is called.
    """
    folder = state_dir("addons")
    link = folder / ADDON
    if not link.is_symlink() or os.readlink(link) != str(ROOT):
        fresh = folder / f".{ADDON}.{os.getpid()}"
        fresh.symlink_to(ROOT)
        fresh.replace(link)
    return folder


def addon_files():
    """Return the add-on's files: tracked or new, neither ignored nor only for development."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard", "-z"],
        capture_output=True,
        text=True,
    )
    if listed.returncode == 0:
        files = [ROOT / name for name in listed.stdout.split("\0") if name]
    else:  # an unpacked archive is not a git repository
        files = [path for path in ROOT.rglob("*") if STATE not in path.parents]
    apart = {"dev", "benchmarks", ".ci", ".git", ".dev", "tests"}
    return sorted(
        path
        for path in files
        if path.is_file() and path.relative_to(ROOT).parts[0] not in apart
        # At the root, only Python files matter to Odoo.
        and (path.parent != ROOT or path.suffix == ".py")
    )


def export_addon(purpose):
    """Copy the add-on's files into a folder with its name, and return that folder.

    This is for tools that follow links or read everything they find: through ``addons_dir`` they
    would find ``.dev``, and in it the add-on again, endlessly.
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
    """Return a short hash of the add-on's files, which changes when a database needs ``-u``."""
    digest = hashlib.sha256()
    for path in addon_files():
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def free_port():
    """Return a TCP port that nothing listens on at the moment.

    It is below the range from which the kernel takes ports for outgoing connections. Otherwise, a
    connection of another process could take the port before the server does.
    """
    while True:
        port = random.randrange(10_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def tail(path, lines=40):
    """Return the last lines of a file, or an empty string if it cannot be read."""
    with contextlib.suppress(OSError):
        return "\n".join(Path(path).read_text(errors="replace").splitlines()[-lines:])
    return ""
