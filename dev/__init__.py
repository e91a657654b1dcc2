"""The development environment: what ``make`` does, each target a command of its name at the top.

* ``common.py``: paths, messages, locks
* ``environment/``: what is fetched, and from where: Python's packages, Odoo, programs of Debian
* ``servers/``: PostgreSQL and Odoo, started, stopped, asked, and their logs read
* ``browser/``: Chromium, and the page of it that tests and pictures look at
* ``checks/``: what lint and tests hold against our texts, guides, events and test results

Run one from the root of the checkout: ``python3 -m dev.screenshot --help``.
"""
