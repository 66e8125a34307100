"""Whole batches: byte for byte against Java and the Python peers, and hostile ones refused."""

from __future__ import annotations

import hashlib
import itertools
from typing import Any

import pytest
from aiokafka.record import default_records as aiokafka  # type: ignore[import-untyped]
from crc32c import crc32c
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka.record import default_records as kafka_python  # type: ignore[import-untyped]

from aioproducer.errors import MalformedResponseError
from aioproducer.wire.decompression import decompress
from aioproducer.wire.record_batch import (
    HEADER_SIZE,
    DecodedRecord,
    RecordBatch,
    batch_header,
    decode_batches,
    decode_records,
)
from tests.oracles.java.data import LEVELS, Entry, Stamp, content_of, encode, load, record_sets

CODEC_IDS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
SETS = record_sets()
PEERS = {
    "kafka-python": kafka_python,
    "aiokafka": aiokafka,
}
# The batch of the peers' own tests, and the checksums that stand there.
PEER_ENTRIES = [
    Entry(9999999 + index, b"test", b"Super", (("header1", b"aaa"), ("header2", b"bbb")))
    for index in range(10)
]
PEER_STAMP = Stamp(123456, 123, 9999, True)

stamps = st.builds(
    Stamp, st.integers(-1, 2**63 - 1), st.integers(-1, 2**15 - 1), st.integers(-1, 2**31 - 1)
)
# The peers take a timestamp of 0 for none.
entries = st.lists(
    st.builds(
        Entry,
        st.integers(1, 2**42),
        st.none() | st.binary(max_size=80),
        st.none() | st.binary(max_size=5000),
        st.lists(st.tuples(st.text(max_size=70), st.none() | st.binary(max_size=90))).map(tuple),
    ),
    min_size=1,
    max_size=20,
)


def only(data: bytes) -> RecordBatch:
    (batch,) = decode_batches(data)
    return batch


def plain(record: Any) -> Entry:
    return Entry(record.timestamp, record.key, record.value, tuple(record.headers))


def built_by(peer: Any, records: list[Entry], codec: str, stamp: Stamp) -> bytes:
    builder = peer.DefaultRecordBatchBuilder(
        magic=2,
        compression_type=CODEC_IDS[codec],
        is_transactional=int(stamp.transactional),
        producer_id=stamp.producer_id,
        producer_epoch=stamp.epoch,
        base_sequence=stamp.sequence,
        batch_size=10**9,
    )
    for index, entry in enumerate(records):
        builder.append(index, entry.timestamp, entry.key, entry.value, list(entry.headers))
    return bytes(builder.build())


def read_by(peer: Any, data: bytes) -> list[Entry]:
    batch = peer.DefaultRecordBatch(data)
    assert batch.validate_crc()
    return [plain(record) for record in batch]


# Java


def java_batches(*, compressed: bool) -> list[Any]:
    return [
        pytest.param(case, id=f"{case['records']}-{case['codec']}-{case['stamp'][0]}")
        for case in load("batches.json")["batches"]
        if (case["codec"] != "none") == compressed
    ]


@pytest.mark.parametrize("case", java_batches(compressed=False))
def test_uncompressed_batches_are_javas_byte_for_byte(case: dict[str, Any]) -> None:
    ours = encode(SETS[case["records"]], stamp=Stamp(*case["stamp"]))
    if "batch" in case:
        assert ours.hex() == case["batch"]
    else:
        assert hashlib.sha256(ours).hexdigest() == case["sha256"]


@pytest.mark.parametrize("case", java_batches(compressed=True))
def test_what_java_compressed_is_what_we_compress(case: dict[str, Any]) -> None:
    # The compressed bytes differ from one library to the next; what goes into them must not.
    data = bytes.fromhex(case["batch"])
    unpacked = decompress(case["codec_id"], data[HEADER_SIZE:], 10**6)
    assert encode(SETS[case["records"]])[HEADER_SIZE:] == unpacked


