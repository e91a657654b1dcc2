"""The package, built from a folder with any name, contains the add-on and works with Odoo."""

import ast
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from email.parser import HeaderParser

import pytest

from dev.common import ADDON, CHECKOUT_ID, ROOT, free_port
from dev.servers import odoo_command, templates

FOLDER = f"odoo/addons/{ADDON}/"
# Parts of the checkout that are of no use in an installed add-on.
LEFT_OUT = (".ci", ".dev", "benchmarks", "dev", "docs", "tests", "static/tests", "Makefile")
CALL = """
integration = env["auth.integration"].create(
    {"name": "Packaged", "code": "packaged", "owner_ids": [(4, env.ref("base.user_admin").id)]})
secret = integration.issue_key()["key"]
env.flush_all()
uid = env["res.users.apikeys"]._check_credentials(scope="rpc", key=secret)
import odoo.addons.auth_integration as package
print("answer", uid == integration.user_id.id, package.__file__)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The package, built from the files that are, or would be, under version control."""
    folder = tmp_path_factory.mktemp("package")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            copy = folder / "another name" / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy)
    _run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-index", "--no-build-isolation",
         "--wheel-dir", folder, folder / "another name")
    [made] = folder.glob("*.whl")
    return made


def _run(*arguments, **options):
    done = subprocess.run(
        [*map(str, arguments)], capture_output=True, text=True, timeout=600, **options
    )
    assert not done.returncode, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def test_what_is_in_the_package(wheel):
    """The package contains the add-on in its folder, and otherwise only its own metadata."""
    names = zipfile.ZipFile(wheel).namelist()
    outside = {name.split("/")[0] for name in names if not name.startswith(FOLDER)}
    assert [name.partition("-19.0.")[0] for name in outside] == [f"odoo_addon_{ADDON}"]
    for name in LEFT_OUT:
        assert not [found for found in names if found.startswith((FOLDER + name + "/",))], name
        assert FOLDER + name not in names
    manifest = ast.literal_eval((ROOT / "__manifest__.py").read_text())
    needed = ["__init__.py", "__manifest__.py", *manifest["data"], *manifest["demo"]]
    needed += ["static/description/icon.png", "static/doctor.py", "static/rotate.py", "LICENSE"]
    for folder in ("controllers", "models", "tools", "wizard"):
        needed += [str(path.relative_to(ROOT)) for path in (ROOT / folder).rglob("*.py")]
    assert {FOLDER + name for name in needed} <= set(names)


def test_metadata_is_what_odoo_tools_expect(wheel):
    """The name, version and requirements are those that OCA's tools would write."""
    package = zipfile.ZipFile(wheel)
    [name] = [name for name in package.namelist() if name.endswith(".dist-info/METADATA")]
    found = HeaderParser().parsestr(package.read(name).decode())
    manifest = ast.literal_eval((ROOT / "__manifest__.py").read_text())
    assert found["Name"] == f"odoo-addon-{ADDON}"
    assert found["Version"] == manifest["version"]
    assert found["Summary"] == manifest["summary"]
    assert found["Author"] == manifest["author"]
    needed = {line for line in found.get_all("Requires-Dist") if "extra ==" not in line}
    assert needed == {"odoo==19.0.*", *manifest["external_dependencies"]["python"]}
    assert {"Framework :: Odoo", "Framework :: Odoo :: 19.0"} <= set(found.get_all("Classifier"))


def test_an_odoo_works_with_the_package(wheel, tmp_path):
    """In a fresh environment with the package, the add-on is found, installed and called."""
    _run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv")
    python = tmp_path / "venv/bin/python"
    install = ("install", "--no-deps", "--no-index")
    _run(sys.executable, "-m", "pip", "--python", python, *install, wheel)
    [site_packages] = (tmp_path / "venv/lib").glob("python*/site-packages")
    # Odoo and its dependencies.
    (site_packages / "odoo.pth").write_text(
        f"{odoo_command.tree()}\n{sysconfig.get_path('purelib')}\n"
    )
    database = f"live_{CHECKOUT_ID}_package"
    templates.copy(templates.stock(), database)
    options = [
        *("--database", database, "--data-dir", templates.data_dir(), "--no-http"),
        *("--addons-path", odoo_command.addons_path(with_addon=False)),
        *("--http-port", free_port(), "--max-cron-threads", "0"),
    ]
    environ = odoo_command.environment()
    del environ["PYTHONPATH"]
    odoo = [python, odoo_command.tree() / "odoo-bin"]
    try:
        _run(*odoo, *options, "--init", ADDON, "--stop-after-init", env=environ)
        said = _run(*odoo, "shell", *options, input=CALL, env=environ)
    finally:
        templates.discard(database)
    assert f"answer True {site_packages / FOLDER / '__init__.py'}" in said
