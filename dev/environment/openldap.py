"""OpenLDAP for the tests of Odoo's ``auth_ldap``: a server, and Python's client for it.

Neither is installed on this machine: the Debian package of the server would start a service, and
PyPI has the client only as source, which needs the headers of its libraries.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from dev.common import CACHE, lock, say
from dev.environment import debian_archive

HOME = CACHE / "openldap-debian"
REQUIREMENTS = Path(__file__).with_name("requirements-ldap.txt")
PACKAGES = ("slapd", "libldap-dev", "libsasl2-dev")


class Unavailable(Exception):
    """OpenLDAP is not available here; the argument says why."""


def provide():
    """Unpack the server and install the module ``ldap`` in this Python environment.

    :raises Unavailable: Debian's archive, a compiler or PyPI is missing
    """
    try:
        debian_archive.fetch_to_run(PACKAGES, HOME)
    except debian_archive.Unavailable as error:
        raise Unavailable(error.args[0]) from error
    with lock(CACHE / "python-ldap.lock"):
        if not importlib.util.find_spec("ldap"):
            _compile_client()
    importlib.invalidate_caches()


def slapd():
    """Return the path of the server, which must run in :func:`environment`."""
    return HOME / "usr/sbin/slapd"


def modules():
    """Return the folder of the server's modules, such as ``back_mdb``."""
    return HOME / "usr/lib/ldap"


def schema(name):
    """Return the path of one of the schemas that come with the server."""
    return HOME / f"etc/ldap/schema/{name}.schema"


def environment():
    """Return the environment in which the server finds its libraries."""
    return {**os.environ, "LD_LIBRARY_PATH": _libraries()}


def _libraries():
    return os.pathsep.join(str(folder.parent) for folder in HOME.glob("usr/lib/*/libldap.so"))


def _compile_client():
    say("compiling python-ldap (once)")
    folder = _libraries()
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            # Do not reuse a wheel that was built for other libraries.
            "--no-cache-dir",
            *("--requirement", REQUIREMENTS),
        ],
        env={
            **os.environ,
            "CFLAGS": f"-I{HOME}/usr/include",
            "LDFLAGS": f"-L{folder} -Wl,-rpath,{folder}",
        },
        capture_output=True,
        text=True,
    )
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise Unavailable(f"no python-ldap: {(errors or ['no reason given'])[-1]}")
