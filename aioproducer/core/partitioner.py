"""Which partition a record goes to.

Keys go by their hash, always to the same partition. Records without a key stick to one partition
until a batch's worth went there and then move on (KIP-794): fewer and fuller batches than one
partition after the other would give, and just as even over time. That is the default, built into
the path of ``send()``; the classes below take its place when they are named in the configuration,
and so does whatever has their one method.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from aioproducer.core.hashes import crc32, fnv1a
from aioproducer.core.murmur2 import murmur2
from aioproducer.errors import ConfigurationError
from aioproducer.wire.primitives import Buffer

DEFAULT: Final = "default"

Hash = Callable[[Buffer], int]


@dataclass(frozen=True, slots=True)
class PartitionerRecord:
    """A record without a partition: what was given to ``send()``, and what became of it.

    ``key`` and ``value`` are as they were given, ``key_bytes`` and ``value_bytes`` come from the
    serializers.
    """

    topic: str
    key: object
    value: object
    key_bytes: bytes | None
    value_bytes: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()


@dataclass(frozen=True, slots=True)
class PartitionList:
    """The partitions of a topic: how many there are in all, and which of them have a leader now."""

    all: int
    available: tuple[int, ...]


class Partitioner(Protocol):
    """What to implement for a partitioner of one's own."""

    def partition(self, record: PartitionerRecord, partitions: PartitionList) -> int:
        """Return the index of a partition, from 0 to ``partitions.all - 1``.

        This runs inside ``send()``: it must not block. What it raises fails this record alone.
        A partition that is not available is allowed; the record waits there for a leader.
        """
        ...


class StickyPartition:
    """The partition of one topic that records without a key go to for now (KIP-794)."""

    __slots__ = ("_available", "_partition", "_produced")

    def __init__(self) -> None:
        self._partition = -1
        self._produced = 0
        self._available: tuple[int, ...] = ()

    def current(
        self,
        count: int,
        available: tuple[int, ...],
        loads: Callable[[], Sequence[int]] | None,
        rng: random.Random,
    ) -> int:
        """Return the partition for the next record; choose anew if its leader is gone.

        ``loads`` is called only when there is something to choose; see ``rotate``.
        """
        partition = self._partition
        if 0 <= partition < count:
            # The same tuple as before needs no search: this runs per record, and a topic may have
            # thousands of partitions.
            if available is self._available or not available:
                return partition
            if partition in available:
                self._available = available
                return partition
        return self.rotate(available, None if loads is None else loads(), rng, count)

    @property
    def is_used(self) -> bool:
        """Whether any record of the topic came without a key."""
        return self._partition >= 0

    def account(self, partition: int, size: int) -> None:
        """Count a batch of ``size`` bytes that was closed in ``partition``."""
        if partition == self._partition:
            self._produced += size

    def due(self, batch_size: int) -> bool:
        """Return whether ``batch_size`` bytes went to this partition: time to move on."""
        return self._produced >= (batch_size or 1)

    def rotate(
        self,
        available: tuple[int, ...],
        loads: Sequence[int] | None,
        rng: random.Random,
        count: int,
    ) -> int:
        """Choose the next partition, by chance, among the available ones (all, if there are none).

        ``loads`` are the lengths of the queues of all ``count`` partitions: the longest of those
        to choose from gets the weight 1 and each batch less adds 1, so that records go where they
        leave soonest. None gives all the same chance.
        """
        choices: Sequence[int] = available or range(count)
        if loads is None or len(choices) < 2:
            partition = choices[rng.randrange(len(choices))]
        else:
            lengths = [loads[index] for index in choices]
            above_longest = max(lengths) + 1
            cumulative = list(itertools.accumulate(above_longest - length for length in lengths))
            partition = rng.choices(choices, cum_weights=cumulative)[0]
        self._partition = partition
        self._produced = 0
        self._available = available
        return partition


class RoundRobinPartitioner:
    """One available partition after the other, keys or not, for each topic by itself.

    This is Java's class of the same name.
    """

    def __init__(self) -> None:
        self._counters: dict[str, int] = {}

    def partition(self, record: PartitionerRecord, partitions: PartitionList) -> int:
        turn = self._counters.get(record.topic, 0)
        self._counters[record.topic] = turn + 1
        choices: Sequence[int] = partitions.available or range(partitions.all)
        return choices[turn % len(choices)]


class RandomPartitioner:
    """Any available partition, keys or not."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def partition(self, record: PartitionerRecord, partitions: PartitionList) -> int:
        choices: Sequence[int] = partitions.available or range(partitions.all)
        return choices[self._rng.randrange(len(choices))]


class HashPartitioner:
    """A hash of the key modulo the number of all partitions; no key counts as an empty one."""

    def __init__(self, key_hash: Hash) -> None:
        self._hash = key_hash

    def partition(self, record: PartitionerRecord, partitions: PartitionList) -> int:
        return self._hash(record.key_bytes or b"") % partitions.all


class HashOrRandomPartitioner:
    """A hash of the key; any available partition for a record without one."""

    def __init__(self, key_hash: Hash, rng: random.Random, *, empty_is_no_key: bool) -> None:
        self._by_hash = HashPartitioner(key_hash)
        self._at_random = RandomPartitioner(rng)
        self._empty_is_no_key = empty_is_no_key

    def partition(self, record: PartitionerRecord, partitions: PartitionList) -> int:
        key = record.key_bytes
        if key is None or (self._empty_is_no_key and not key):
            return self._at_random.partition(record, partitions)
        return self._by_hash.partition(record, partitions)


def positive_murmur2(key: Buffer) -> int:
    """Return murmur2 without its sign, as Java and librdkafka take it modulo the partitions."""
    return murmur2(key) & 0x7FFFFFFF


# Round robin is Java's. The rest bears librdkafka's names and follows its choices, among them that
# consistent_random takes an empty key for none while the two younger _random forms do not.
_FACTORIES: Final[dict[str, Callable[[random.Random], Partitioner]]] = {
    "round_robin": lambda rng: RoundRobinPartitioner(),
    "random": RandomPartitioner,
    "consistent": lambda rng: HashPartitioner(crc32),
    "consistent_random": lambda rng: HashOrRandomPartitioner(crc32, rng, empty_is_no_key=True),
    "murmur2": lambda rng: HashPartitioner(positive_murmur2),
    "murmur2_random": lambda rng: HashOrRandomPartitioner(
        positive_murmur2, rng, empty_is_no_key=False
    ),
    "fnv1a": lambda rng: HashPartitioner(fnv1a),
    "fnv1a_random": lambda rng: HashOrRandomPartitioner(fnv1a, rng, empty_is_no_key=False),
}
PARTITIONER_NAMES: Final = (DEFAULT, *_FACTORIES)


def named_partitioner(name: str, rng: random.Random) -> Partitioner | None:
    """Return the partitioner that the configuration calls ``name``; None for the built-in default.

    Raises:
        ConfigurationError: there is none of that name.
    """
    if name == DEFAULT:
        return None
    factory = _FACTORIES.get(name)
    if factory is None:
        names = ", ".join(PARTITIONER_NAMES)
        raise ConfigurationError(f"partitioner={name!r} is none of {names}")
    return factory(rng)
