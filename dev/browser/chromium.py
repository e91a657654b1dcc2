"""The browser for tours and screenshots: Chromium, installed from Debian if it is missing."""

import shutil

from dev.common import die
from dev.environment import debian_programs

# The names that Odoo's own tests look for, in the same order.
NAMES = ("google-chrome", "chromium", "chromium-browser", "google-chrome-stable")


def executable():
    """Return the path of a Chromium, installing Debian's if there is none and that is possible."""
    return _find() or _install()


def _find():
    return next(filter(None, map(shutil.which, NAMES)), None)


def _install():
    if not shutil.which("apt-get"):
        die("no Chromium on PATH, and no apt-get to install it", "install Chromium or Chrome")
    if not debian_programs.may_install():
        die("no Chromium on PATH", "sudo apt-get install chromium")
    if problem := debian_programs.install("chromium"):
        die(problem, "install chromium by hand")
    return _find() or die("Debian's chromium put no browser on PATH", "install one by hand")
