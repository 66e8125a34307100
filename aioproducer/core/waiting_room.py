"""The waiting room: records that have no batch yet, for want of bytes, of metadata or of memory.

Each keeps its place: per partition behind a serializer that has not answered, per topic (or
partition) while metadata is missing, then first come, first served for memory. Dicts serve as
queues from which a withdrawn record can step out at once.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from aioproducer.core.serializer_line import SerializerLine
from aioproducer.delivery import Delivery
from aioproducer.records import Header, Record
from aioproducer.story import Waited

Buffer = bytes | bytearray | memoryview


class WaitsFor(enum.Enum):
    """What a record waits for."""

    SERIALIZER = "a serializer"
    TOPIC = "the topic's metadata"
    PARTITION = "the partition to appear"
    MEMORY = "buffer.memory"


@dataclass(slots=True, eq=False)
class WaitingRecord:
    """A record with all that is needed to append it later."""

    topic: str
    partition: int | None
    key: bytes | None
    value: Buffer | None
    headers: Sequence[Header]
    timestamp_ms: int
    size: int
    sent_at: float
    user_key: object
    user_value: object
    expedite: bool
    waits_for: WaitsFor = WaitsFor.TOPIC
    arrival: int = -1
    # When it began to wait for memory, if it had waited for something else before, and when it
    # left, both by the loop's clock.
    known_at: float | None = None
    left_at: float | None = None
    waited_first: WaitsFor = WaitsFor.TOPIC
    delivery: Delivery = field(init=False)
    # Behind a serializer: which partition it will go to, if that is known, whether its own key and
    # value are bytes by now, and why they are not.
    place: int | None = None
    serialized: bool = True
    trouble: Callable[[], BaseException | None] | None = None

    def take_copies(self) -> None:
        """Keep what the caller might change while this record waits."""
        if self.value is not None:
            self.value = bytes(self.value)
        self.headers = tuple(self.headers)

    def waited(self) -> Waited:
        """Return how it waited, without what it holds."""
        return Waited(self.sent_at, self.known_at, self.left_at, self.waited_first, self.waits_for)

    def as_record(self) -> Record[Any, Any]:
        """Return the record as it was serialized, or as it was sent if it never was."""
        if not self.serialized:
            return Record(
                self.topic, self.user_value, self.user_key, self.partition, self.timestamp_ms,
                tuple(self.headers),
            )  # fmt: skip
        value = None if self.value is None else bytes(self.value)
        return Record(
            self.topic, value, self.key, self.partition, self.timestamp_ms, tuple(self.headers)
        )


class WaitingRoom:
    """Who waits, for what, in which order."""

    def __init__(self) -> None:
        self._arrivals: dict[WaitingRecord, None] = {}
        self._next_arrival = 0
        self._topics: dict[str, dict[WaitingRecord, None]] = {}
        self._partitions: dict[tuple[str, int], dict[WaitingRecord, None]] = {}
        self.memory_line: dict[WaitingRecord, None] = {}
        self.serializer_line = SerializerLine()

    def __len__(self) -> int:
        return len(self._arrivals)

    def __iter__(self) -> Iterator[WaitingRecord]:
        return iter(self._arrivals)

    def __contains__(self, record: object) -> bool:
        return record in self._arrivals

    @property
    def someone_waits_for_memory(self) -> bool:
        """Whether memory is short: then all later records queue behind."""
        return bool(self.memory_line)

    @property
    def someone_waits_for_metadata(self) -> bool:
        """Whether a topic or partition is awaited."""
        return bool(self._topics or self._partitions)

    def holds(self, topic: str, partition: int | None = None) -> bool:
        """Return whether records of ``topic`` (and ``partition``) wait for metadata."""
        if topic in self._topics:
            return True
        return partition is not None and (topic, partition) in self._partitions

    def blocks(self, topic: str) -> bool:
        """Return whether a new record of ``topic`` may have to queue behind others of it."""
        return self.holds(topic) or self.serializer_line.holds(topic)

    def holds_any(self, topic: str) -> bool:
        """Return whether any record of ``topic`` waits, for whatever it is."""
        return any(record.topic == topic for record in self._arrivals)

    def oldest(self) -> WaitingRecord | None:
        """Return who has waited longest."""
        return next(iter(self._arrivals), None)

    def join(self, record: WaitingRecord, waits_for: WaitsFor) -> None:
        """Let ``record`` wait, or go on waiting for the next thing."""
        if record in self._arrivals:
            self._step_out(record)
        else:
            record.arrival = self._next_arrival
            self._next_arrival += 1
            self._arrivals[record] = None
        record.waits_for = waits_for
        if waits_for is WaitsFor.SERIALIZER:
            self.serializer_line.join(record)
        else:
            self._line(record)[record] = None

    def promote(self, records: list[WaitingRecord]) -> None:
        """Let ``records``, which waited for something else, wait for memory now.

        Each goes to its place by arrival: younger ones must not overtake it.
        """
        for record in records:
            self._step_out(record)
            record.waits_for = WaitsFor.MEMORY
        line = self.memory_line
        last = next(reversed(line), None)
        if last is None or all(record.arrival > last.arrival for record in records):
            line.update(dict.fromkeys(sorted(records, key=lambda record: record.arrival)))
            return
        ordered = sorted([*line, *records], key=lambda record: record.arrival)
        line.clear()
        line.update(dict.fromkeys(ordered))

    def leave(self, record: WaitingRecord) -> None:
        """Forget ``record``: it was admitted, withdrawn or timed out."""
        del self._arrivals[record]
        self._step_out(record)

    def next_for_memory(self) -> WaitingRecord | None:
        """Return whose turn it is when memory comes free."""
        return next(iter(self.memory_line), None)

    def waiting_for_topic(self, topic: str) -> list[WaitingRecord]:
        """Return the records that wait for ``topic``'s metadata, oldest first."""
        return list(self._topics.get(topic, ()))

    def waiting_for_partitions(self, topic: str, count: int) -> list[WaitingRecord]:
        """Return the records whose partition of ``topic`` exists now that it has ``count``."""
        return [
            record
            for (name, partition), line in list(self._partitions.items())
            if name == topic and partition < count
            for record in line
        ]

    def waiting_for_metadata(self, topic: str) -> list[WaitingRecord]:
        """Return the records that wait for ``topic``'s metadata or for a partition of it."""
        lines = [line for (name, _), line in self._partitions.items() if name == topic]
        return [*self._topics.get(topic, ()), *(record for line in lines for record in line)]

    def expects_partitions(self, topic: str) -> bool:
        """Return whether records wait for a partition of ``topic`` to appear."""
        return any(name == topic for name, _ in self._partitions)

    def _line(self, record: WaitingRecord) -> dict[WaitingRecord, None]:
        match record.waits_for:
            case WaitsFor.TOPIC:
                return self._topics.setdefault(record.topic, {})
            case WaitsFor.PARTITION:
                assert record.partition is not None
                return self._partitions.setdefault((record.topic, record.partition), {})
            case WaitsFor.MEMORY:
                return self.memory_line
            case WaitsFor.SERIALIZER:
                raise AssertionError("the serializer line keeps its own order")

    def _step_out(self, record: WaitingRecord) -> None:
        if record.waits_for is WaitsFor.SERIALIZER:
            self.serializer_line.leave(record)
            return
        line = self._line(record)
        del line[record]
        if line:
            return
        if record.waits_for is WaitsFor.TOPIC:
            del self._topics[record.topic]
        elif record.waits_for is WaitsFor.PARTITION:
            assert record.partition is not None
            del self._partitions[record.topic, record.partition]
