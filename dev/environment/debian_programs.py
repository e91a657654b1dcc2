"""Programs that tests need and only Debian packages, installed if missing and the user is root."""

import os
import shutil
import subprocess
import sys

from dev.common import CACHE, lock, say
from dev.environment import debian_archive

# A user's PATH often does not include the folders of server programs.
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin"])


def program(name, package):
    """Return the path of a program, installing Debian's package if needed; None if that fails."""
    if not shutil.which(name, path=PATH) and may_install():
        install(package)
    return shutil.which(name, path=PATH)


def may_install():
    """Return whether this user can install Debian packages on this machine."""
    return os.geteuid() == 0 and bool(shutil.which("apt-get"))


def install(package):
    """Install a Debian package.

    :return: None, or why it could not be installed
    :rtype: str | None
    """
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with lock(CACHE / "apt.lock"):  # apt fails if it is already running
        say(f"installing Debian's {package} (once)")
        # On a new machine the package lists are empty.
        for arguments in (["update"], ["install", "--yes", "--no-install-recommends", package]):
            done = subprocess.run(
                ["apt-get", "-qq", *arguments],
                env=environ,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
            )
            if done.returncode:
                reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
                return f"apt-get {arguments[0]} failed: {reason}"
    return None


def fail2ban_regex():
    """Return the command of fail2ban's filter tool, fetching it if it is not installed.

    It is fetched but not installed, because its package starts a service.

    :raises debian_archive.Unavailable: it cannot be fetched
    """
    if shutil.which("fail2ban-regex"):
        return ["fail2ban-regex"]
    home = CACHE / "fail2ban-debian"
    debian_archive.fetch(("fail2ban",), home)
    library = home / "usr/lib/python3/dist-packages"
    return ["env", f"PYTHONPATH={library}", sys.executable, home / "usr/bin/fail2ban-regex"]


def prometheus(name):
    """Return the path of a program of Prometheus, fetching it if it is not installed.

    It is fetched but not installed, because its package starts a service.

    :param name: ``prometheus`` or ``promtool``
    :raises debian_archive.Unavailable: it cannot be fetched
    """
    if installed := shutil.which(name, path=PATH):
        return installed
    home = CACHE / "prometheus-debian"
    debian_archive.fetch_to_run(("prometheus",), home)
    return str(home / "usr/bin" / name)


def rsyslog(name):
    """Return the path of a program of rsyslog or logrotate, and the environment to run it in.

    It is fetched but not installed, because its package starts a service. The environment names the
    folders with its modules and libraries.

    :param name: ``rsyslogd`` or ``logrotate``
    :raises debian_archive.Unavailable: it cannot be fetched
    """
    home = CACHE / "rsyslog-debian"
    debian_archive.fetch_to_run(("rsyslog", "rsyslog-openssl", "logrotate"), home)
    libraries = [str(folder) for folder in home.glob("usr/lib/*-linux-gnu")]
    environ = {
        **os.environ,
        "LD_LIBRARY_PATH": os.pathsep.join(libraries),
        "RSYSLOG_MODDIR": os.pathsep.join(f"{folder}/rsyslog/" for folder in libraries),
    }
    return str(home / "usr/sbin" / name), environ
