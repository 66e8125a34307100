"""A real cluster, real faults, a million records: `python -m tests.torture`."""
