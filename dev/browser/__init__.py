"""Chromium and its page, for tests and screenshots."""
