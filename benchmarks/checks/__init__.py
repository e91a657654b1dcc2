"""Measurements against a fixed promise; importing a module declares its check."""

from . import (
    findings,
    flood,
    guessing,
    jobs,
    log,
    metrics,
    operations,
    oracle,
    overview,
    parallel,
    rotation,
)
