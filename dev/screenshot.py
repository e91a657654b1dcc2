"""Save a picture of a page of a running Odoo, as a given user sees it.

Example::

    python3 -m dev.screenshot --login admin --path /odoo/settings --out /tmp/settings.png
"""

import argparse
import http.client
import os
import sys
import urllib.error
import urllib.request

from dev.browser.page import open_page, open_session
from dev.common import die, entry_point
from dev.environment import virtualenv


def check_answers(url):
    """Exit unless something answers at the URL: otherwise the browser would wait in vain."""
    try:
        urllib.request.urlopen(url, timeout=60).close()
    except urllib.error.HTTPError:
        pass
    except (OSError, ValueError, http.client.HTTPException) as error:
        die(
            f"nothing answers at {url} ({getattr(error, 'reason', None) or error})",
            "make run PORT=... starts an Odoo there; --url names another one",
        )


def log_in(url, login, password, database):
    """Return the session ID of a user, or exit with one line: it is mostly a typing error."""
    try:
        return open_session(url, login, password, database)
    except (RuntimeError, ValueError) as error:
        die(
            f"cannot log in at {url} as {login}: {' '.join(str(error).split())}",
            "--db, --login and --password name whom",
        )


def main():
    """Take the screenshot that the command line describes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default=f"http://localhost:{os.environ.get('PORT') or 8069}")
    parser.add_argument("--db", help="default: the first database that the server lists")
    parser.add_argument("--login", help="without it the page is seen as a visitor")
    parser.add_argument("--password", help="default: the login")
    parser.add_argument("--path", default="/odoo")
    parser.add_argument("--out", required=True, help="the PNG file to write")
    parser.add_argument("--width", type=int, default=1280, help="400: as on a telephone")
    parser.add_argument("--height", type=int, default=800)
    parser.add_argument("--full-page", action="store_true")
    parser.add_argument("--wait", metavar="SELECTOR", help="an element that must be there first")
    parser.add_argument(
        "--click", metavar="SELECTOR", action="append", default=[], help="may be repeated"
    )
    parser.add_argument("--eval", metavar="JAVASCRIPT", help="run before the picture is taken")
    parser.add_argument("--timeout", type=float, default=60)
    options = parser.parse_args()

    check_answers(options.url)
    password = options.password or options.login
    session = options.login and log_in(options.url, options.login, password, options.db)
    with open_page(options.width, options.height) as page:
        if session:
            page.use_session(options.url, session)
        page.open(options.url + options.path, options.timeout)
        for selector in options.click:
            page.click(selector)
        if options.eval:
            result = page.evaluate(options.eval)
            if result is not None:
                print(result)
            page.wait_idle(options.timeout)
        if options.wait:
            page.wait_for(options.wait, options.timeout)
        page.screenshot(options.out, options.full_page)
        for line in page.console:
            print(f"console {line}", file=sys.stderr)
    print(options.out)
    if any("ERR_FILE_NOT_FOUND" in line for line in page.console):
        die("the page lacks a file that it names", "look at its console, above")


if __name__ == "__main__":
    virtualenv.enter()
    entry_point(main)
