"""Reads what ``KafkaOracle.java`` printed, and writes the batches that it is asked to read."""

from __future__ import annotations

import hashlib
import json
import random
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from aioproducer.wire import compression
from aioproducer.wire.record_batch import DecodedRecord, batch_header
from aioproducer.wire.record_encoder import append_record

HERE = Path(__file__).parent

LEVELS: dict[str, tuple[int | None, ...]] = {
    "none": (None,),
    "gzip": (None, 1, 9),
    "snappy": (None,),
    "lz4": (None, 1, 9, 17),
    "zstd": (None, -5, 1, 19),
}


class Entry(NamedTuple):
    """A record to encode, and the bound of its size by Java's account."""

    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    size_bound: int = 0


class Stamp(NamedTuple):
    """What makes a batch idempotent."""

    producer_id: int = -1
    epoch: int = -1
    sequence: int = -1
    transactional: bool = False


def load(name: str) -> Any:
    """Return the content of a file of answers."""
    return json.loads((HERE / name).read_text(encoding="utf-8"))


def record_sets() -> dict[str, list[Entry]]:
    """Return the records that Java wrote, and noise, which no codec makes smaller."""
    sets = {
        name: [
            Entry(
                timestamp,
                _field(key),
                _field(value),
                tuple((header, _field(content)) for header, content in headers),
                bound,
            )
            for timestamp, key, value, headers, bound in entries
        ]
        for name, entries in load("batches.json")["record_sets"].items()
    }
    noise = random.Random(5).randbytes(150_000)
    sets["noise"] = [Entry(7, b"k", noise[:70_000], ()), Entry(8, None, noise[70_000:], ())]
    return sets


def _field(stored: tuple[str, int] | None) -> bytes | None:
    return None if stored is None else bytes.fromhex(stored[0]) * stored[1]


def encode(
    entries: Sequence[Entry],
    codec: str = "none",
    level: int | None = None,
    stamp: Stamp = Stamp(),  # noqa: B008 - an immutable tuple
) -> bytes:
    """Return the batch that we write for ``entries``."""
    body = bytearray()
    first = entries[0].timestamp
    for index, entry in enumerate(entries):
        append_record(body, entry.timestamp - first, index, entry.key, entry.value, entry.headers)
    compressor = compression.get(codec, level)
    records = compressor.compress(body)
    header = batch_header(
        codec_id=compressor.codec_id,
        transactional=stamp.transactional,
        record_count=len(entries),
        base_timestamp=first,
        max_timestamp=max(entry.timestamp for entry in entries),
        producer_id=stamp.producer_id,
        producer_epoch=stamp.epoch,
        base_sequence=stamp.sequence,
        records=records,
    )
    return header + records


def content_of(records: Iterable[Entry | DecodedRecord]) -> str:
    """Return the digest that ``KafkaOracle.contentOf`` makes of the same records."""
    digest = hashlib.sha256()
    for offset, record in enumerate(records):
        words = [str(offset), str(record.timestamp), _hex(record.key), _hex(record.value)]
        words += [f"{name.encode().hex()}={_hex(value)}" for name, value in record.headers]
        digest.update((" ".join(words) + "\n").encode())
    return digest.hexdigest()


def _hex(data: bytes | None) -> str:
    return "null" if data is None else data.hex()


def our_batches() -> Iterator[tuple[str, bytes]]:
    """Yield our batches for Java to read: every codec, level and set of records."""
    for name, entries in record_sets().items():
        for codec, levels in LEVELS.items():
            for level in levels:
                yield f"{name}/{codec}/{level}", encode(entries, codec, level, Stamp(5, 6, 7))


if __name__ == "__main__":
    for name, batch in our_batches():
        sys.stdout.write(f"{name} {batch.hex()}\n")
