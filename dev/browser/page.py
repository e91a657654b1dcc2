"""A page of a headless Chromium, driven by Playwright: for screenshots and for tests of screens."""

import contextlib
import time

from dev.browser import chromium

FLAGS = ("--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
         "--force-color-profile=srgb")


@contextlib.contextmanager
def open_page(width=1280, height=800):
    """Give a :class:`Page` of a browser of its own, which ends with the block."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium.executable(), args=list(FLAGS)
        )
        with contextlib.closing(browser):
            context = browser.new_context(viewport={"width": width, "height": height})
            yield Page(context.new_page())


class Page:
    """One page that shows an Odoo.

    :ivar page: Playwright's page
    :ivar console: what the page wrote to its console as a warning or error
    """

    def __init__(self, page):
        self.page, self.console = page, []
        self._requests, self._last_traffic = set(), time.monotonic()
        page.on("request", self._note_request)
        page.on("requestfinished", self._note_answer)
        page.on("requestfailed", self._note_answer)
        page.on("pageerror", lambda error: self.console.append(f"exception: {error}"))
        page.on("console", self._note_console)

    def _note_request(self, request):
        self._last_traffic = time.monotonic()
        # The end of a worker's script is never reported to the page.
        if not request.url.startswith(("data:", "blob:")) and "websocket_worker" not in request.url:
            self._requests.add(request)

    def _note_answer(self, request):
        self._last_traffic = time.monotonic()
        self._requests.discard(request)

    def _note_console(self, message):
        if message.type in ("error", "warning"):
            self.console.append(f"{message.type}: {message.text}")

    def use_session(self, url, session_id):
        """Give the browser a session of this Odoo; see :func:`open_session`."""
        zone = self.page.evaluate("Intl.DateTimeFormat().resolvedOptions().timeZone")
        self.page.context.clear_cookies()
        self.page.context.add_cookies(
            [
                {"name": "session_id", "value": session_id, "url": url, "httpOnly": True},
                {"name": "tz", "value": zone, "url": url},  # as Odoo's login page does
            ]
        )

    def resize(self, width, height=800):
        """Set the size of the page, in CSS pixels."""
        self.page.set_viewport_size({"width": width, "height": height})

    def open(self, url, timeout=60):
        """Go to a URL and wait until the page is idle."""
        self._requests.clear()
        self.page.goto(url, timeout=timeout * 1000, wait_until="commit")
        self.wait_idle(timeout)

    def wait_idle(self, timeout=60, quiet=0.7):
        """Wait until Odoo's web client is up and nothing was loaded for a moment."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            self.page.wait_for_timeout(100)  # events of the page are noted meanwhile
            calm = not self._requests and time.monotonic() - self._last_traffic > quiet
            if calm and self.evaluate(_READY):
                return
        raise TimeoutError(f"not idle after {timeout} s; console: {self.console[-5:]}")

    def wait_for(self, selector, timeout=30):
        """Wait until an element is there."""
        self.page.wait_for_selector(selector, state="attached", timeout=timeout * 1000)

    def click(self, selector):
        """Click the first element that matches, and wait until the page is idle again."""
        self.wait_for(selector)
        # As a script does it: what is in its way on a narrow page is no matter here.
        self.page.eval_on_selector(selector, "element => element.click()")
        self.wait_idle()

    def evaluate(self, expression):
        """Return the value of a JavaScript expression; promises are awaited."""
        return self.page.evaluate(expression)

    def screenshot(self, path, full_page=False):
        """Save a PNG of the page."""
        self.page.screenshot(path=path, full_page=full_page)


def open_session(url, login, password, database=None):
    """Log in to an Odoo and return the id of the session.

    :param database: default: the first one that it lists
    :raise RuntimeError: it refuses, or lists no database
    :raise ValueError: what answers is no Odoo
    """
    import requests

    session = requests.Session()

    def call(path, **params):
        answer = session.post(url + path, json={"params": params}, timeout=120).json()
        if not isinstance(answer, dict) or "error" in answer or not answer.get("result"):
            error = answer.get("error") if isinstance(answer, dict) else None
            said = (error or {}).get("data", {}).get("message")
            raise RuntimeError(f"{path} answers {said or 'nothing of use'}")
        return answer["result"]

    database = database or call("/web/database/list")[0]
    user = call("/web/session/authenticate", db=database, login=login, password=password)
    if not user.get("uid"):
        raise RuntimeError("a second factor is needed")
    return session.cookies["session_id"]


# The login page and the database pages have no web client; there "complete" is all there is.
_READY = """
document.readyState === "complete"
    && !document.querySelector(".o_blockUI, .o_loading_indicator, .o_view_sample_data .fa-spin")
    && (!document.querySelector("body.o_web_client")
        || !!document.querySelector(".o_action_manager > *"))
    && document.fonts.status === "loaded"
"""
