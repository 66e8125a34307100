"""Bootstrap addresses as host and port."""

from __future__ import annotations


def split_address(server: str) -> tuple[str, int]:
    """Split a checked ``host:port`` or ``[v6]:port``."""
    host, _, port = server.rpartition(":")
    return host.strip("[]"), int(port)
