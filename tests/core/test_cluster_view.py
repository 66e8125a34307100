"""Metadata answers are merged; older news never replaces newer."""

from __future__ import annotations

import dataclasses

from aioproducer.core.cluster_view import NO_LEADER, ClusterView
from aioproducer.wire.messages.metadata import (
    Broker,
    MetadataResponse,
    PartitionMetadata,
    TopicMetadata,
)

ID = b"topic-id-of-one!"
OTHER_ID = b"topic-id-of-two!"
BROKERS = (Broker(1, "one", 9092), Broker(2, "two", 9092))


def partition(index: int, leader: int = 1, epoch: int = 0, error: int = 0) -> PartitionMetadata:
    return PartitionMetadata(error, index, leader, epoch, (1, 2), (1,), (2,))


def topic(
    *partitions: PartitionMetadata, name: str = "orders", topic_id: bytes = ID, error: int = 0
) -> TopicMetadata:
    return TopicMetadata(error, name, topic_id, False, partitions)


def answer(*topics: TopicMetadata, brokers: tuple[Broker, ...] = BROKERS) -> MetadataResponse:
    return MetadataResponse(0, brokers, "cluster", 1, topics)


def view_of(*topics: TopicMetadata) -> ClusterView:
    return ClusterView().updated_by(answer(*topics))


def test_nothing_is_known_at_first() -> None:
    view = ClusterView()
    assert view.leader_of("orders", 0) == NO_LEADER
    assert not view.topics
    assert not view.brokers


def test_an_answer_tells_everything() -> None:
    view = view_of(topic(partition(0, leader=1, epoch=3), partition(1, leader=2)))
    known = view.topics["orders"]
    assert (view.cluster_id, known.topic_id, known.is_known) == ("cluster", ID, True)
    assert [p.leader for p in known.partitions] == [1, 2]
    assert known.partitions[0].leader_epoch == 3
    assert known.partitions[0].replicas == (1, 2)
    assert known.partitions[0].in_sync_replicas == (1,)
    assert known.partitions[0].offline_replicas == (2,)
    assert known.available == (0, 1)


def test_partitions_may_come_in_any_order() -> None:
    view = view_of(topic(partition(2, leader=2), partition(0), partition(1)))
    assert [p.index for p in view.topics["orders"].partitions] == [0, 1, 2]
    assert view.leader_of("orders", 2) == 2


def test_other_topics_stay_and_brokers_are_replaced() -> None:
    view = view_of(topic(partition(0)))
    later = view.updated_by(
        answer(topic(partition(0), name="others"), brokers=(Broker(3, "three", 1),))
    )
    assert set(later.topics) == {"orders", "others"}
    assert set(later.brokers) == {3}
    assert view.topics.keys() == {"orders"}


def test_of_another_cluster_everything_is_new() -> None:
    """Its epochs begin anew, and topics it was not asked about may not be there."""
    view = view_of(topic(partition(0, leader=2, epoch=40)), topic(partition(0), name="others"))
    fresh = answer(topic(partition(0, leader=1, epoch=3)))
    assert not view.is_replaced_by(fresh)
    assert view.updated_by(fresh).leader_of("orders", 0) == 2
    other = dataclasses.replace(fresh, cluster_id="another")
    assert view.is_replaced_by(other)
    later = view.updated_by(other)
    assert later.leader_of("orders", 0) == 1
    assert set(later.topics) == {"orders"}
    assert not view.is_replaced_by(dataclasses.replace(fresh, cluster_id=None))


def test_a_leader_of_an_older_epoch_is_ignored() -> None:
    view = view_of(topic(partition(0, leader=2, epoch=5)))
    later = view.updated_by(answer(topic(partition(0, leader=1, epoch=4))))
    assert later.leader_of("orders", 0) == 2
    assert later.topics["orders"].partitions[0].leader_epoch == 5


def test_a_leader_that_is_no_broker_of_the_cluster_gives_way_to_any() -> None:
    """It cannot be sent to, and no later epoch might ever come."""
    view = view_of(topic(partition(0, leader=77, epoch=5), partition(1, leader=-1, epoch=5)))
    fresh = topic(partition(0, leader=1, epoch=4), partition(1, leader=1, epoch=4))
    later = view.updated_by(answer(fresh))
    assert later.leader_of("orders", 0) == 1
    assert later.leader_of("orders", 1) == NO_LEADER


def test_the_same_or_a_newer_epoch_counts() -> None:
    view = view_of(topic(partition(0, leader=2, epoch=5)))
    assert view.updated_by(answer(topic(partition(0, -1, 5)))).leader_of("orders", 0) == -1
    assert view.updated_by(answer(topic(partition(0, 1, 6)))).leader_of("orders", 0) == 1


