"""Unit tests need Odoo's code to import the add-on, and no database."""

import os

import pytest

from dev.common import state_dir
from dev.servers.odoo_command import make_importable

# Hypothesis would write its examples into the checkout.
os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", str(state_dir("test", "hypothesis")))
make_importable()

from hypothesis import HealthCheck, settings  # noqa: E402

# How fast examples are drawn is the machine's business, and no test's.
settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("here")


@pytest.fixture(autouse=True)
def no_database(monkeypatch):
    """Make sure that a test which needs a database fails instead of finding one."""
    monkeypatch.setenv("PGHOST", "/nonexistent")
