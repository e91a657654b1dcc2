"""Chromium, and the page of it that tests and pictures look at."""
