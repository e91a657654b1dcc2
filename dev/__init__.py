"""The development environment: the commands behind ``make``, one module for each target.

* ``common.py``: paths, messages and locks
* ``environment/``: what is downloaded and from where: Python packages, Odoo, Debian programs
* ``servers/``: start, stop and query PostgreSQL and Odoo, and read their logs
* ``browser/``: Chromium and its page, for tests and screenshots
* ``checks/``: what lint and tests check in texts, guides, events and test results

Run a command from the root of the checkout: ``python3 -m dev.screenshot --help``.
"""
