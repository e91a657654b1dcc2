"""A real Prometheus that scrapes live servers, from Debian's package."""

import contextlib
import json
import subprocess
import time
import urllib.parse
import urllib.request

from dev.common import free_port
from dev.environment import debian_programs


def promtool(*arguments, stdin=None, status=0):
    """Run promtool and return its output; it must exit with this status, 3 for a lint."""
    done = subprocess.run(
        [debian_programs.prometheus("promtool"), *map(str, arguments)],
        input=stdin, capture_output=True, text=True,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


@contextlib.contextmanager
def running(folder, configuration):
    """Run Prometheus with the text of a configuration file; yield its URL."""
    port = free_port()
    (folder / "prometheus.yml").write_text(configuration)
    with open(folder / "prometheus.log", "w") as log:
        process = subprocess.Popen(
            [debian_programs.prometheus("prometheus"), f"--config.file={folder}/prometheus.yml",
             f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def ask(url, path, **parameters):
    """Query the API of Prometheus."""
    query = urllib.parse.urlencode(parameters)
    with urllib.request.urlopen(f"{url}/api/v1/{path}?{query}", timeout=10) as answer:
        return json.load(answer)["data"]


def wait_for(url, query, timeout=60):
    """Wait until a query has a result, for at most so many seconds, and return it."""
    deadline = time.monotonic() + timeout
    while True:
        with contextlib.suppress(OSError):
            if found := ask(url, "query", query=query)["result"]:
                return found
        if time.monotonic() > deadline:
            raise TimeoutError(f"no result of {query}")
        time.sleep(0.2)
