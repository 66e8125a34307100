"""A cluster that only counts, checks and acknowledges, in a process of its own."""
