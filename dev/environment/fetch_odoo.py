"""Find or fetch Odoo 19: ``ODOO_PATH``, an ``odoo`` on PATH, or Debian's package, unpacked.

Debian has Odoo 19 in *sid*.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

from dev.common import CACHE, STATE, die, say, state_dir
from dev.environment import debian_archive

PACKAGE = "odoo-19"
# Odoo's static files are links into these packages. Its Python dependencies come from PyPI.
LINKED_PACKAGES = (
    "fonts-font-awesome fonts-glyphicons-halflings fonts-inconsolata fonts-montserrat fonts-ocr-b "
    "fonts-roboto-unhinted libjs-jquery libjs-jquery-form libjs-underscore"
).split()
# Increase this when the result of `_mend` changes, so that trees in caches are made again.
LAYOUT = 1


def odoo_tree():
    """Return the folder with ``odoo-bin`` and the package ``odoo``, fetching it if needed."""
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
    """Return the tree of an installed ``odoo`` command if it is version 19, else None."""
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
    """Return a tree that links to an installed package.

    With the package's own parent folder on the path, all Python packages of the system would come
    before those of the virtual environment.
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
    try:
        debian_archive.fetch((PACKAGE, *LINKED_PACKAGES), home, finish=_mend)
    except debian_archive.Unavailable as error:
        problem, remedy = error.args
        die(problem, f"{remedy}, or set ODOO_PATH to an Odoo 19 tree")
    return home / "usr/lib/python3/dist-packages"


def _mend(root):
    """Repair what Debian's packaging leaves broken in an unpacked tree."""
    tree = root / "usr/lib/python3/dist-packages"
    addons = tree / "odoo/addons"
    # A second, partial copy of the add-ons, which would only make the add-ons path longer.
    shutil.rmtree(tree / "addons", ignore_errors=True)
    # Debian removes this script (no source), but mail's bundle names it, and any error in the
    # browser console fails a tour. It blurs camera backgrounds, so an empty file does no harm.
    script = addons / "mail/static/lib/selfie_segmentation/selfie_segmentation.js"
    script.parent.mkdir(parents=True, exist_ok=True)
    script.touch()
    # Some links expect files of Font Awesome 4 that are no longer in Debian. web has them as woff
    # and woff2, so the broken links are pointed there.
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
