"""The browser of tours and screenshots: Chromium, installed from Debian if it is absent."""

import os
import shutil
import subprocess

from common import die, say

# Those that Odoo's own tests look for, in their order.
NAMES = ("google-chrome", "chromium", "chromium-browser", "google-chrome-stable")


def executable():
    """Return the path of a Chromium, installing Debian's when that is possible."""
    return _find() or _install()


def _find():
    return next(filter(None, map(shutil.which, NAMES)), None)


def _install():
    if not shutil.which("apt-get"):
        die("no Chromium on PATH, and no apt-get to install it", "install Chromium or Chrome")
    if os.geteuid() != 0:
        die("no Chromium on PATH", "sudo apt-get install chromium")
    say("installing Debian's chromium (once)")
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update"], ["install", "--yes", "--no-install-recommends", "chromium"]):
        done = subprocess.run(
            ["apt-get", "-qq", *arguments],
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            die(f"apt-get {arguments[0]} failed: {reason}", "install chromium by hand")
    return _find() or die("Debian's chromium put no browser on PATH", "install one by hand")
