"""What is measured of this producer beside throughput and latency: one coroutine each."""
