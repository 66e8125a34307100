"""Metrics and traces for others: Prometheus and OpenTelemetry, each with an extra of its own."""
