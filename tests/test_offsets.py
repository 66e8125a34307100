"""Positions and group metadata, as other clients' consumers give them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import confluent_kafka
import pytest
from confluent_kafka import TopicPartition as ConfluentTopicPartition
from kafka.consumer.group import KafkaConsumer
from kafka.structs import OffsetAndMetadata as KafkaPythonOffset
from kafka.structs import TopicPartition as KafkaPythonTopicPartition

from aioproducer import GroupMetadata, OffsetAndMetadata, TopicPartition
from aioproducer.offsets import group_metadata, offsets_of

WANTED = {TopicPartition("t", 1): OffsetAndMetadata(7)}


# Groups


def test_a_group_id_alone_is_enough() -> None:
    assert group_metadata("g") == GroupMetadata("g", -1, "", None)


def test_our_own_value_stays_as_it_is() -> None:
    group = GroupMetadata("g", 3, "m", "i")
    assert group_metadata(group) is group


@pytest.mark.parametrize(
    ("instance", "encoded"), [(None, b"\x01"), ("pod-0", b"\x00pod-0\x00")], ids=["none", "static"]
)
def test_librdkafkas_bytes_are_read(instance: str | None, encoded: bytes) -> None:
    generation = (5).to_bytes(4, __import__("sys").byteorder)
    data = b"CGMDv2:" + generation + b"g1\x00m1\x00" + encoded
    assert group_metadata(data) == GroupMetadata("g1", 5, "m1", instance)


@pytest.mark.parametrize("wrong", [b"", b"CGMDv2:", b"CGMDv2:\x00\x00\x00\x00g", b"CGMDv9:....."])
def test_other_bytes_are_refused(wrong: bytes) -> None:
    with pytest.raises(ValueError, match="no group metadata"):
        group_metadata(wrong)


def test_confluents_own_metadata_is_taken_from_bytes_and_from_its_consumer() -> None:
    """The real library: a consumer that never connects has no member yet."""
    consumer = confluent_kafka.Consumer(
        {"group.id": "orders", "bootstrap.servers": "127.0.0.1:1", "log_level": 0}
    )
    try:
        expected = GroupMetadata("orders", -1, "", None)
        assert group_metadata(consumer.consumer_group_metadata()) == expected
        assert group_metadata(consumer) == expected
    finally:
        consumer.close()


def test_kafka_pythons_metadata_is_taken_from_its_fields_and_from_its_consumer() -> None:
    fields = SimpleNamespace(
        group_id="g", generation_id=4, member_id="m", group_instance_id="i", state="STABLE"
    )
    expected = GroupMetadata("g", 4, "m", "i")
    assert group_metadata(fields) == expected
    assert callable(KafkaConsumer.group_metadata)
    assert group_metadata(SimpleNamespace(group_metadata=lambda: fields)) == expected


def test_aiokafkas_consumer_is_taken_as_it_is() -> None:
    coordinator = SimpleNamespace(group_id="g", generation=9, member_id="m")
    consumer = SimpleNamespace(_coordinator=coordinator, _group_instance_id=None)
    assert group_metadata(consumer) == GroupMetadata("g", 9, "m", None)


@pytest.mark.parametrize("nobody", ["", SimpleNamespace(group_id=None, member_id="")])
def test_no_group_at_all_is_refused(nobody: object) -> None:
    with pytest.raises(ValueError, match="no group id"):
        group_metadata(nobody)


@pytest.mark.parametrize("wrong", [None, 5, object(), ["g"]])
def test_anything_else_is_refused_by_its_type(wrong: object) -> None:
    with pytest.raises(TypeError, match=type(wrong).__name__):
        group_metadata(wrong)


# Offsets


@pytest.mark.parametrize(
    "given",
    [
        {("t", 1): 7},
        {TopicPartition("t", 1): OffsetAndMetadata(7)},
        {KafkaPythonTopicPartition("t", 1): KafkaPythonOffset(7, "", -1)},
        [ConfluentTopicPartition("t", 1, 7)],
        (ConfluentTopicPartition("t", 1, 7) for _ in range(1)),
    ],
    ids=["pairs", "ours", "kafka-python", "confluent", "lazily"],
)
def test_offsets_of_every_client(given: Any) -> None:
    assert offsets_of(given) == WANTED


def test_leader_epoch_and_metadata_are_kept() -> None:
    found = offsets_of({KafkaPythonTopicPartition("t", 1): KafkaPythonOffset(7, "note", 3)})
    assert found == {TopicPartition("t", 1): OffsetAndMetadata(7, 3, "note")}


def test_nothing_to_commit_is_nothing() -> None:
    assert offsets_of({}) == {}


@pytest.mark.parametrize("wrong", [{"t": 1}, {("t", -1): 1}, {("t", True): 1}, ["t"], [("t", 1)]])
def test_what_is_no_partition_is_refused(wrong: Any) -> None:
    with pytest.raises((TypeError, IndexError)):
        offsets_of(wrong)


@pytest.mark.parametrize("wrong", ["7", None, 7.0, True])
def test_what_is_no_offset_is_refused(wrong: object) -> None:
    with pytest.raises(TypeError, match="offset"):
        offsets_of({("t", 1): wrong})


def test_a_position_not_known_is_refused() -> None:
    """confluent-kafka marks those with negative numbers."""
    with pytest.raises(ValueError, match="next to read"):
        offsets_of([ConfluentTopicPartition("t", 1)])
