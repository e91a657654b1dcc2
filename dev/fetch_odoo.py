"""Find or fetch Odoo 19: ``ODOO_PATH``, an ``odoo`` on PATH, or Debian's package, unpacked.

Debian ships Odoo 19 in *sid*. We take it with apt's own client from the mirror that this machine is
configured for, with a private state directory, so that neither the machine's package lists nor its
installed packages change, and no root rights are needed.
"""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from common import CACHE, STATE, die, lock, say, state_dir

PACKAGE = "odoo-19"
# Odoo's static files are links into these. Its Python dependencies come from PyPI instead.
LINKED_PACKAGES = (
    "fonts-font-awesome fonts-glyphicons-halflings fonts-inconsolata fonts-montserrat fonts-ocr-b "
    "fonts-roboto-unhinted libjs-jquery libjs-jquery-form libjs-underscore"
).split()
# Raise it when what `_mend` does changes, so that a tree in somebody's cache is made anew.
LAYOUT = 1


def odoo_tree():
    """Return the folder that holds ``odoo-bin`` and the package ``odoo``, fetching it if needed."""
    if os.environ.get("ODOO_PATH"):
        return _existing_tree(Path(os.environ["ODOO_PATH"]).expanduser().resolve())
    if installed := shutil.which("odoo"):
        tree = _tree_of_command(installed)
        if tree:
            return tree
    return _fetched_tree()


def _existing_tree(path):
    package = path if path.name == "odoo" and (path / "release.py").exists() else path / "odoo"
    if not (package / "release.py").exists():
        die(f"ODOO_PATH={path} holds no Odoo", "point it at a folder that contains odoo/release.py")
    if _version(package) != "19.0":
        die(f"ODOO_PATH={path} is Odoo {_version(package)}", "this add-on needs an Odoo 19.0 tree")
    if (package.parent / "odoo-bin").exists():
        return package.parent
    return _shim(package)


def _tree_of_command(command):
    """Return the tree behind an installed ``odoo`` command if it is version 19, else None."""
    with open(command, errors="replace") as script:
        shebang = script.readline()
    interpreter = shebang[2:].split() if shebang.startswith("#!") else ["python3"]
    code = "import odoo.release as r; print(r.__file__)"
    found = subprocess.run([*interpreter, "-c", code], capture_output=True, text=True, cwd="/")
    if found.returncode:
        return None
    package = Path(found.stdout.strip()).parent
    if _version(package) != "19.0":
        say(f"ignoring {command}: it is Odoo {_version(package)}, not 19.0")
        return None
    say(f"using the installed {command}")
    return _shim(package)


def _version(package):
    text = (package / "release.py").read_text()
    found = re.search(r"version_info\s*=\s*\((\d+),\s*(\d+)", text)
    return ".".join(found.groups()) if found else "unknown"


def _shim(package):
    """Return a tree around an installed package.

    Naming the package's own parent folder would put all of a system's Python packages before
    those of our virtual environment.
    """
    tree = state_dir("odoo")
    link = tree / "odoo"
    if link.is_symlink() or link.exists():
        link.unlink()
    link.symlink_to(package)
    _write_odoo_bin(tree)
    return tree


def _write_odoo_bin(tree):
    # Not `python -m odoo`: Odoo starts its gevent worker by running sys.argv[0] again, and
    # odoo/__main__.py would put odoo/ itself, with its http.py, first on the import path.
    script = "#!/usr/bin/env python3\nimport odoo.cli\n\nodoo.cli.main()\n"
    (tree / "odoo-bin").write_text(script)


def _fetched_tree():
    home = CACHE / f"{PACKAGE}-debian-{LAYOUT}"
    tree = home / "usr/lib/python3/dist-packages"
    if not tree.exists():
        with lock(CACHE / "odoo.lock"):  # a second checkout waits, then finds the result
            if not tree.exists():
                _fetch(home)
    return tree


def _fetch(home):
    for tool, package in (("apt-get", "apt"), ("dpkg-deb", "dpkg")):
        if not shutil.which(tool):
            die(
                f"{tool} is missing, so Debian's {PACKAGE} cannot be fetched",
                f"use a Debian machine (package {package}), or set ODOO_PATH to an Odoo 19 tree",
            )
    CACHE.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".fetch-", dir=CACHE))
    try:
        apt = _private_apt(work)
        say(f"fetching {PACKAGE} (120 MB, once): reading Debian's package list")
        _apt(apt, work, "update")
        say("fetching: downloading")
        (work / "debs").mkdir()
        _apt(apt, work / "debs", "download", PACKAGE, *LINKED_PACKAGES)
        say("fetching: unpacking")
        for deb in sorted((work / "debs").glob("*.deb")):
            subprocess.run(["dpkg-deb", "-x", deb, work / "root"], check=True)
        _mend(work / "root")
        # The rename is what makes the tree exist, so a broken download never looks like one.
        (work / "root").rename(home)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    say(f"Odoo is in {home}")


def _private_apt(work):
    """Write the configuration of an apt that knows Debian sid and nothing of this machine."""
    uri, keyring = _debian_source()
    for folder in ("state/lists/partial", "cache/archives/partial"):
        (work / folder).mkdir(parents=True)
    (work / "status").touch()
    source = f"Types: deb\nURIs: {uri}\nSuites: sid\nComponents: main\n"
    (work / "sid.sources").write_text(source + (f"Signed-By: {keyring}\n" if keyring else ""))
    settings = {
        "Dir::State": work / "state",
        "Dir::State::status": work / "status",
        "Dir::Cache": work / "cache",
        "Dir::Etc::sourcelist": work / "sid.sources",
        "Dir::Etc::sourceparts": "-",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
    }
    if os.geteuid() == 0:
        # Else apt drops to the user _apt, who may not enter root's home.
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
        die(
            f"apt-get {arguments[0]} failed: {reason}",
            "check that the Debian mirror in /etc/apt is reachable, or set ODOO_PATH to an"
            " Odoo 19 tree",
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
    die(
        "no Debian mirror is configured in /etc/apt",
        "add Debian's archive there (deb822 or one-line format), or set ODOO_PATH to an"
        " Odoo 19 tree",
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


def _mend(root):
    """Repair, in our copy only, what Debian's packaging leaves broken for a private tree."""
    tree = root / "usr/lib/python3/dist-packages"
    addons = tree / "odoo/addons"
    # A second, partial copy of the add-ons that would only lengthen the add-ons path.
    shutil.rmtree(tree / "addons", ignore_errors=True)
    # Debian drops this script (no source), yet mail's bundle names it, and a browser console
    # with an error fails every tour. It blurs camera backgrounds; an empty one does no harm.
    script = addons / "mail/static/lib/selfie_segmentation/selfie_segmentation.js"
    script.parent.mkdir(parents=True, exist_ok=True)
    script.touch()
    # The Font Awesome 4 files that some links expect are no longer in Debian. web carries them
    # as woff and woff2; point the dangling links there.
    fonts = addons / "web/static/src/libs/fontawesome/fonts"
    for folder in (fonts, addons / "web/static/lib/fontawesome/fonts"):
        for link in folder.iterdir():
            if link.is_symlink() and not link.exists():
                link.unlink()
                suffix = ".woff" if link.suffix == ".woff" else ".woff2"
                link.symlink_to(os.path.relpath(fonts / f"fontawesome-webfont{suffix}", folder))
    _write_odoo_bin(tree)


if __name__ == "__main__":
    STATE.mkdir(exist_ok=True)
    print(odoo_tree())
