"""murmur2 against Java's answers and the peers' published vectors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.partitioner.default import murmur2 as murmur2_of_kafka_python  # type: ignore[import-untyped]

from aioproducer.core.murmur2 import murmur2, partition_of_key
from tests.oracles.java.data import load

# Apache Kafka's UtilsTest.
JAVA_VECTORS = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
    b"": 275646681,
}
# aiokafka's and kafka-python's test of 1000 partitions.
PEER_VECTORS = {b"": 681, b"a": 524, b"ab": 434, b"abc": 107, b"123456789": 566, b"\x00 ": 742}


@pytest.mark.parametrize(("key", "signed"), JAVA_VECTORS.items())
def test_the_hash_is_the_one_of_javas_own_tests(key: bytes, signed: int) -> None:
    assert murmur2(key) == signed & 0xFFFFFFFF


@pytest.mark.parametrize(("key", "partition"), PEER_VECTORS.items())
def test_partitions_are_those_of_the_python_peers(key: bytes, partition: int) -> None:
    assert partition_of_key(key, 1000) == partition


def test_every_key_goes_where_java_sends_it() -> None:
    answers = load("partitions.json")
    assert len(answers["keys"]) > 200
    for key_hex, signed, partitions in answers["keys"]:
        key = bytes.fromhex(key_hex)
        assert murmur2(key) == signed & 0xFFFFFFFF, key
        assert [partition_of_key(key, count) for count in answers["counts"]] == partitions, key


@given(st.binary(max_size=600))
def test_it_is_the_hash_of_kafka_python_for_any_bytes(key: bytes) -> None:
    assert murmur2(key) == murmur2_of_kafka_python(key) & 0xFFFFFFFF


@pytest.mark.parametrize("size", [0, 1, 3, 4, 16, 255, 256, 257])
def test_any_buffer_hashes_like_its_bytes(size: int) -> None:
    key = bytes(range(256)) + b"\x07"
    key = key[:size]
    assert murmur2(bytearray(key)) == murmur2(memoryview(key)) == murmur2(key)
