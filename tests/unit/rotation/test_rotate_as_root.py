"""``rotate.py`` as root: in the folder of another user, no file of a third one changes."""

import json
import os
import pwd
import stat
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "static/rotate.py"
OLD, NEW = "0" * 40, "1" * 40

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as other users")


class Odoo(BaseHTTPRequestHandler):
    """An Odoo whose key is due; ``before_new_key`` is called before it answers with the new one."""

    before_new_key = staticmethod(lambda: None)

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        key = self.headers["Authorization"].split()[-1]
        if key not in (OLD, NEW):
            self.send_error(401)
            return
        answer = {
            "state": "active", "prefix": key[:8], "expires_at": "2030-01-09 00:00:00",
            "rotate_after": "2030-01-01 00:00:00", "server_time": "2030-01-02 00:00:00",
        }
        if self.path.endswith("/rotate"):
            self.before_new_key()
            answer = {"key": NEW}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *args):
        pass


@pytest.fixture
def odoo():
    class Answers(Odoo):
        pass

    with HTTPServer(("localhost", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        server.answers = Answers
        yield server
        server.shutdown()


@pytest.fixture
def nobody():
    return pwd.getpwnam("nobody")


@pytest.fixture
def home(tmp_path, nobody):
    """A folder of another user, with a key that is due in a folder."""
    made = tmp_path / "home"
    (made / "keys").mkdir(parents=True)
    write(made / "keys/odoo.key", OLD)
    for path in (made, made / "keys", made / "keys/odoo.key"):
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    return made


@pytest.fixture
def roots(tmp_path):
    """A folder of root with a key that is due, and what it looks like."""
    made = tmp_path / "roots"
    made.mkdir()
    write(made / "odoo.key", OLD)
    return made


def write(path, key):
    path.write_text(key)
    path.chmod(0o600)


def look(folder):
    """All that a write would change in a folder, besides the number of links."""
    return [
        (path.name, path.is_file() and path.read_text(), known.st_ino, known.st_mode,
         known.st_uid, known.st_gid, known.st_mtime_ns)
        for path in [folder, *sorted(folder.iterdir())] for known in [path.lstat()]
    ]


def run(odoo, file, *options):
    """Run the program as root; return its exit code and what it says."""
    url = f"http://localhost:{odoo.server_address[1]}"
    done = subprocess.run(
        [sys.executable, SCRIPT, url, "--key-file", file, *options],
        capture_output=True, text=True, timeout=60,
    )
    assert OLD not in done.stderr and NEW not in done.stderr
    return done.returncode, done.stderr


def test_in_the_folder_of_another_user(odoo, home, nobody):
    """The new file is that user's, although only root may give files away."""
    assert run(odoo, home / "keys/odoo.key")[0] == 0
    [file] = (home / "keys").iterdir()
    known = file.stat()
    assert file.read_text() == NEW
    assert (known.st_uid, known.st_gid) == (nobody.pw_uid, nobody.pw_gid)
    assert stat.S_IMODE(known.st_mode) == 0o600


def test_it_has_no_rights_of_root_there(odoo, home):
    """What the folder's owner cannot read or replace, the program cannot either."""
    file = home / "keys/odoo.key"
    os.chown(file, 0, 0)
    assert run(odoo, file)[0] == 1
    os.chown(home / "keys", 0, 0)  # within the folder of another user
    os.chown(file, home.stat().st_uid, home.stat().st_gid)
    assert run(odoo, file)[0] == 1
    assert file.read_text() == OLD


def test_in_a_folder_of_root_the_owner_of_the_file_stays(odoo, roots, nobody):
    os.chown(roots / "odoo.key", nobody.pw_uid, nobody.pw_gid)
    assert run(odoo, roots / "odoo.key")[0] == 0
    known = (roots / "odoo.key").stat()
    assert (known.st_uid, known.st_gid) == (nobody.pw_uid, nobody.pw_gid)
    assert (roots / "odoo.key").read_text() == NEW


def test_a_command_has_the_rights_that_the_program_was_started_with(odoo, home, roots):
    """Only files are touched as their folder's owner."""
    seen = roots / "seen"
    assert run(odoo, home / "keys/odoo.key", "--command", f"id > {seen}")[0] == 0
    assert seen.read_text() == subprocess.run(["id"], capture_output=True, text=True).stdout


def link_as_file(home, roots):
    (home / "keys/odoo.key").unlink()
    (home / "keys/odoo.key").symlink_to(roots / "odoo.key")


def link_as_pending_file(home, roots):
    (home / "keys/odoo.key.new").symlink_to(roots / "odoo.key")


def link_as_folder(home, roots):
    (home / "keys").rename(home / "was")
    (home / "keys").symlink_to(roots)


def hard_link_as_file(home, roots):
    (home / "keys/odoo.key").unlink()
    (home / "keys/odoo.key").hardlink_to(roots / "odoo.key")


def readable_hard_link_as_file(home, roots):
    hard_link_as_file(home, roots)
    (roots / "odoo.key").chmod(0o644)


def pipe_as_file(home, roots):
    (home / "keys/odoo.key").unlink()
    os.mkfifo(home / "keys/odoo.key")
    os.chown(home / "keys/odoo.key", home.stat().st_uid, home.stat().st_gid)


def folder_as_file(home, roots):
    (home / "keys/odoo.key").unlink()
    (home / "keys/odoo.key").mkdir()


@pytest.mark.parametrize("obstacle", [
    link_as_file, link_as_pending_file, link_as_folder, hard_link_as_file,
    readable_hard_link_as_file, pipe_as_file, folder_as_file,
])
@pytest.mark.parametrize("meanwhile", [False, True], ids=["before", "meanwhile"])
def test_no_file_of_another_user_changes(odoo, home, roots, obstacle, meanwhile):
    """Whatever the owner of the folder puts there, before or while the program runs."""
    before = None

    def put():
        nonlocal before
        obstacle(home, roots)
        before = look(roots)

    if meanwhile:
        odoo.answers.before_new_key = staticmethod(put)
    else:
        put()
    code, said = run(odoo, home / "keys/odoo.key")
    assert "Traceback" not in said
    assert meanwhile or code in (1, 2)
    assert look(roots) == before


def test_a_pipe_is_no_key_file(odoo, home, roots):
    """Not even while somebody holds its other end open."""
    pipe_as_file(home, roots)
    other_end = os.open(home / "keys/odoo.key", os.O_RDWR)
    try:
        code, said = run(odoo, home / "keys/odoo.key")
    finally:
        os.close(other_end)
    assert code == 2 and "is not a file" in said


def test_a_link_on_the_way(odoo, home, roots, tmp_path):
    """Also one of root's: its path is to be given without links."""
    for link in (home / "way", tmp_path / "way"):
        link.symlink_to(roots)
        before = look(roots)
        code, said = run(odoo, link / "odoo.key")
        assert code == 2 and "links" in said
        assert look(roots) == before


def test_a_new_key_goes_where_nobody_else_can_read_it(odoo, home, tmp_path):
    """The folder is another one when the new key comes: it is written there as its owner, too."""
    other = pwd.getpwnam("daemon")
    trap = tmp_path / "trap"
    trap.mkdir(mode=0o700)
    os.chown(trap, other.pw_uid, other.pw_gid)
    odoo.answers.before_new_key = staticmethod(lambda: link_as_folder(home, trap))
    assert run(odoo, home / "keys/odoo.key")[0] == 2
    assert not list(trap.iterdir())
