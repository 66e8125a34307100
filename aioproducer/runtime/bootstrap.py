"""The addresses to begin with."""

from __future__ import annotations

import asyncio
import socket

from aioproducer.config import ProducerConfig
from aioproducer.config_values import split_address


async def bootstrap_addresses(config: ProducerConfig) -> list[tuple[str, int]]:
    """Return host and port of each bootstrap server.

    With ``client.dns.lookup=resolve_canonical_bootstrap_servers_only`` a name stands for the
    canonical names of all its addresses, as Kerberos set-ups behind one alias need (KIP-235).
    """
    addresses = [split_address(server) for server in config.bootstrap_servers]
    if config.client_dns_lookup != "resolve_canonical_bootstrap_servers_only":
        return addresses
    found: list[tuple[str, int]] = []
    for host, port in addresses:
        found += await _canonical(host, port, config.socket_connection_setup_timeout_ms / 1000)
    return list(dict.fromkeys(found))


async def _canonical(host: str, port: int, limit: float) -> list[tuple[str, int]]:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(limit):
            infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            names = [
                await loop.getnameinfo((str(info[4][0]), port), socket.NI_NAMEREQD)
                for info in infos
            ]
    except (OSError, UnicodeError):
        # Left as it is: connecting will say why the name is no good.
        return [(host, port)]
    return [(name, port) for name, _ in names]
