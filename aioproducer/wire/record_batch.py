"""Record batches of version 2 (KIP-98), the only form that this producer writes."""

from __future__ import annotations

import struct

from crc32c import crc32c

from aioproducer.wire.primitives import Buffer

HEADER_SIZE = 61
MAGIC = 2

CODEC_MASK = 0x07
LOG_APPEND_TIME = 0x08
TRANSACTIONAL = 0x10
CONTROL = 0x20

# Base offset, length, partition leader epoch, magic, CRC; the CRC covers everything after itself.
_OUTER = struct.Struct(">qiibI")
# Attributes, last offset delta, base and max timestamp, producer id and epoch, sequence, count.
_INNER = struct.Struct(">hiqqqhii")
_UNCOUNTED_BY_LENGTH = 12


def batch_header(
    *,
    codec_id: int,
    transactional: bool = False,
    record_count: int,
    base_timestamp: int,
    max_timestamp: int,
    producer_id: int = -1,
    producer_epoch: int = -1,
    base_sequence: int = -1,
    records: Buffer,
) -> bytes:
    """Return the 61 bytes to send in front of ``records``, which are left where they are.

    ``records`` are the encoded records as they go on the wire: compressed, if ``codec_id`` says so.
    """
    inner = _INNER.pack(
        codec_id | TRANSACTIONAL if transactional else codec_id,
        record_count - 1,
        base_timestamp,
        max_timestamp,
        producer_id,
        producer_epoch,
        base_sequence,
        record_count,
    )
    length = HEADER_SIZE - _UNCOUNTED_BY_LENGTH + len(records)
    return _OUTER.pack(0, length, -1, MAGIC, crc32c(records, crc32c(inner))) + inner
