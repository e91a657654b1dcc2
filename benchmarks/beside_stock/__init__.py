"""Compare a stock server and one with the add-on, which get the same calls in turn."""
