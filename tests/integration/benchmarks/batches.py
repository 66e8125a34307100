"""Record batches made by hand, right and wrong, and what a stand-in answers to them."""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple

import crc32c

PRODUCER_ID = 4000


def record(delta: int, value: bytes = b"v") -> bytes:
    """One record with a null key; its numbers stay below 64, so each is one byte."""
    body = bytes([0, 0, delta * 2, 1, len(value) * 2]) + value + b"\0"
    return bytes([len(body) * 2]) + body


def batch(
    sequence: int,
    count: int = 2,
    *,
    epoch: int = 0,
    producer_id: int = PRODUCER_ID,
    body: bytes | None = None,
    magic: int = 2,
    crc_off_by: int = 0,
) -> bytes:
    if body is None:
        body = b"".join(record(delta) for delta in range(count))
    covered = struct.pack(
        ">hiqqqhii", 0, count - 1, 1_000, 1_000, producer_id, epoch, sequence, count
    )
    crc = (crc32c.crc32c(covered + body) + crc_off_by) % 2**32
    rest = struct.pack(">ibI", -1, magic, crc) + covered + body
    return struct.pack(">qi", 0, len(rest)) + rest


class Appended(NamedTuple):
    code: int
    offset: int


class Client:
    """Speaks version 3 of Produce over a plain socket."""

    def __init__(self, bootstrap_servers: str) -> None:
        host, port = bootstrap_servers.split(",")[0].split(":")
        self._socket = socket.create_connection((host, int(port)), timeout=60)

    def close(self) -> None:
        self._socket.close()

    def ask(self, key: int, version: int, body: bytes) -> bytes:
        """Return the answer's body; empty if the connection was closed instead."""
        header = struct.pack(">hhih", key, version, 7, 1) + b"t"
        self._socket.sendall(struct.pack(">i", len(header + body)) + header + body)
        size = self._exactly(4)
        return self._exactly(int.from_bytes(size, "big"))[4:] if size else b""

    def produce(self, topic: str, data: bytes, partition: int = 0) -> Appended:
        name = topic.encode()
        body = struct.pack(">hhiih", -1, -1, 1_000, 1, len(name)) + name
        body += struct.pack(">iii", 1, partition, len(data)) + data
        answer = self.ask(0, 3, body)
        code, offset = struct.unpack_from(">hq", answer, 4 + 2 + len(name) + 4 + 4)
        return Appended(code, offset)

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = self._socket.recv(size - len(data))
            if not piece:
                return b""
            data += piece
        return data
