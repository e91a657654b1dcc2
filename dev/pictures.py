"""``make pictures``: take the pictures of README.rst and of the app's page from the demo data.

``dev/screenshot.py`` takes each from a separate database. ``make lint`` checks them.
"""

import contextlib
import re
import struct
import subprocess
import sys
from dataclasses import dataclass, field

from dev import run
from dev.common import ROOT, die, entry_point, free_port, say, state_dir
from dev.environment import virtualenv
from dev.servers import postgres
from dev.servers.live_server import LiveServer

FOLDER = ROOT / "static" / "description"
DATABASE = "auth_integration_pictures"
MOST_BYTES = 200_000
ROW = ".o_data_row .o_data_cell"


@dataclass(frozen=True)
class Picture:
    """A picture: which user looks at which page, and its size.

    :ivar login: empty for a file of this checkout
    :ivar clicks: selectors of the elements to click first
    """

    name: str
    login: str
    path: str
    size: tuple = (1280, 800)
    clicks: tuple = field(default=())

    @property
    def file(self):
        return FOLDER / f"{self.name}.png"


PICTURES = (
    Picture("overview", "admin", "/odoo/api-integrations", (1280, 640)),
    Picture("incident", "demo", "/odoo/integration-incidents", clicks=(ROW,)),
    Picture("attempt", "admin", "/odoo/api-attempts", clicks=(ROW,)),
    Picture("issues", "admin", "/odoo/integration-findings"),
    Picture("rotation", "demo", "/odoo/api-key-rotations", clicks=(ROW,)),
    Picture("keys", "admin", "/odoo/api-keys"),
    Picture("causes", "demo", "/auth_integration/causes"),
    Picture("banner", "", "dev/browser/banner.html", (560, 280)),
)
# Run the jobs on the demo data here, as no cron job runs while the pictures are taken.
PREPARE = """
for job in ("incidents", "rotation"):
    env.ref(f"auth_integration.ir_cron_{job}").method_direct_trigger()
result = env["auth.integration.alert"].search_count([("state", "!=", "sent")])
"""


@contextlib.contextmanager
def serving():
    """Run a server on a new database with demo data and a mail server, and yield its URL."""
    from aiosmtpd.controller import Controller
    from aiosmtpd.handlers import Sink

    mail = Controller(Sink(), hostname="127.0.0.1", port=free_port())
    mail.start()
    postgres.drop(DATABASE)
    run.prepare(DATABASE)
    config = {
        "data_dir": state_dir("run", "data"), "smtp_server": "127.0.0.1", "smtp_port": mail.port,
        "email_from": "odoo@example.com",
    }
    server = LiveServer(DATABASE, config=config)
    try:
        if unsent := server.shell(PREPARE):
            die(f"{unsent} alerts could not be sent", f"see {server.folder}")
        yield server.start().url
    finally:
        server.drop()
        mail.stop()


def take(picture, url):
    """Take one picture."""
    width, height = picture.size
    if picture.login:
        page = ("--url", url, "--path", picture.path, "--db", DATABASE, "--login", picture.login)
    else:
        page = ("--url", (ROOT / picture.path).as_uri(), "--path", "")
    subprocess.run(
        [
            *(sys.executable, "-m", "dev.screenshot", *page),
            *("--out", picture.file, "--width", str(width), "--height", str(height)),
            *(option for selector in picture.clicks for option in ("--click", selector)),
        ],
        cwd=ROOT,
        check=True,
    )


def check():
    """Yield what is wrong with the pictures: their sizes, and references to other pictures."""
    for picture in PICTURES:
        name = picture.file.relative_to(ROOT)
        if not picture.file.exists():
            yield f"{name}: missing -> make pictures"
            continue
        data = picture.file.read_bytes()
        if struct.unpack(">II", data[16:24]) != picture.size:
            yield f"{name}: is not {picture.size[0]} by {picture.size[1]} pixels -> make pictures"
        if len(data) > MOST_BYTES:
            yield f"{name}: {len(data)} bytes, at most {MOST_BYTES}"
    yield from _named_pictures()


def _named_pictures():
    page = FOLDER / "index.html"
    ours = {picture.file for picture in PICTURES} | {FOLDER / "icon.png"}
    for path in (ROOT / "README.rst", page, *(ROOT / "docs").glob("*.rst")):
        text = path.read_text(encoding="utf-8")
        for named in re.findall(r"(?:image|figure):: *(\S+)|<img[^>]* src=\"([^\"]+)\"", text):
            if path.parent.joinpath("".join(named)).resolve() not in ours:
                yield f"{path.relative_to(ROOT)}: {''.join(named)} is not made by make pictures"


def main():
    """Take all pictures, or those named on the command line."""
    wanted = [p for p in PICTURES if not sys.argv[1:] or p.name in sys.argv[1:]]
    with postgres.running(), serving() as url:
        for picture in wanted:
            take(picture, url)
            say(f"{picture.file.relative_to(ROOT)}: {picture.file.stat().st_size} bytes")
    problems = list(check())
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    virtualenv.enter()
    entry_point(main)