def test_a_broker_that_tells_no_epochs_is_believed() -> None:
    view = view_of(topic(partition(0, leader=2, epoch=5)))
    assert view.updated_by(answer(topic(partition(0, 1, -1)))).leader_of("orders", 0) == 1


def test_another_topic_id_is_another_topic() -> None:
    """Made again: its epochs begin anew, and so does its number of partitions."""
    view = view_of(topic(partition(0, 2, 9), partition(1, 2, 9)))
    later = view.updated_by(answer(topic(partition(0, 1, 0), topic_id=OTHER_ID)))
    known = later.topics["orders"]
    assert (known.topic_id, len(known.partitions)) == (OTHER_ID, 1)
    assert later.leader_of("orders", 0) == 1


def test_a_partition_that_an_answer_leaves_out_stays() -> None:
    view = view_of(topic(partition(0), partition(1, leader=2, epoch=1)))
    later = view.updated_by(answer(topic(partition(0))))
    assert len(later.topics["orders"].partitions) == 2
    assert later.leader_of("orders", 1) == 2


def test_a_gap_in_an_answer_is_a_partition_without_leader() -> None:
    view = view_of(topic(partition(0), partition(2)))
    assert view.leader_of("orders", 1) == NO_LEADER
    assert view.topics["orders"].available == (0, 2)


def test_an_error_keeps_what_was_known() -> None:
    view = view_of(topic(partition(0), partition(1)))
    later = view.updated_by(answer(topic(error=3, topic_id=bytes(16))))
    known = later.topics["orders"]
    assert (known.error_code, known.is_known, known.topic_id) == (3, True, ID)
    assert known.available == (0, 1)


def test_an_error_of_an_unknown_topic_is_all_there_is() -> None:
    known = view_of(topic(error=29)).topics["orders"]
    assert (known.error_code, known.is_known, known.partitions) == (29, False, ())


def test_leader_not_available_still_tells_of_partitions() -> None:
    known = view_of(topic(partition(0, leader=-1, error=5), error=5)).topics["orders"]
    assert (known.error_code, known.is_known, known.available) == (5, True, ())


def test_partitions_without_leader_are_not_available() -> None:
    view = view_of(topic(partition(0, leader=-1), partition(1)))
    assert view.topics["orders"].available == (1,)


def test_an_answer_that_tells_nothing_new_gives_an_equal_view() -> None:
    """Equal answers back off further and further."""
    same = answer(topic(partition(0, 1, 2)))
    view = ClusterView().updated_by(same)
    assert view.updated_by(same) == view
    assert view.updated_by(answer(topic(partition(0, 1, 3)))) != view


class TestHints:
    """A produce answer may name the new leader (KIP-951)."""

    def test_a_newer_leader_with_a_known_address_is_taken(self) -> None:
        view = view_of(topic(partition(0, 1, 5), partition(1, 1, 5)))
        later = view.with_leader("orders", 0, 2, 6)
        assert later is not None
        assert [later.leader_of("orders", index) for index in (0, 1)] == [2, 1]
        assert later.topics["orders"].partitions[0].leader_epoch == 6
        assert view.leader_of("orders", 0) == 1

    def test_an_address_may_come_with_it(self) -> None:
        view = view_of(topic(partition(0, 1, 5)))
        assert view.with_leader("orders", 0, 9, 6) is None
        later = view.with_leader("orders", 0, 9, 6, [Broker(9, "nine", 9092)])
        assert later is not None
        assert later.brokers[9].host == "nine"
        assert set(later.brokers) == {1, 2, 9}

    def test_the_same_or_an_older_epoch_teaches_nothing(self) -> None:
        view = view_of(topic(partition(0, 1, 5)))
        assert view.with_leader("orders", 0, 2, 5) is None
        assert view.with_leader("orders", 0, 2, 4) is None

    def test_nor_does_one_for_what_is_not_known(self) -> None:
        view = view_of(topic(partition(0, 1, 5)))
        assert view.with_leader("others", 0, 2, 6) is None
        assert view.with_leader("orders", 7, 2, 6) is None
        assert view.with_leader("orders", -1, 2, 6) is None

    def test_a_partition_that_had_no_leader_becomes_available(self) -> None:
        view = view_of(topic(partition(0, -1, 5)))
        later = view.with_leader("orders", 0, 2, 6)
        assert later is not None
        assert later.topics["orders"].available == (0,)

    def test_an_older_answer_does_not_undo_it(self) -> None:
        view = view_of(topic(partition(0, 1, 5)))
        hinted = view.with_leader("orders", 0, 2, 6)
        assert hinted is not None
        assert hinted.updated_by(answer(topic(partition(0, 1, 5)))).leader_of("orders", 0) == 2


def test_idle_topics_are_forgotten() -> None:
    view = view_of(topic(partition(0)), topic(partition(0), name="others"))
    assert set(view.without_topics(["orders", "never"]).topics) == {"others"}
