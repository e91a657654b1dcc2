"""What we claim of speed and size, measured.

* ``bench.py``: ``make bench``
* ``beside_stock/``: two servers, stock and ours, the same calls to both in turn, and the comparison
* ``checks/``: what is measured against a fixed promise, one file for each ``ROWS=name``
  (``size`` is in ``log.py``)
* ``addons/``: an add-on for the measured servers
"""
