"""The Python environment: pinned packages from PyPI in a virtual environment in the user's cache.

Its name contains the interpreter's version and a hash of the pins, so that checkouts share it and
changed pins make a new one.
"""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from dev.common import CACHE, ROOT, die, lock, say, state_dir

SUPPORTED = [(3, 13), (3, 12), (3, 11), (3, 10)]


def venv(requirements="requirements.txt"):
    """Return the folder of the virtual environment for a requirements file, creating it if needed.

    :param requirements: name of a file in this folder
    """
    _check_interpreter()
    pins = Path(__file__).with_name(requirements)
    version = "{}.{}".format(*sys.version_info)
    identity = hashlib.sha256(pins.read_bytes() + sys.base_prefix.encode()).hexdigest()[:12]
    home = CACHE / f"venv-{pins.stem}-py{version}-{identity}"
    if not home.exists():
        with lock(CACHE / f"{home.name}.lock"):
            if not home.exists():
                _make(home, pins)
    if requirements == "requirements.txt":
        _link(home)
    return home


def enter():
    """Replace this process with one that runs the Python of the virtual environment."""
    home = venv()
    if Path(sys.prefix) != home:
        python = str(home / "bin/python")
        os.execv(python, [python, *_command()])


def _command():
    """Return the arguments of this process for Python; commands are run as modules (``-m``)."""
    return ["-m", sys.modules["__main__"].__spec__.name, *sys.argv[1:]]


def _check_interpreter():
    if sys.version_info[:2] in SUPPORTED:
        return
    for major, minor in SUPPORTED:
        other = shutil.which(f"python{major}.{minor}")
        if other:
            os.execv(other, [other, *_command()])
    die(
        "Odoo 19 needs Python 3.10 to 3.13; this is {}.{}".format(*sys.version_info),
        "install one of them, or say which to use: make PYTHON=/path/to/python3.12 ...",
    )


def _make(home, pins):
    if not (importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")):
        die(
            "python3 cannot make virtual environments here (no venv or ensurepip module)",
            "apt-get install python3-venv",
        )
    name = pins.relative_to(ROOT)
    work = Path(tempfile.mkdtemp(prefix=".venv-", dir=CACHE))
    try:
        say(f"installing Python packages of {name} (once)")
        subprocess.run([sys.executable, "-m", "venv", work / "venv"], check=True)
        pip = subprocess.run(
            [
                *(work / "venv/bin/python", "-m", "pip", "install", "--quiet", "--no-compile"),
                *("--disable-pip-version-check", "--requirement", pins),
            ],
            capture_output=True,
            text=True,
        )
        if pip.returncode:
            errors = [line for line in pip.stderr.splitlines() if line.startswith("ERROR")]
            die(
                f"pip could not install {name}: {(errors or ['no reason given'])[-1]}",
                "check that PyPI or your configured index is reachable (pip config list)",
            )
        _relocate(work / "venv", home)
        (work / "venv").rename(home)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _relocate(made, home):
    """Replace the temporary path, which pip wrote into the scripts, with the final one."""
    for script in (made / "bin").iterdir():
        if script.is_symlink():
            continue
        text = script.read_bytes()
        if str(made).encode() in text[:4096]:
            script.write_bytes(text.replace(str(made).encode(), str(home).encode()))


def _link(home):
    """Keep ``.dev/venv`` pointing at the environment, for editors and ``.dev/venv/bin/pytest``."""
    link = state_dir() / "venv"
    if not link.is_symlink() or os.readlink(link) != str(home):
        fresh = link.with_name(f".venv.{os.getpid()}")
        fresh.symlink_to(home)
        fresh.replace(link)