@pytest.mark.parametrize("case", java_batches(compressed=True))
def test_javas_batches_are_read(case: dict[str, Any]) -> None:
    batch = only(bytes.fromhex(case["batch"]))
    entries = SETS[case["records"]]
    stamp = Stamp(*case["stamp"])
    assert content_of(batch.records) == content_of(entries)
    assert batch.codec_id == case["codec_id"]
    assert (batch.producer_id, batch.producer_epoch, batch.base_sequence) == stamp[:3]
    assert batch.is_transactional == stamp.transactional
    assert batch.base_timestamp == entries[0].timestamp
    assert batch.max_timestamp == max(entry.timestamp for entry in entries)
    assert batch.last_offset_delta == len(entries) - 1


def test_java_read_in_our_batches_what_we_wrote() -> None:
    answers = {case["name"]: case for case in load("read_by_java.json")}
    expected = {
        f"{name}/{codec}/{level}"
        for name in SETS
        for codec, levels in LEVELS.items()
        for level in levels
    }
    assert set(answers) == expected
    for name, case in answers.items():
        entries = SETS[name.split("/")[0]]
        assert case["content"] == content_of(entries), name
        if "batch" in case:
            assert content_of(only(bytes.fromhex(case["batch"])).records) == content_of(entries)


# Python peers


@pytest.mark.parametrize(("codec", "checksum"), [("none", 3950153926), ("snappy", 2171068483)])
def test_checksums_are_those_of_the_peers_own_tests(codec: str, checksum: int) -> None:
    data = encode(PEER_ENTRIES, codec, None, PEER_STAMP)
    assert int.from_bytes(data[17:21], "big") == checksum


@pytest.mark.parametrize("peer", PEERS)
@settings(max_examples=50)
@given(records=entries, stamp=stamps)
def test_uncompressed_batches_are_the_peers_byte_for_byte(
    peer: str, records: list[Entry], stamp: Stamp
) -> None:
    ours = encode(records, stamp=stamp)
    theirs = built_by(PEERS[peer], records, "none", stamp)
    # The leader epoch is the broker's to fill in, and not part of the checksum. kafka-python
    # writes 0 where Java and aiokafka write -1.
    assert ours[12:16] == b"\xff\xff\xff\xff"
    assert ours[:12] + ours[16:] == theirs[:12] + theirs[16:]


@pytest.mark.parametrize(
    ("peer", "codec"),
    # kafka-python's snappy needs a package that does nothing but wrap the one we use.
    [pair for pair in itertools.product(PEERS, CODEC_IDS) if pair != ("kafka-python", "snappy")],
)
@pytest.mark.parametrize("records", ["headers", "many", "large", "noise"])
def test_the_peers_read_our_batches_and_we_read_theirs(peer: str, codec: str, records: str) -> None:
    expected = [entry._replace(size_bound=0) for entry in SETS[records]]
    for level in LEVELS[codec]:
        assert read_by(PEERS[peer], encode(expected, codec, level, PEER_STAMP)) == expected
    theirs = built_by(PEERS[peer], expected, codec, PEER_STAMP)
    assert [plain(record) for record in only(theirs).records] == expected


# The header


def test_the_header_is_made_without_touching_the_records() -> None:
    body = bytearray(b"records")
    header = batch_header(
        codec_id=0, record_count=1, base_timestamp=5, max_timestamp=5, records=body
    )
    assert len(header) == HEADER_SIZE
    assert body == b"records"
    assert int.from_bytes(header[8:12], "big") == HEADER_SIZE + len(body) - 12
    assert int.from_bytes(header[17:21], "big") == crc32c(header[21:] + bytes(body))
    assert header == batch_header(
        codec_id=0, record_count=1, base_timestamp=5, max_timestamp=5, records=memoryview(body)
    )


def test_the_smallest_batch_has_68_bytes() -> None:
    assert len(encode([Entry(1, None, None, ())])) == 68


# Decoding


def test_several_batches_come_one_after_the_other() -> None:
    data = encode(SETS["one"]) + encode(SETS["many"], "gzip") + encode(SETS["nulls"])
    batches = list(decode_batches(data))
    assert [len(batch.records) for batch in batches] == [1, len(SETS["many"]), 4]
    assert list(decode_batches(b"")) == []


