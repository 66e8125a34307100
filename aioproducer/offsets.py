"""Consumer positions as users have them: plain values, or what other clients' consumers give."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import Any

from aioproducer.records import GroupMetadata, OffsetAndMetadata, TopicPartition

# librdkafka's own serialization of a group's metadata, which confluent-kafka hands out as bytes:
# this mark, the generation as the machine keeps integers, then group, member and instance.
_LIBRDKAFKA_MARK = b"CGMDv2:"
_GENERATION = struct.Struct("=i")
_INSTANCE_IS_NULL = 1


def group_metadata(group: object) -> GroupMetadata:
    """Return the consumer group that ``group`` stands for.

    ``group`` is a :class:`GroupMetadata`, the group's id, what a consumer of confluent-kafka or
    kafka-python calls its group metadata, or such a consumer, or aiokafka's, itself. Raises
    :exc:`TypeError` for anything else and :exc:`ValueError` for no group at all.
    """
    found = _group_metadata(group)
    if not found.group_id:
        raise ValueError("the consumer has no group id, so it has no offsets to commit")
    return found


def _group_metadata(group: Any) -> GroupMetadata:
    if isinstance(group, GroupMetadata):
        return group
    if isinstance(group, str):
        return GroupMetadata(group)
    if isinstance(group, bytes):
        return _from_librdkafka(group)
    for method in ("consumer_group_metadata", "group_metadata"):
        if callable(getattr(group, method, None)):
            return _group_metadata(getattr(group, method)())
    if hasattr(group, "group_id") and hasattr(group, "member_id"):
        return _from_fields(group)
    coordinator = getattr(group, "_coordinator", None)
    if coordinator is not None and hasattr(coordinator, "group_id"):
        return _from_aiokafka(group, coordinator)
    raise TypeError(
        "group_metadata is a GroupMetadata, a group id, or a consumer or its group metadata from"
        f" aiokafka, confluent-kafka or kafka-python, not {type(group).__name__}"
    )


def _from_fields(group: Any) -> GroupMetadata:
    generation = getattr(group, "generation_id", -1)
    return GroupMetadata(
        group.group_id or "",
        -1 if generation is None else generation,
        group.member_id or "",
        getattr(group, "group_instance_id", None),
    )


def _from_aiokafka(consumer: Any, coordinator: Any) -> GroupMetadata:
    """aiokafka shows no group metadata; its coordinator knows them."""
    return GroupMetadata(
        coordinator.group_id or "",
        getattr(coordinator, "generation", -1),
        getattr(coordinator, "member_id", ""),
        getattr(consumer, "_group_instance_id", None),
    )


def _from_librdkafka(data: bytes) -> GroupMetadata:
    try:
        if not data.startswith(_LIBRDKAFKA_MARK):
            raise ValueError("it does not begin as such")
        position = len(_LIBRDKAFKA_MARK)
        (generation,) = _GENERATION.unpack_from(data, position)
        group_id, member_id, rest = data[position + _GENERATION.size :].split(b"\0", 2)
        instance = None
        if rest[0] != _INSTANCE_IS_NULL:
            instance = rest[1:].split(b"\0", 1)[0].decode()
        return GroupMetadata(group_id.decode(), generation, member_id.decode(), instance)
    except (ValueError, struct.error, IndexError) as error:
        raise ValueError(f"these bytes are no group metadata of confluent-kafka: {error}") from None


def offsets_of(
    offsets: Mapping[Any, Any] | Iterable[Any],
) -> dict[TopicPartition, OffsetAndMetadata]:
    """Return offsets by partition.

    ``offsets`` maps partitions (any pair or object of topic and partition) to the offset of the
    next record to read, alone or with leader epoch and metadata; or it is an iterable of objects
    with topic, partition and offset, such as confluent-kafka's. Raises :exc:`TypeError` or
    :exc:`ValueError` for anything else.
    """
    found: dict[TopicPartition, OffsetAndMetadata] = {}
    if isinstance(offsets, Mapping):
        for partition, position in offsets.items():
            found[_partition(partition)] = _position(position)
        return found
    for entry in offsets:
        found[_partition(entry)] = _position(entry)
    return found


def _partition(value: Any) -> TopicPartition:
    if isinstance(value, tuple):
        topic, index = value[0], value[1]
    else:
        topic, index = getattr(value, "topic", None), getattr(value, "partition", None)
    if not isinstance(topic, str) or not _is_int(index) or index < 0:
        raise TypeError(f"a partition is a topic and an index, not {value!r}")
    return TopicPartition(topic, index)


def _position(value: Any) -> OffsetAndMetadata:
    if isinstance(value, OffsetAndMetadata):
        found = value
    elif _is_int(value):
        found = OffsetAndMetadata(value)
    elif isinstance(getattr(value, "offset", None), int):
        epoch = getattr(value, "leader_epoch", None)
        found = OffsetAndMetadata(
            value.offset, -1 if epoch is None else epoch, getattr(value, "metadata", None) or ""
        )
    else:
        raise TypeError(f"an offset is a number or has an .offset, not {value!r}")
    if found.offset < 0:
        raise ValueError(f"an offset to commit is the next to read, 0 or more, not {found.offset}")
    return found


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
