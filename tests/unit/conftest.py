"""Unit tests need Odoo's code to import the add-on, but no database."""

import os

import pytest

from dev.common import state_dir
from dev.servers.odoo_command import make_importable

# Otherwise Hypothesis would write its examples into the checkout.
os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", str(state_dir("test", "hypothesis")))
make_importable()

from hypothesis import HealthCheck, settings  # noqa: E402

# Tests must not fail because the machine generates examples slowly.
settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("here")


@pytest.fixture(autouse=True)
def no_database(monkeypatch):
    """Make a test that needs a database fail instead of finding one."""
    monkeypatch.setenv("PGHOST", "/nonexistent")
