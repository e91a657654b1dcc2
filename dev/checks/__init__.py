"""What lint and tests check in texts, guides, events and test results."""