def test_offsets_count_from_the_one_that_the_broker_gave() -> None:
    data = (5000).to_bytes(8, "big") + encode(SETS["nulls"])[8:]
    assert [record.offset for record in only(data).records] == [5000, 5001, 5002, 5003]


def test_a_broker_that_sets_timestamps_sets_them_for_all() -> None:
    data = bytearray(encode(SETS["timestamps"]))
    data[22] |= 0x08
    data[35:43] = (12345).to_bytes(8, "big")
    data[17:21] = crc32c(data[21:]).to_bytes(4, "big")
    assert {record.timestamp for record in only(bytes(data)).records} == {12345}


def test_the_records_of_an_unfinished_batch_can_be_read() -> None:
    body = encode(SETS["headers"])[HEADER_SIZE:]
    records = list(decode_records(body, 3, SETS["headers"][0].timestamp))
    assert content_of(records) == content_of(SETS["headers"])
    assert sum(record.size for record in records) == len(body)


def resealed(data: bytearray) -> bytes:
    """Put the right length and checksum onto a batch that was tampered with."""
    data[8:12] = (len(data) - 12).to_bytes(4, "big")
    data[17:21] = crc32c(data[21:]).to_bytes(4, "big")
    return bytes(data)


@pytest.mark.parametrize(
    ("at", "content", "complaint"),
    [
        (8, b"\x00\x00\x00\x00", "length of 0"),
        (8, b"\xff\xff\xff\xff", "length of -1"),
        (8, b"\x7f\xff\xff\xff", "ends early"),
        (16, b"\x01", "version 1"),
        (17, b"\x00\x00\x00\x00", "checksum"),
        (62, b"\xff", "checksum"),
    ],
)
def test_a_batch_that_lies_is_refused(at: int, content: bytes, complaint: str) -> None:
    data = bytearray(encode(SETS["one"]))
    data[at : at + len(content)] = content
    with pytest.raises(MalformedResponseError, match=complaint):
        only(bytes(data))


@pytest.mark.parametrize(
    ("at", "content", "complaint"),
    [
        (22, b"\x07", "no compression codec 7"),
        (57, b"\x7f\xff\xff\xff", "2147483647 records"),
        (57, b"\xff\xff\xff\xff", "-1 records"),
        (57, b"\x00\x00\x00\x00", "unexpected bytes"),
        (61, b"\x7e", "ends early"),
        (61, b"\x01", "ends early"),
        (61, b"\x03", "a field of -2 bytes"),
        (61, b"\x80\x80\x80\x80\x80\x80", "exceeds 32 bits"),
        (65, b"\x03", "a field of -2 bytes"),
        (65, b"\x7e", "ends early"),
        (75, b"\x02", "1 headers"),
        (75, b"\x01", "-1 headers"),
    ],
)
def test_records_that_lie_are_refused_though_the_checksum_fits(
    at: int, content: bytes, complaint: str
) -> None:
    data = bytearray(encode(SETS["one"]))
    data[at : at + len(content)] = content
    with pytest.raises(MalformedResponseError, match=complaint):
        only(resealed(data))


@pytest.mark.parametrize(
    ("headers", "complaint"), [(b"\x02\x01\x01", "without a name"), (b"\x02\x02\xff\x01", "UTF-8")]
)
def test_header_names_that_are_none_are_refused(headers: bytes, complaint: str) -> None:
    body = b"\x00\x00\x00\x01\x01" + headers
    record = bytes((len(body) << 1,)) + body
    with pytest.raises(MalformedResponseError, match=complaint):
        list(decode_records(record, 1, 0))


@given(st.data())
def test_damage_anywhere_is_malformed_and_nothing_else(data: st.DataObject) -> None:
    codec = data.draw(st.sampled_from(list(CODEC_IDS)))
    batch = bytearray(encode(SETS["headers"], codec))
    for _ in range(data.draw(st.integers(1, 4))):
        batch[data.draw(st.integers(21, len(batch) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(HEADER_SIZE, len(batch)))
    try:
        found = only(resealed(batch[:cut]))
    except MalformedResponseError:
        return
    assert all(isinstance(record, DecodedRecord) for record in found.records)
