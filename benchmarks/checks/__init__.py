"""What is measured against a fixed promise; importing a module declares its checks."""

from . import (
    big_log,
    flood,
    guessing,
    many_integrations,
    operations,
    oracle,
    parallel,
    rotation,
    scheduled_jobs,
)
