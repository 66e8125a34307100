"""The stand-in where there is no C compiler: the same answers, checks and commands, but slower.

    python -m benchmarks.standin.fallback NODES

A measured run says which stand-in it had: this one may be what limits a fast client.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from benchmarks.standin.answers import Cluster, MisunderstoodError, answer
from benchmarks.standin.ledger import Counts, Ledger

_LARGEST_REQUEST = 256 * 1024 * 1024


@dataclass(slots=True)
class StandIn:
    """All nodes, and what the commands set."""

    nodes: int
    cluster: Cluster = field(init=False)
    ledger: Ledger = field(default_factory=Ledger)
    delay: float = 0.0
    _servers: list[asyncio.Server] = field(default_factory=list)

    async def start(self) -> str:
        """Listen; return the addresses."""
        loop = asyncio.get_running_loop()
        ports = []
        for _ in range(self.nodes):
            server = await loop.create_server(lambda: Connection(self), "127.0.0.1", 0)
            self._servers.append(server)
            ports.append(server.sockets[0].getsockname()[1])
        self.cluster = Cluster(ports, self.ledger)
        return ",".join(f"127.0.0.1:{port}" for port in ports)

    def obey(self, line: str) -> Any:
        """Carry out one command; the C program has the same.

        Raises:
            ValueError: there is no such command, or it makes no sense.
        """
        ledger = self.ledger
        match line.split():
            case ["create", name, partitions]:
                ledger.create(name, int(partitions))
            case ["create", name, partitions, topics]:
                for number in range(int(topics)):
                    ledger.create(f"{name}.{number}", int(partitions))
            case ["delete", name]:
                ledger.delete(name)
            case ["count", name]:
                return ledger.count(name)
            case ["verify", level] if level in ("0", "1", "2"):
                ledger.verification = int(level)
            case ["delay", microseconds]:
                self.delay = int(microseconds) / 1e6
            case ["reset"]:
                ledger.counts = Counts()
            case ["counts"]:
                return {**ledger.counts.as_dict(), "cpu_seconds": time.process_time()}
            case _:
                raise ValueError("no such command")
        return None


class Connection(asyncio.Protocol):
    """Cuts what arrives into requests and answers them."""

    def __init__(self, stand_in: StandIn) -> None:
        self._stand_in = stand_in
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        received, at, out = self._received, 0, bytearray()
        with memoryview(received) as view:
            while len(received) - at >= 4:
                size = int.from_bytes(view[at : at + 4], "big")
                if size > _LARGEST_REQUEST:
                    self._transport.abort()
                    return
                if len(received) - at - 4 < size:
                    break
                try:
                    with view[at + 4 : at + 4 + size] as request:
                        out += answer(self._stand_in.cluster, request)
                except MisunderstoodError as error:
                    self._stand_in.ledger.counts.complain("malformed", str(error))
                    self._transport.abort()
                    return
                at += 4 + size
        del received[:at]
        if out:
            self._answer(bytes(out))

    def _answer(self, out: bytes) -> None:
        if self._stand_in.delay:
            loop = asyncio.get_running_loop()
            loop.call_later(self._stand_in.delay, self._transport.write, out)
        else:
            self._transport.write(out)


async def serve(nodes: int) -> None:
    """Answer clients and commands until the standard input ends."""
    stand_in = StandIn(nodes)
    addresses = await stand_in.start()
    _say(result=[addresses, "written in Python: may limit fast clients"])
    commands = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while line := await commands.readline():
        try:
            _say(result=stand_in.obey(line.decode()))
        except ValueError as error:
            _say(error=str(error))


def _say(**answer: Any) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
