"""Two servers, stock and ours, the same calls to both in turn, and the comparison."""
