"""Start a server program other than Odoo, and wait until it answers."""

import subprocess
import time


def started(command, folder, answers, env=None):
    """Start a program and return its process once it answers, within 30 seconds.

    Its errors are in ``stderr.log``.

    :param folder: the folder of that file
    :param answers: a function that returns whether the program answers
    """
    log = folder / "stderr.log"
    with open(log, "w") as errors:
        process = subprocess.Popen(
            command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors
        )
    deadline = time.monotonic() + 30
    while not answers():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            process.wait()
            raise RuntimeError(log.read_text())
        time.sleep(0.02)
    return process
