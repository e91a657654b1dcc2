"""Find the places in Odoo's source where credentials are verified, without running any of it."""

import ast
from pathlib import Path

# Functions that verify a credential, or pass one to such a function.
VERIFIERS = frozenset(
    {
        "_check_apikey_credentials",
        "_check_credentials",
        "_check_credentials_for_uid",
        "_check_uid_passwd",
        "_compute_session_token",
        "_login",
        "_authenticate_explicit",
        "authenticate",
        "check_credentials",
        "check_session",
    }
)
# What code needs to verify a credential without them.
INGREDIENTS = ("KEY_CRYPT_CONTEXT", "res_users_apikeys", "_crypt_context")
_WORDS = (*VERIFIERS, *INGREDIENTS, "_auth_method_", "route(")
# These have many routes, which only look at a session.
SESSION_METHODS = ("user", "public")


def find(folders):
    """Yield every place in some folders where credentials are verified.

    Each is a line such as ``web/controllers/home.py Home.web_login calls authenticate``.

    :param folders: folders of add-ons or packages; tests are left out
    """
    for folder in map(Path, folders):
        for path in sorted(folder.rglob("*.py")):
            name = path.relative_to(folder)
            if "tests" in name.parts or name.parts[0].startswith("test_"):
                continue
            text = path.read_text(errors="replace")
            if any(word in text for word in _WORDS):
                yield from sorted({f"{name} {door}" for door in doors_of(text)})


def doors_of(source):
    """Yield the places in the source of one file, without its name."""
    yield from _visit(ast.parse(source), ())
    for word in INGREDIENTS:
        if word in source:
            yield f"names {word}"


def _visit(node, names):
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            inner = (*names, child.name)
            if child.name in VERIFIERS or child.name.startswith("_auth_method_"):
                yield f"{'.'.join(inner)} is defined"
            for method in _route_methods(child):
                yield f"{'.'.join(inner)} is a route for {method}"
            yield from _visit(child, inner)
        elif isinstance(child, ast.ClassDef):
            yield from _visit(child, (*names, child.name))
        else:
            if isinstance(child, ast.Call) and (called := _called(child)) in VERIFIERS:
                yield f"{'.'.join(names) or 'the module'} calls {called}"
            yield from _visit(child, names)


def _called(call):
    return getattr(call.func, "attr", None) or getattr(call.func, "id", None)


def _route_methods(function):
    """Yield the authentication methods of a route, except those that only look at the session."""
    for decorator in function.decorator_list:
        if not (isinstance(decorator, ast.Call) and _called(decorator) == "route"):
            continue
        for keyword in decorator.keywords:
            if keyword.arg == "auth":
                method = getattr(keyword.value, "value", None)
                method = method if isinstance(method, str) else ast.unparse(keyword.value)
                if method not in SESSION_METHODS:
                    yield method
