"""Run the examples of the guides as printed, with the values that readers must supply."""

import ast
import json
import os
import shlex
import subprocess

from dev.servers.odoo_command import command


def run_shell(example, cwd=None, path=None, **variables):
    """Run a shell example and return what it prints.

    :param path: a folder of programs that precede the system's
    """
    search = f"{path}:{os.environ['PATH']}" if path else os.environ["PATH"]
    done = subprocess.run(
        ["bash", "-e", "-c", example],
        env=os.environ | {"PATH": search} | {k: str(v) for k, v in variables.items()},
        cwd=cwd,
        capture_output=True,
        text=True,
    )
    assert not done.returncode, done.stdout + done.stderr
    return done.stdout


def run_curl(server, example, **variables):
    """Run an example that calls Odoo and return the result."""
    printed = run_shell(example, ODOO_URL=server.url, ODOO_DB=server.db, **variables)
    answer = json.loads(printed.splitlines()[-1])
    return answer["result"] if "jsonrpc" in example else answer


def run_python(server, example, uid, key, **names):
    """Run the lines of an example and return its variables, with the last value as ``_``."""
    names |= {
        "models": server.xmlrpc("object"), "url": server.url, "db": server.db, "uid": uid,
        "key": key,
    }
    *before, last = ast.parse(example).body
    exec(compile(ast.Module(before, []), "guide", "exec"), names)
    if isinstance(last, ast.Assign):
        names["_"] = names[last.targets[0].id] = eval(ast.unparse(last.value), names)
    else:
        names["_"] = eval(ast.unparse(last), names)
    return names


def make_program(folder, name, *command_line):
    """Create a program in a folder that runs a command line with its own arguments appended."""
    folder.mkdir(exist_ok=True)
    program = folder / name
    program.write_text(f'#!/bin/sh\nexec {shlex.join(map(str, command_line))} "$@"\n')
    program.chmod(0o755)
    return folder


def make_odoo(folder):
    """Create a program ``odoo`` in a folder."""
    return make_program(folder, "odoo", *command())
