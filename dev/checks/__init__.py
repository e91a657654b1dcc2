"""What lint and tests hold against our texts, guides, events and test results."""
