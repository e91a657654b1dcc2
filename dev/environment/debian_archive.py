"""Debian packages, unpacked into a folder without being installed.

They are downloaded with apt's own client from the mirror that this machine is configured for, with
a private state directory. So neither the machine's package lists nor its installed packages change,
and no root rights are needed. What works with any Python or browser comes from the suite *sid*.
Programs that run here come from this machine's own release, as a newer one needs a newer C library.
"""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from dev.common import lock, say


class Unavailable(Exception):
    """A package is not available; the arguments are the problem and its remedy."""


def fetch(packages, home, finish=lambda root: None):
    """Unpack packages of *sid* into a folder.

    :param packages: names of packages; their dependencies are not fetched
    :param home: the folder; if it exists, it is complete
    :param finish: called with the folder before it gets its final name
    :raises Unavailable: Debian's tools or its mirror are missing
    """
    _fetch(packages, home, finish, _download_from_sid)


def fetch_to_run(packages, home):
    """Unpack packages of this machine's release, and their missing dependencies, into a folder.

    :param packages: names of packages; dependencies are fetched unless they are installed here
    :param home: the folder; if it exists, it is complete
    :raises Unavailable: Debian's tools or its mirror are missing
    """
    _fetch(packages, home, _link_to_installed, _download_to_run)


def _fetch(packages, home, finish, download):
    """Fetch packages once: a second process waits for the first and uses its result."""
    if home.exists():
        return
    with lock(home.with_name(f"{home.name}.lock")):
        if home.exists():
            return
        home.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".fetch-", dir=home.parent))
        try:
            _unpack(packages, work, download)
            finish(work / "root")
            # The folder gets its name only now, so a failed download is never mistaken for it.
            (work / "root").rename(home)
        finally:
            shutil.rmtree(work, ignore_errors=True)


def _unpack(packages, work, download):
    for tool, package in (("apt-get", "apt"), ("dpkg-deb", "dpkg")):
        if not shutil.which(tool):
            raise Unavailable(
                f"{tool} is missing, so Debian's {packages[0]} cannot be fetched",
                f"use a Debian machine (package {package})",
            )
    say(f"fetching {packages[0]} (once): reading Debian's package list")
    (work / "debs/partial").mkdir(parents=True)
    download(packages, work)
    say("fetching: unpacking")
    for deb in sorted((work / "debs").glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", deb, work / "root"], check=True)


def _download_from_sid(packages, work):
    """Download packages with an apt that knows only Debian sid and nothing about this machine."""
    uri, keyring = _debian_source()
    (work / "status").touch()
    source = f"Types: deb\nURIs: {uri}\nSuites: sid\nComponents: main\n"
    (work / "sid.sources").write_text(source + (f"Signed-By: {keyring}\n" if keyring else ""))
    only_sid = {"Dir::Etc::sourcelist": work / "sid.sources", "Dir::Etc::sourceparts": "-"}
    apt = _private_apt(work, only_sid)
    _apt(apt, work, "update")
    say("fetching: downloading")
    _apt(apt, work / "debs", "download", *packages)


def _download_to_run(packages, work):
    """Download packages with an apt that knows what is installed on this machine."""
    shutil.copyfile("/var/lib/dpkg/status", work / "status")
    apt = _private_apt(work, {"Dir::Cache::archives": work / "debs"})
    _apt(apt, work, "update")
    say("fetching: downloading")
    options = ("--yes", "--download-only", "--no-install-recommends", "--reinstall")
    _apt(apt, work, "install", *options, *packages)


def _link_to_installed(root):
    """Redirect links to libraries that were not fetched because they are installed here."""
    for link in root.glob("usr/lib/*/*.so*"):
        if link.exists():
            continue
        installed = Path("/") / link.parent.relative_to(root) / os.readlink(link)
        if installed.exists():
            link.unlink()
            link.symlink_to(installed)


def _private_apt(work, settings):
    """Write the configuration of an apt that changes nothing on this machine.

    :param settings: more settings, by name
    """
    (work / "state/lists/partial").mkdir(parents=True)
    (work / "cache").mkdir()
    settings = {
        "Dir::State": work / "state",
        "Dir::State::status": work / "status",
        "Dir::Cache": work / "cache",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
        **settings,
    }
    if os.geteuid() == 0:
        # Otherwise apt switches to the user _apt, who has no access to root's home.
        settings["APT::Sandbox::User"] = "root"
    config = work / "apt.conf"
    config.write_text("".join(f'{name} "{value}";\n' for name, value in settings.items()))
    return config


def _apt(config, folder, *arguments):
    done = subprocess.run(
        ["apt-get", "-qq", *arguments],
        cwd=folder,
        env={**os.environ, "APT_CONFIG": str(config)},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise Unavailable(
            f"apt-get {arguments[0]} failed: {reason}",
            "check that the Debian mirror in /etc/apt is reachable",
        )


def _debian_source():
    """Return the URI and keyring of this machine's Debian mirror, from either file format."""
    etc = Path("/etc/apt")
    lists = [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*.list"))]
    candidates = []
    for path in sorted((etc / "sources.list.d").glob("*.sources")):
        candidates += _deb822_sources(path.read_text())
    for path in lists:
        if path.exists():
            candidates += _one_line_sources(path.read_text())
    for uri, keyring in candidates:
        # Third-party archives and the security archive have no sid.
        if re.search(r"/debian/?$", uri) and "security" not in uri:
            return uri, keyring
    raise Unavailable(
        "no Debian mirror is configured in /etc/apt",
        "add Debian's archive there (deb822 or one-line format)",
    )


def _deb822_sources(text):
    text = re.sub(r"^#.*\n", "", text, flags=re.M)
    for stanza in re.split(r"\n\s*\n", text):
        fields = dict(re.findall(r"^([\w-]+):\s*(.*?)\s*$", stanza, flags=re.M))
        fields = {name.lower(): value for name, value in fields.items()}
        if "deb" not in fields.get("types", "").split() or fields.get("enabled") == "no":
            continue
        keyring = fields.get("signed-by", "")
        for uri in fields.get("uris", "").split():
            yield uri, keyring if keyring.startswith("/") else ""


def _one_line_sources(text):
    pattern = r"^\s*deb\s+(?:\[(?P<options>[^]]*)\]\s+)?(?P<uri>\S+)\s+\S+"
    for found in re.finditer(pattern, text, flags=re.M):
        keyring = re.search(r"signed-by=(\S+)", found["options"] or "")
        yield found["uri"], keyring[1] if keyring else ""
