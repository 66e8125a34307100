"""How much the stand-in takes in: ``python -m benchmarks capacity``.

The same Produce request again and again over one plain socket, a few in flight: no client can be
faster. Its batches carry no sequence, so that each counts as new; their CRC is checked every time.
"""

from __future__ import annotations

import argparse
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass

import crc32c

from benchmarks.report import markdown
from benchmarks.standin.process import StandInProcess, Verification

_TOPIC = "capacity"
_IN_FLIGHT = 5
_PARTITIONS = 4


@dataclass(frozen=True, slots=True)
class Capacity:
    """What was taken in, and how busy the stand-in was with it."""

    megabytes_per_second: float
    records_per_second: float
    cores: float


def produce_request(records: int, value_size: int) -> bytes:
    """Return a request, version 3, with a batch for each partition, in its frame."""
    batch = _batch(records, bytes(value_size))
    name = _TOPIC.encode()
    body = struct.pack(">hhih1s", 0, 3, 7, 1, b"c")
    body += struct.pack(">hhiih", -1, -1, 1_000, 1, len(name)) + name
    body += struct.pack(">i", _PARTITIONS)
    for index in range(_PARTITIONS):
        body += struct.pack(">ii", index, len(batch)) + batch
    return struct.pack(">i", len(body)) + body


def _batch(count: int, value: bytes) -> bytes:
    body = b"".join(_record(delta, value) for delta in range(count))
    covered = struct.pack(">hiqqqhii", 0, count - 1, 0, 0, -1, -1, -1, count) + body
    rest = struct.pack(">ibI", -1, 2, crc32c.crc32c(covered)) + covered
    return struct.pack(">qi", 0, len(rest)) + rest


def _record(delta: int, value: bytes) -> bytes:
    record = b"\0\0" + _varint(delta) + b"\x01" + _varint(len(value)) + value + b"\0"
    return _varint(len(record)) + record


def _varint(value: int) -> bytes:
    value, out = value * 2, bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def measure(stand_in: StandInProcess, frame: bytes, seconds: float) -> Capacity:
    """Send ``frame`` for so long."""
    host, port = stand_in.bootstrap_servers.split(",")[0].split(":")
    stand_in.reset()
    before = stand_in.counts().cpu_seconds
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        answers = connection.makefile("rb")
        in_flight, started = 0, time.perf_counter()
        while (taken := time.perf_counter() - started) < seconds or in_flight:
            if taken < seconds:
                connection.sendall(frame)
                in_flight += 1
            if in_flight >= _IN_FLIGHT or taken >= seconds:
                answers.read(int.from_bytes(answers.read(4), "big"))
                in_flight -= 1
    stand_in.check()
    counts = stand_in.counts()
    return Capacity(
        counts.bytes / taken / 1e6, counts.records / taken, (counts.cpu_seconds - before) / taken
    )


def main(arguments: Sequence[str] = ()) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks capacity", description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--python-stand-in", action="store_true")
    given = parser.parse_args(arguments)
    levels: tuple[Verification, ...] = ("headers", "crc", "records")
    rows = []
    with StandInProcess(1, in_python=given.python_stand_in) as stand_in:
        print(stand_in.description)
        stand_in.create_topic(_TOPIC, _PARTITIONS)
        for size, count in ((100, 150), (1_000, 16), (1_000, 1_000)):
            frame = produce_request(count, size)
            for level in levels:
                stand_in.verify(level)
                found = measure(stand_in, frame, given.seconds)
                rows.append(
                    [
                        f"{size} B, {count} per batch, {level}",
                        f"{found.megabytes_per_second:,.0f}",
                        f"{found.records_per_second:,.0f}",
                        f"{found.cores:.2f}",
                    ]
                )
    print(markdown(["records, what is checked", "MB/s", "records/s", "its cores"], rows))
    return 0
