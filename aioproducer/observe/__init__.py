"""What the producer can tell of itself."""
