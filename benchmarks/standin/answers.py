"""From a request to its answer, for the fallback. Knows nothing of the package under test."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from benchmarks.standin.ledger import (
    NONE,
    UNKNOWN_TOPIC_ID,
    UNKNOWN_TOPIC_OR_PARTITION,
    Ledger,
    Topic,
)

PRODUCE, FETCH, LIST_OFFSETS, METADATA = 0, 1, 2, 3
FIND_COORDINATOR, API_VERSIONS, INIT_PRODUCER_ID = 10, 18, 22

# Some clients deduce from the readers' APIs what kind of broker it is; nobody asks for those.
RANGES = {
    PRODUCE: (3, 13),
    FETCH: (4, 12),
    LIST_OFFSETS: (1, 6),
    METADATA: (0, 12),
    FIND_COORDINATOR: (0, 3),
    API_VERSIONS: (0, 4),
    INIT_PRODUCER_ID: (0, 4),
}
_FLEXIBLE_FROM = {API_VERSIONS: 3, INIT_PRODUCER_ID: 2}
_UNSUPPORTED_VERSION = 35
_NO_OPERATIONS = -(2**31)


class MisunderstoodError(Exception):
    """A request that cannot be read; its connection has to go."""


@dataclass(frozen=True, slots=True)
class Cluster:
    ports: list[int]
    ledger: Ledger


class Request:
    """Reads a request, whose version decides how lengths are written."""

    __slots__ = ("_at", "_bytes", "flexible")

    def __init__(self, data: memoryview) -> None:
        self._bytes = data
        self._at = 0
        self.flexible = False

    def take(self, size: int) -> memoryview:
        end = self._at + size
        if size < 0 or end > len(self._bytes):
            raise MisunderstoodError("a request ends early")
        piece = self._bytes[self._at : end]
        self._at = end
        return piece

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big", signed=True)

    def uvarint(self) -> int:
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def length(self, size: int = 4) -> int:
        return self.uvarint() - 1 if self.flexible else self.number(size)

    def text(self) -> str | None:
        size = self.length(2)
        return None if size < 0 else bytes(self.take(size)).decode()

    def tags(self) -> None:
        for _ in range(self.uvarint() if self.flexible else 0):
            self.uvarint()
            self.take(self.uvarint())


class Answer:
    """Writes an answer, likewise."""

    __slots__ = ("_out", "flexible")

    def __init__(self, correlation: int) -> None:
        self._out = bytearray(8)
        self._out[4:] = correlation.to_bytes(4, "big", signed=True)
        self.flexible = False

    def pack(self, form: str, *values: int) -> None:
        self._out += struct.pack(">" + form, *values)

    def raw(self, piece: bytes) -> None:
        self._out += piece

    def _uvarint(self, value: int) -> None:
        while value > 0x7F:
            self._out.append(value & 0x7F | 0x80)
            value >>= 7
        self._out.append(value)

    def count(self, number: int) -> None:
        if self.flexible:
            self._uvarint(number + 1)
        else:
            self.pack("i", number)

    def text(self, value: str | None) -> None:
        encoded = (value or "").encode()
        if self.flexible:
            self._uvarint(0 if value is None else len(encoded) + 1)
        else:
            self.pack("h", -1 if value is None else len(encoded))
        self._out += encoded

    def no_tags(self) -> None:
        if self.flexible:
            self._out.append(0)

    def done(self) -> bytes:
        self._out[:4] = (len(self._out) - 4).to_bytes(4, "big")
        return bytes(self._out)


def answer(cluster: Cluster, data: memoryview) -> bytes:
    """Return the answer with its size in front; empty if none is due.

    Raises:
        MisunderstoodError: an API or version that was not offered, or a request cut short.
    """
    request = Request(data)
    key, version, correlation = request.number(2), request.number(2), request.number(4)
    oldest, newest = RANGES.get(key, (1, 0))
    if key != API_VERSIONS and not oldest <= version <= newest:
        raise MisunderstoodError(f"a request for API {key} version {version}")
    request.text()
    flexible = version >= _FLEXIBLE_FROM.get(key, 9)
    request.flexible = flexible
    request.tags()
    out = Answer(correlation)
    out.flexible = flexible and key != API_VERSIONS
    out.no_tags()
    due = True
    if key == PRODUCE:
        due = _produce(cluster.ledger, version, request, out)
    elif key == METADATA:
        _metadata(cluster, version, request, out)
    elif key == API_VERSIONS:
        _api_versions(version, out)
    elif key == INIT_PRODUCER_ID:
        _init_producer_id(cluster.ledger, version, request, out)
    else:
        raise MisunderstoodError(f"a request for API {key} version {version}")
    return out.done() if due else b""


def _api_versions(version: int, out: Answer) -> None:
    # A version that is too new gets the oldest layout, which every client can read (KIP-511).
    unsupported = version > RANGES[API_VERSIONS][1]
    said = 0 if unsupported else version
    out.flexible = said >= 3
    out.pack("h", _UNSUPPORTED_VERSION if unsupported else NONE)
    out.count(len(RANGES))
    for key, (oldest, newest) in RANGES.items():
        out.pack("hhh", key, oldest, newest)
        out.no_tags()
    if said >= 1:
        out.pack("i", 0)
    out.no_tags()


def _metadata(cluster: Cluster, version: int, request: Request, out: Answer) -> None:
    if version >= 3:
        out.pack("i", 0)
    out.count(len(cluster.ports))
    for node, port in enumerate(cluster.ports):
        out.pack("i", node)
        out.text("127.0.0.1")
        out.pack("i", port)
        if version >= 1:
            out.text(None)
        out.no_tags()
    if version >= 2:
        out.text("counting-house")
    if version >= 1:
        out.pack("i", 0)
    named = _asked_topics(cluster.ledger, version, request)
    out.count(len(named))
    for name, topic in named:
        _topic(len(cluster.ports), version, name, topic, out)
    if 8 <= version <= 10:
        out.pack("i", _NO_OPERATIONS)
    out.no_tags()


def _asked_topics(
    ledger: Ledger, version: int, request: Request
) -> list[tuple[str | None, Topic | None]]:
    asked = request.length()
    if asked < 0 or (asked == 0 and version == 0):
        return [(topic.name, topic) for topic in ledger.topics.values()]
    named: list[tuple[str | None, Topic | None]] = []
    for _ in range(asked):
        topic_id = bytes(request.take(16)) if version >= 10 else b""
        name = request.text()
        request.tags()
        found = ledger.by_id.get(topic_id) if name is None else ledger.topics.get(name)
        named.append((found.name if found else name or "", found))
    return named


def _topic(nodes: int, version: int, name: str | None, topic: Topic | None, out: Answer) -> None:
    out.pack("h", UNKNOWN_TOPIC_OR_PARTITION if topic is None else NONE)
    out.text(name)
    if version >= 10:
        out.raw(topic.id if topic else bytes(16))
    if version >= 1:
        out.pack("b", 0)
    partitions = topic.partitions if topic else []
    out.count(len(partitions))
    for index in range(len(partitions)):
        assert topic is not None
        # Topics of one partition each have to be spread over the nodes, too.
        leader = (index + topic.number) % nodes
        out.pack("hii", NONE, index, leader)
        if version >= 7:
            out.pack("i", 0)
        for _ in range(2):
            out.count(1)
            out.pack("i", leader)
        if version >= 5:
            out.count(0)
        out.no_tags()
    if version >= 8:
        out.pack("i", _NO_OPERATIONS)
    out.no_tags()


def _init_producer_id(ledger: Ledger, version: int, request: Request, out: Answer) -> None:
    request.text()
    request.number(4)
    producer_id, epoch = -1, -1
    if version >= 3:
        producer_id, epoch = request.number(8), request.number(2)
    if producer_id < 0:
        producer_id = ledger.new_producer_id()
        epoch = -1
    out.pack("ihqh", 0, NONE, producer_id, epoch + 1)
    out.no_tags()


def _produce(ledger: Ledger, version: int, request: Request, out: Answer) -> bool:
    """Return whether an answer is due: with acks=0 there is none."""
    request.text()
    acks = request.number(2)
    request.number(4)
    topics = request.length()
    out.count(topics)
    for _ in range(topics):
        if version >= 13:
            topic_id = bytes(request.take(16))
            topic = ledger.by_id.get(topic_id)
            out.raw(topic_id)
        else:
            name = request.text() or ""
            topic = ledger.topics.get(name)
            out.text(name)
        _produce_partitions(ledger, version, topic, request, out)
        request.tags()
        out.no_tags()
    out.pack("i", 0)
    out.no_tags()
    ledger.counts.requests += 1
    return acks != 0


def _produce_partitions(
    ledger: Ledger, version: int, topic: Topic | None, request: Request, out: Answer
) -> None:
    partitions = request.length()
    out.count(partitions)
    for _ in range(partitions):
        index = request.number(4)
        batch = request.take(max(request.length(), 0))
        request.tags()
        code = UNKNOWN_TOPIC_ID if version >= 13 and topic is None else UNKNOWN_TOPIC_OR_PARTITION
        offset = -1
        if topic is not None and index < len(topic.partitions):
            code, offset = ledger.append(topic.partitions[index], batch)
        batch.release()
        out.pack("ihqq", index, code, offset, -1)
        if version >= 5:
            out.pack("q", 0 if code == NONE else -1)
        if version >= 8:
            out.count(0)
            out.text(None)
        out.no_tags()
