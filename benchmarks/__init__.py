"""Measurements of what the add-on promises about speed and size.

* ``bench.py``: ``make bench``
* ``beside_stock/``: a stock server and one with the add-on get the same calls in turn and are
  compared
* ``checks/``: measurements against a fixed promise, one file for each ``ROWS=name`` (``size`` is in
  ``log.py``)
* ``addons/``: an add-on for the measured servers
"""
