"""Hostile bytes: `python -m tests.fuzz`."""
