"""One module per client. Each is imported in its own process only."""
