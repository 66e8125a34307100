"""What has arrived at the fallback: end offsets and the sequences of idempotent producers."""

from __future__ import annotations

import struct
from dataclasses import asdict, dataclass, field

import crc32c

HEADERS, CRC, RECORDS = range(3)

NONE = 0
CORRUPT_MESSAGE = 2
UNKNOWN_TOPIC_OR_PARTITION = 3
OUT_OF_ORDER_SEQUENCE_NUMBER = 45
INVALID_PRODUCER_EPOCH = 47
UNKNOWN_TOPIC_ID = 100

_HEADER = struct.Struct(">qiiBIhiqqqhii")
_CRC_FROM = 21
_CODEC_MASK = 7
_REMEMBERED = 5


@dataclass(slots=True)
class Counts:
    requests: int = 0
    batches: int = 0
    records: int = 0
    bytes: int = 0
    duplicates: int = 0
    checked_crcs: int = 0
    checked_records: int = 0
    malformed: int = 0
    crc_errors: int = 0
    sequence_errors: int = 0
    record_errors: int = 0
    first_error: str = ""

    def complain(self, counter: str, words: str) -> None:
        setattr(self, counter, getattr(self, counter) + 1)
        self.first_error = self.first_error or words

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


@dataclass(slots=True)
class Writer:
    """The last batches of one producer in one partition, as brokers remember them."""

    epoch: int
    next_sequence: int = 0
    offsets: dict[int, int] = field(default_factory=dict)

    def note(self, sequence: int, count: int, offset: int) -> None:
        self.offsets[sequence] = offset
        if len(self.offsets) > _REMEMBERED:
            del self.offsets[next(iter(self.offsets))]
        self.next_sequence = (sequence + count) % 2**31


@dataclass(slots=True)
class Partition:
    end_offset: int = 0
    writers: dict[int, Writer] = field(default_factory=dict)


@dataclass(slots=True)
class Topic:
    name: str
    number: int
    partitions: list[Partition]

    @property
    def id(self) -> bytes:
        return b"counting-hou" + self.number.to_bytes(4, "big")


class Ledger:
    """Topics by name and by id."""

    def __init__(self) -> None:
        self.topics: dict[str, Topic] = {}
        self.by_id: dict[bytes, Topic] = {}
        self.counts = Counts()
        self.verification = CRC
        self._made = 0
        self._producer_ids = 1000

    def create(self, name: str, partitions: int) -> None:
        """Raises ``ValueError`` when the topic is there already."""
        if name in self.topics or partitions < 1:
            raise ValueError("the topic is there already")
        topic = Topic(name, self._made, [Partition() for _ in range(partitions)])
        self._made += 1
        self.topics[name] = self.by_id[topic.id] = topic

    def _family(self, name: str) -> list[Topic]:
        return [
            topic
            for topic in self.topics.values()
            if topic.name == name or topic.name.startswith(name + ".")
        ]

    def delete(self, name: str) -> None:
        for topic in self._family(name):
            del self.topics[topic.name], self.by_id[topic.id]

    def count(self, name: str) -> int:
        return sum(each.end_offset for topic in self._family(name) for each in topic.partitions)

    def new_producer_id(self) -> int:
        self._producer_ids += 1
        return self._producer_ids

    def append(self, partition: Partition, batch: memoryview) -> tuple[int, int]:
        """Check one batch and append it; return the error code and the offset."""
        counts = self.counts
        if not self._bytes_are_right(batch):
            return CORRUPT_MESSAGE, -1
        *_, producer_id, epoch, sequence, count = _HEADER.unpack_from(batch)
        writer = None
        if producer_id >= 0:
            writer = partition.writers.setdefault(producer_id, Writer(epoch))
            if epoch < writer.epoch:
                return INVALID_PRODUCER_EPOCH, -1
            if epoch > writer.epoch:
                writer = partition.writers[producer_id] = Writer(epoch)
            if (known := writer.offsets.get(sequence)) is not None:
                counts.duplicates += 1
                return NONE, known
            if sequence != writer.next_sequence:
                words = f"sequence {sequence} came where {writer.next_sequence} was due"
                counts.complain("sequence_errors", words)
                return OUT_OF_ORDER_SEQUENCE_NUMBER, -1
        offset = partition.end_offset
        partition.end_offset += count
        counts.batches += 1
        counts.records += count
        counts.bytes += len(batch)
        if writer is not None:
            writer.note(sequence, count, offset)
        return NONE, offset

    def _bytes_are_right(self, batch: memoryview) -> bool:
        counts, size = self.counts, len(batch)
        if size < _HEADER.size:
            counts.complain("malformed", f"a batch of {size} bytes is malformed")
            return False
        _, length, _, magic, crc, attributes, last, *_, count = _HEADER.unpack_from(batch)
        if length != size - 12 or magic != 2 or count < 1 or count != last + 1:
            counts.complain("malformed", f"a batch of {size} bytes is malformed")
            return False
        if self.verification >= CRC:
            counts.checked_crcs += 1
            with batch[_CRC_FROM:] as covered:
                if crc32c.crc32c(covered) != crc:
                    counts.complain("crc_errors", f"a batch of {size} bytes has a wrong CRC")
                    return False
        if self.verification >= RECORDS and not attributes & _CODEC_MASK:
            try:
                walked = walk(bytes(batch[_HEADER.size :]), count)
            except IndexError:
                walked = False
            if not walked:
                words = f"the records of a batch of {size} bytes are wrong"
                counts.complain("record_errors", words)
                return False
            counts.checked_records += count
        return True


def walk(body: bytes, count: int) -> bool:
    """Whether ``body`` is ``count`` records; keys and values are only stepped over."""
    at = 0
    for index in range(count):
        size, at = _varint(body, at)
        end = at + size
        if size < 0 or end > len(body):
            return False
        _, at = _varint(body, at + 1)
        delta, at = _varint(body, at)
        if delta != index:
            return False
        for _ in range(2):
            length, at = _varint(body, at)
            if length < -1:
                return False
            at += max(length, 0)
        headers, at = _varint(body, at)
        if headers < 0 or at > end or (headers == 0 and at != end):
            return False
        at = end
    return at == len(body)


def _varint(body: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = body[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), at
        shift += 7
