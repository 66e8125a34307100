"""Which queue a record goes to."""

from __future__ import annotations

import random
from typing import Any

import pytest

from aioproducer.core.murmur2 import partition_of_key
from aioproducer.core.partitioner import PartitionerRecord, PartitionList
from aioproducer.core.routing import Router
from aioproducer.core.topic_queues import TopicQueues
from aioproducer.errors import PartitionerError
from tests.core.test_topic_queues import updated


def router(partitioner: Any = None, *, ignore_keys: bool = False) -> Router:
    return Router(partitioner, random.Random(1), ignore_keys=ignore_keys, batch_size=1000)


def route(made: Router, queues: TopicQueues, partition: int | None, key: bytes | None) -> Any:
    queue = made.route(queues, partition, key, b"value", (), "key", "value")
    return None if queue is None else queue.index


class Own:
    """A partitioner that answers what it is told to, and keeps what it was asked."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[tuple[PartitionerRecord, PartitionList]] = []

    def partition(self, record: PartitionerRecord, partitions: PartitionList) -> Any:
        self.asked.append((record, partitions))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_an_explicit_partition_comes_first() -> None:
    own = Own(0)
    assert route(router(own), updated(1, 1, 1), 2, b"key") == 2
    assert not own.asked


def test_one_that_is_not_there_yet_has_no_queue() -> None:
    assert route(router(), updated(1, 1), 2, None) is None


def test_keys_go_by_their_hash_over_all_partitions() -> None:
    queues = updated(1, -1, 1)
    for number in range(50):
        key = b"%d" % number
        assert route(router(), queues, None, key) == partition_of_key(key, 3)


def test_keys_may_be_ignored() -> None:
    queues = updated(1, 1, 1)
    made = router(ignore_keys=True)
    assert not made.hashes_keys
    assert len({route(made, queues, None, b"%d" % number) for number in range(50)}) == 1


def test_without_a_key_unusable_partitions_are_avoided() -> None:
    queue = router().route(
        updated(1, 1, 1), None, None, b"v", (), None, None, unusable=frozenset({0, 1})
    )
    assert queue is not None
    assert queue.index == 2


def test_an_own_partitioner_is_given_everything() -> None:
    own = Own(1)
    assert route(router(own), updated(1, -1), None, b"key") == 1
    record, partitions = own.asked[0]
    assert (record.topic, record.key, record.value) == ("orders", "key", "value")
    assert (record.key_bytes, record.value_bytes) == (b"key", b"value")
    assert (partitions.all, partitions.available) == (2, (0,))


@pytest.mark.parametrize("answer", [-1, 2, 10**9, None, "0", 1.0, True])
def test_nonsense_fails_the_record(answer: object) -> None:
    with pytest.raises(PartitionerError, match="0 to 1 was expected"):
        route(router(Own(answer)), updated(1, 1), None, b"key")


def test_what_it_raises_is_the_cause() -> None:
    cause = KeyError("region")
    with pytest.raises(PartitionerError, match="region") as caught:
        route(router(Own(cause)), updated(1, 1), None, b"key")
    assert caught.value.__cause__ is cause
    assert caught.value.topic == "orders"


def test_a_key_alone_has_a_partition() -> None:
    queues = updated(1, 1, 1)
    assert router().partition_of(queues, b"key", "key") == partition_of_key(b"key", 3)
    own = Own(2)
    assert router(own).partition_of(queues, b"key", "the key") == 2
    assert own.asked[0][0].key == "the key"
