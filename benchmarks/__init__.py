"""What producers cost, measured side by side: ``python -m benchmarks --help``."""
