"""Template databases for tests: built once, then copied in a second.

The name of a template consists of the checkout, the kind (modules and add-ons) and a hash of the
files it was made from. When a file changes, a new template replaces the old one.
"""

import contextlib
import hashlib
import os
import shutil
from pathlib import Path

from dev.common import CHECKOUT_ID, addon_hash, lock, say, state_dir
from dev.servers import postgres
from dev.servers.odoo_command import addons_path, run_or_die, tree

# The add-on's dependencies: a database with these is what the add-on is compared with.
STOCK_MODULES = ("mail", "rpc")


def data_dir():
    """Return the ``--data-dir`` of all test servers, with filestores and sessions."""
    return state_dir("test", "data")


def stock(demo=False):
    """Return the name of a template with only Odoo's modules, building it if needed."""
    kind = _digest("stock", str(demo))
    content = _digest(str(tree()), *STOCK_MODULES)
    path = addons_path(with_addon=False)
    return _template(kind, content, None, STOCK_MODULES, path, demo)


def with_modules(modules, *, with_addon=True, extra_addons=(), demo=False):
    """Return the name of a template with these modules installed, building it if needed.

    :param modules: technical names
    :param with_addon: whether the checkout is on the add-ons path
    :param extra_addons: more folders for the add-ons path
    """
    if not with_addon and not extra_addons and set(modules) <= set(STOCK_MODULES):
        return stock(demo)
    extra = [Path(path) for path in extra_addons]
    # Use folder names, not paths: add-ons in temporary folders must not leave a new template each
    # time.
    kind = _digest(*sorted(modules), str(with_addon), str(demo), *(path.name for path in extra))
    content = _digest(
        str(tree()), addon_hash() if with_addon else "", *map(_folder_hash, extra)
    )
    path = addons_path(*extra, with_addon=with_addon)
    return _template(kind, content, lambda: stock(demo), modules, path, demo)


def copy(template, name):
    """Create a database as a copy of a template, replacing any with that name."""
    discard(name)
    postgres.create(name, template)
    _make_original(name)
    source = data_dir() / "filestore" / template
    if source.exists():
        # Files are named after their content and never rewritten, so links work as well as copies.
        shutil.copytree(source, source.with_name(name), copy_function=os.link)


def _make_original(name):
    """Make a database identify as the one in which the add-on was set up, not as a copy."""
    with contextlib.closing(postgres.connect(name)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "UPDATE ir_config_parameter SET value = system_identifier || ':' || oid"
            " FROM pg_control_system(), pg_database"
            " WHERE datname = current_database() AND key = 'auth_integration.database_identity'"
        )


def discard(name):
    """Remove a database and its filestore."""
    postgres.drop(name)
    shutil.rmtree(data_dir() / "filestore" / name, ignore_errors=True)


def _template(kind, content, base, modules, path, demo):
    prefix = f"template_{CHECKOUT_ID}_{kind}_"
    name = prefix + content
    if name in postgres.databases():
        return name
    with lock(state_dir("test") / f"{prefix}.lock"):
        existing = postgres.databases()
        if name in existing:
            return name
        for stale in existing:
            if stale.startswith(prefix):
                discard(stale)
        unfinished = f"unfinished_{CHECKOUT_ID}_{kind}"
        if base:
            copy(base(), unfinished)
        else:
            discard(unfinished)
        say(f"building a test database with {', '.join(modules)}" + (" and demo data" * demo))
        run_or_die(
            [
                *("--database", unfinished, "--init", ",".join(modules), "--stop-after-init"),
                *("--no-http", "--addons-path", path, "--data-dir", data_dir()),
                *(("--with-demo",) if demo else ()),
            ],
            state_dir("test") / f"{prefix}.log",
            "building a test database",
        )
        store = data_dir() / "filestore"
        shutil.rmtree(store / name, ignore_errors=True)
        if (store / unfinished).exists():
            (store / unfinished).rename(store / name)
        # It gets its name last, so a database with this name is complete.
        postgres.rename(unfinished, name)
    return name


def _digest(*parts):
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:10]


def _folder_hash(folder):
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return digest.hexdigest()
