"""``make clean``: stop this checkout's PostgreSQL and remove all but the shared downloads."""

import shutil

from dev.common import CACHE, STATE, entry_point, say
from dev.environment import virtualenv
from dev.servers.private_postgres import PrivateServer


def main():
    """Remove the databases and ``.dev``."""
    PrivateServer().remove()
    shutil.rmtree(STATE, ignore_errors=True)
    say(f"removed {STATE}; the downloads stay in {CACHE}")


if __name__ == "__main__":
    if STATE.exists():
        virtualenv.enter()
        entry_point(main)
