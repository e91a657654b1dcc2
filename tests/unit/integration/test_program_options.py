"""doctor.py and rotate.py use the same names for the same options, as does the crontab line."""

import runpy
import shlex

import pytest

from dev.common import ROOT
from odoo.addons.auth_integration.tools.integration import rotate_command

STATIC = ROOT / "static"
# The options that each needs to reach Odoo with a key.
SHARED = {"url", "--url", "--db", "--key-file", "--ca-file", "--timeout", "--source-address"}
URL = "https://odoo.example.com"


def load(name):
    return runpy.run_path(str(STATIC / name))


def options(name):
    """Return the options of a program by name, each with its definition."""
    found = {}
    for action in load(name)["make_parser"]()._actions:
        for option in action.option_strings or [action.dest]:
            found[option] = (
                action.dest, action.nargs, action.const, action.default, action.type,
                action.choices, action.required, action.help, action.metavar,
            )
    return found


def test_the_same_names_for_the_same_things(monkeypatch):
    for name in ("ODOO_URL", "ODOO_DB"):
        monkeypatch.setenv(name, f"the {name}")
    doctor, rotate = options("doctor.py"), options("rotate.py")
    shared = doctor.keys() & rotate.keys()
    assert shared - {"-h", "--help"} == SHARED
    for name in shared:
        *of_doctor, told, _metavar = doctor[name]
        *of_rotate, told_more, _metavar = rotate[name]
        assert of_doctor == of_rotate
        if name == "--key-file":  # without it, each program behaves differently
            told, told_more = (text.split(" It must exist. ")[0] for text in (told, told_more))
        assert told_more == told


@pytest.mark.parametrize("name", ["doctor.py", "rotate.py"])
@pytest.mark.parametrize("given", [[URL], ["--url", URL], []])
def test_the_url_as_argument_option_or_variable(name, given, monkeypatch):
    monkeypatch.setenv("ODOO_URL", "https://other.example.com" if given else URL)
    assert load(name)["parse"]([*given, "--key-file", "/k"]).url == URL


def test_the_key_of_the_environment(monkeypatch):
    """Both use the same name, and also that of former versions."""
    doctor, rotate = load("doctor.py"), load("rotate.py")
    line = [URL, "--command", "cat", "--pending-file", "/p"]
    for name in ("ODOO_API_KEY", "ODOO_KEY"):
        monkeypatch.setenv(name, f"the {name}")
        assert rotate["current_key"](rotate["parse"](line)) == f"the {name}"
        assert doctor["read_secret"](doctor["parse"]([URL])) == f"the {name}"


@pytest.mark.parametrize("second_factor", [False, True])
def test_the_crontab_line_has_the_options_of_the_program(second_factor):
    line = rotate_command.cron_line(URL, "my db", "web_shop", second_factor)
    minute, hour, day, month, weekday, python, _program, *given = shlex.split(line)
    assert 0 <= int(minute) < 60 and 0 <= int(hour) < 24
    assert (day, month, weekday, python) == ("*", "*", "*", "python3")
    chosen = load("rotate.py")["parse"](given)
    assert (chosen.url, chosen.db, chosen.key_file) == (URL, "my db", "/etc/odoo/web_shop.key")
    assert chosen.totp_file == ("/etc/odoo/web_shop.totp" if second_factor else None)


def test_a_percent_sign_ends_no_crontab_line():
    line = rotate_command.cron_line(URL, "a%b", "shop")
    assert r"a\%b" in line and line.count("%") == 1


def test_hosts_do_not_call_all_at_once():
    minutes = {
        rotate_command.cron_line(URL, "db", f"shop_{number}").split()[0] for number in range(100)
    }
    assert len(minutes) > 30
