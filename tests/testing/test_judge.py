"""The log dump of Kafka's tool, as it prints it, and which errors end a reading."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError

from aioproducer.testing.judge import may_pass, parse_dump

DUMP = """\
Dumping node-1/data/orders-0/00000000000000000000.log
Log starting offset: 0
baseOffset: 0 lastOffset: 248 count: 249 baseSequence: 0 lastSequence: 248 producerId: 7 \
producerEpoch: 1 partitionLeaderEpoch: 3 isTransactional: true isControl: false deleteHorizonMs: \
OptionalLong.empty position: 0 CreateTime: 1795223428520 size: 3095 magic: 2 compresscodec: LZ4 \
crc: 4048317921 isvalid: true
baseOffset: 249 lastOffset: 249 count: 1 baseSequence: -1 lastSequence: -1 producerId: 7 \
producerEpoch: 1 partitionLeaderEpoch: 3 isTransactional: true isControl: true position: 3095 \
CreateTime: 1795223428521 size: 78 magic: 2 compresscodec: none crc: 1 isvalid: false
""".splitlines()


def test_every_batch_line_is_read_with_its_stamp() -> None:
    data, marker = parse_dump(DUMP)
    assert (data.base_offset, data.last_offset, data.count) == (0, 248, 249)
    assert (data.producer_id, data.producer_epoch, data.base_sequence) == (7, 1, 0)
    assert (data.codec, data.size, data.is_valid) == ("lz4", 3095, True)
    assert data.is_transactional
    assert not data.is_control
    assert marker.is_control
    assert marker.base_sequence == -1
    assert not marker.is_valid


@pytest.mark.parametrize(
    ("code", "passes"),
    [
        (KafkaError.NOT_LEADER_FOR_PARTITION, True),
        (KafkaError.LEADER_NOT_AVAILABLE, True),
        (KafkaError.OFFSET_NOT_AVAILABLE, True),
        (KafkaError._TRANSPORT, True),
        (KafkaError._BAD_MSG, False),
        (KafkaError.OFFSET_OUT_OF_RANGE, False),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, False),
    ],
)
def test_a_reader_waits_for_leaders_and_fails_for_what_lies_in_the_log(
    code: int, passes: bool
) -> None:
    assert may_pass(KafkaError(code)) is passes
