"""A headless Chromium and just enough of its devtools protocol to drive one page."""

import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import chromium

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync"
    " --no-default-browser-check --disable-extensions --disable-background-networking"
    " --disable-component-update --disable-default-apps --disable-dev-shm-usage --mute-audio"
    " --hide-scrollbars --force-color-profile=srgb --remote-debugging-port=0"
).split()


class Page:
    """One page of a headless Chromium. A context manager: leaving it ends the browser."""

    def __init__(self, width=1280, height=800):
        self.console = []  # what the page wrote to its console as a warning or error
        self._requests = set()  # network requests that have not ended
        self._last_traffic = time.monotonic()
        self._next_id = 0
        self._profile = tempfile.mkdtemp(prefix="chromium-")
        self._browser = subprocess.Popen(
            [
                *(chromium.executable(), *FLAGS, f"--user-data-dir={self._profile}"),
                *(f"--window-size={width},{height}", "about:blank"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            self._socket = self._connect()
            for domain in ("Page", "Runtime", "Network", "Log"):
                self.call(f"{domain}.enable")
            self.resize(width, height)
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()

    def close(self):
        """End the browser and remove its profile."""
        self._browser.kill()
        self._browser.wait()
        shutil.rmtree(self._profile, ignore_errors=True)

    def _connect(self):
        import requests
        import websocket

        port_file = Path(self._profile, "DevToolsActivePort")
        deadline = time.monotonic() + 20
        while not (port_file.exists() and port_file.read_text().count("\n")):
            if time.monotonic() > deadline or self._browser.poll() is not None:
                raise RuntimeError("Chromium did not start")
            time.sleep(0.05)
        port = port_file.read_text().splitlines()[0]
        targets = requests.get(f"http://127.0.0.1:{port}/json", timeout=10).json()
        address = next(t["webSocketDebuggerUrl"] for t in targets if t["type"] == "page")
        return websocket.create_connection(address, timeout=30, suppress_origin=True)

    def call(self, method, **parameters):
        """Call a method of the protocol and return its result."""
        self._next_id += 1
        wanted = self._next_id
        self._socket.send(json.dumps({"id": wanted, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv())
            if message.get("id") == wanted:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']['message']}")
                return message["result"]
            self._note(message)

    def _note(self, message):
        method, parameters = message.get("method"), message.get("params", {})
        if method == "Network.requestWillBeSent":
            url = parameters["request"]["url"]
            # The end of a worker's script is never reported to the page.
            if not url.startswith(("data:", "blob:")) and "websocket_worker" not in url:
                self._requests.add(parameters["requestId"])
        elif method in ("Network.loadingFinished", "Network.loadingFailed"):
            self._requests.discard(parameters["requestId"])
        elif method == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning"):
            text = " ".join(str(a.get("value", a.get("description"))) for a in parameters["args"])
            self.console.append(f"{parameters['type']}: {text}")
        elif method == "Runtime.exceptionThrown":
            details = parameters["exceptionDetails"]
            text = details.get("exception", {}).get("description") or details["text"]
            self.console.append(f"exception: {text}")
        elif method == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            self.console.append(
                f"error: {parameters['entry']['text']} {parameters['entry'].get('url', '')}"
            )
        if method and method.startswith("Network."):
            self._last_traffic = time.monotonic()

    def resize(self, width, height):
        """Set the size of the page, in CSS pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def use_session(self, url, session_id):
        """Give the browser a session of this Odoo; see :func:`open_session`."""
        self.call("Network.setCookie", name="session_id", value=session_id, url=url, httpOnly=True)

    def open(self, url, timeout=60):
        """Go to a URL and wait until the page is idle."""
        self._last_traffic = time.monotonic()
        self.call("Page.navigate", url=url)
        self.wait_idle(timeout)

    def wait_idle(self, timeout=60, quiet=0.7):
        """Wait until Odoo's web client is up and nothing was loaded for a moment."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            ready = self.evaluate(_READY)
            calm = not self._requests and time.monotonic() - self._last_traffic > quiet
            if ready and calm:
                return
            time.sleep(0.1)
        raise TimeoutError(f"not idle after {timeout} s; console: {self.console[-5:]}")

    def wait_for(self, selector, timeout=30):
        """Wait until an element is there."""
        deadline = time.monotonic() + timeout
        while not self.evaluate(f"!!document.querySelector({json.dumps(selector)})"):
            if time.monotonic() > deadline:
                raise TimeoutError(f"no {selector} after {timeout} s; console: {self.console[-5:]}")
            time.sleep(0.1)

    def click(self, selector):
        """Click the first element that matches, and wait until the page is idle again."""
        self.wait_for(selector)
        self.evaluate(f"document.querySelector({json.dumps(selector)}).click()")
        self.wait_idle()

    def evaluate(self, expression):
        """Return the value of a JavaScript expression; promises are awaited."""
        result = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in result:
            details = result["exceptionDetails"]
            raise RuntimeError(details.get("exception", {}).get("description", details["text"]))
        return result["result"].get("value")

    def screenshot(self, path, full_page=False):
        """Save a PNG of the page."""
        import base64

        clip = {}
        if full_page:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            area = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
            clip = {"clip": area, "captureBeyondViewport": True}
        image = self.call("Page.captureScreenshot", format="png", **clip)["data"]
        Path(path).write_bytes(base64.b64decode(image))


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
