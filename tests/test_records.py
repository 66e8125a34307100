"""The values a user holds."""

from __future__ import annotations

import dataclasses

import pytest

from aioproducer import (
    CloseReport,
    ProducerError,
    Record,
    RecordMetadata,
    SendManyResult,
    TopicPartition,
    TopicReport,
)

METADATA = RecordMetadata("orders", 2, 40, 1000, 3, 5)


def test_a_record_needs_a_topic_only() -> None:
    record: Record[bytes, bytes] = Record("orders")
    assert (record.value, record.key, record.partition, record.timestamp_ms) == (None,) * 4
    assert record.headers == ()


def test_a_record_cannot_be_changed() -> None:
    record: Record[bytes, bytes] = Record("orders", b"v")
    with pytest.raises(dataclasses.FrozenInstanceError):
        record.value = b"w"  # type: ignore[misc]


def test_metadata_tells_where_and_what() -> None:
    assert METADATA.topic_partition == TopicPartition("orders", 2)
    assert METADATA.has_offset
    assert not METADATA._replace(offset=-1).has_offset


def test_a_topic_partition_is_a_tuple() -> None:
    assert TopicPartition("orders", 2) == ("orders", 2)


def test_a_close_report_adds_up_its_topics() -> None:
    report = CloseReport({"a": TopicReport(1, 2, 3), "b": TopicReport(delivered=10)})
    assert (report.delivered, report.failed, report.abandoned) == (11, 2, 3)
    assert (CloseReport().delivered, CloseReport().failed, CloseReport().abandoned) == (0, 0, 0)


class TestSendManyResult:
    """A sequence of outcomes."""

    error = ProducerError("no")
    result = SendManyResult([METADATA, error, METADATA])

    def test_it_is_a_sequence(self) -> None:
        assert len(self.result) == 3
        assert list(self.result) == [METADATA, self.error, METADATA]
        assert self.result[1] is self.error
        assert self.result[:2] == (METADATA, self.error)
        assert self.result[-1] == METADATA
        assert METADATA in self.result

    def test_failures_tell_their_places(self) -> None:
        assert self.result.failures == ((1, self.error),)
        assert "3 records, 1 failed" in repr(self.result)

    def test_raising_raises_all_of_them_together(self) -> None:
        with pytest.raises(ExceptionGroup, match="1 of 3 records failed") as caught:
            self.result.raise_for_failures()
        assert caught.value.exceptions == (self.error,)

    def test_without_failures_nothing_is_raised(self) -> None:
        SendManyResult([METADATA]).raise_for_failures()
        SendManyResult([]).raise_for_failures()
