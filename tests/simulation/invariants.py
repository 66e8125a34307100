"""What must hold when all is over: the brokers' logs against what the producer told."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from aioproducer.errors import (
    BrokerError,
    BufferExhaustedError,
    DeliveryTimeoutError,
    MetadataTimeoutError,
    ProducerClosedError,
    ProducerError,
    RecordTooLargeError,
    broker_error,
)
from tests.fake_broker import FakeCluster, FakeTopic
from tests.fake_log import INVALID_RECORD, FakePartition, Lapse, StoredBatch
from tests.simulation.application import Sent
from tests.simulation.plan import Plan

_CALM_ERRORS = (
    asyncio.CancelledError,
    BufferExhaustedError,
    MetadataTimeoutError,
    ProducerClosedError,
    RecordTooLargeError,
    DeliveryTimeoutError,
)
_InvalidRecord = type(broker_error(INVALID_RECORD, None))
# The producer mends its sequences itself; these are never anybody else's concern.
_SEQUENCE_ERRORS = (45, 47, 59)
_SLACK = 0.01


class Place(NamedTuple):
    """Where a record is, or was, in a log."""

    number: int
    topic: FakeTopic
    partition: FakePartition
    offset: int
    stored: StoredBatch
    # The lapse that took it away.
    lost: Lapse | None

    @property
    def is_standing(self) -> bool:
        """Whether it is still there."""
        return self.lost is None and not self.topic.deleted_at

    def __repr__(self) -> str:
        gone = "" if self.is_standing else " (gone)"
        where = f"{self.topic.name}-{self.partition.index}"
        return f"{where}@{self.offset} at {self.stored.appended_at:.4f}{gone}"


class Invariants:
    """Compares logs and outcomes. What no client can prevent is counted in ``exceptions``."""

    def __init__(self, plan: Plan, cluster: FakeCluster, sent: Sequence[Sent]) -> None:
        self.violations: list[str] = []
        self.outcomes: Counter[str] = Counter()
        self.exceptions: Counter[str] = Counter()
        self._plan = plan
        self._cluster = cluster
        self._sent = sent
        self._places: dict[int, list[Place]] = {}

    def check(self) -> None:
        for topic in [*self._cluster.deleted, *self._cluster.topics.values()]:
            for partition in topic.partitions:
                self._check_order(self._collect(topic, partition))
        for sent in self._sent:
            self._check_record(sent, self._places.get(sent.number, []))

    def _collect(self, topic: FakeTopic, partition: FakePartition) -> list[Place]:
        places = list(_places_in(topic, partition, partition.stored, None))
        for lapse in partition.lapses:
            places += _places_in(topic, partition, lapse.lost, lapse)
        for place in places:
            self._places.setdefault(place.number, []).append(place)
        return places

    # Order

    def may_break_sequence(self, sent: Sent) -> bool:
        """Return whether a record had failed after it had a sequence, or may have."""
        if sent.error is None or sent.withdrawn:
            return False
        if isinstance(sent.error, BufferExhaustedError | MetadataTimeoutError):
            return False
        return not self._places.get(sent.number)

    def _check_order(self, places: list[Place]) -> None:
        if self._plan.acks == 0:
            # What was written to a lost connection may be worked on after the next one's requests.
            return
        if not self._plan.is_idempotent:
            places = self._first_acknowledged(places)
        places = [place for place in places if place.lost is None]
        last = -2
        for place in places:
            if place.number > last:
                last = place.number
            elif self._may_be_late(place):
                self.exceptions["out of order"] += 1
            else:
                order = [place.number for place in places]
                self.violations.append(f"{place!r} is out of order: {order}")
                return

    def _first_acknowledged(self, places: list[Place]) -> list[Place]:
        """Without idempotence only what was acknowledged has an order: that of first copies."""
        # Where the copy that was acknowledged is lost, another one may come late and stay.
        lost = {place.number for place in places if place.lost is not None}
        acknowledged = {sent.number for sent in self._sent if sent.error is None} - lost
        first: dict[int, Place] = {}
        for place in places:
            if place.number in acknowledged:
                first.setdefault(place.number, place)
        return list(first.values())

    def _may_be_late(self, place: Place) -> bool:
        """Return whether the broker forgot what it needed to keep the order, or a repetition."""
        if place.number >= len(self._sent):
            return False
        sent = self._sent[place.number]
        return any(
            lapse.forgets
            and sent.at <= lapse.over_at
            and lapse.at <= place.stored.appended_at
            and (
                place.stored.stale
                or not (self._plan.is_idempotent and sent.succeeded_before(lapse.at))
            )
            for lapse in place.partition.lapses
        )

    # Single records

    def _check_record(self, sent: Sent, places: list[Place]) -> None:
        if not sent.delivery.done():
            self.violations.append(f"record {sent.number} was never settled: {sent.delivery!r}")
            return
        error = sent.error
        self.outcomes[type(error).__name__] += 1
        if sent.withdrawn and places:
            self.violations.append(f"record {sent.number} was withdrawn, and is at {places}")
        self._check_copies(sent, places)
        self._check_time(sent)
        if error is None:
            self._check_acknowledged(sent, places)
            return
        self._check_failed(sent, error, places)

    def _check_copies(self, sent: Sent, places: list[Place]) -> None:
        if len({(p.topic.topic_id, p.partition.index) for p in places if p.is_standing}) > 1:
            self.violations.append(f"record {sent.number} is in two partitions: {places}")
        places.sort(key=lambda place: (place.stored.appended_at, place.offset))
        for earlier, later in itertools.pairwise(places):
            if not later.is_standing:
                continue
            if later.partition is not earlier.partition:
                if sent.succeeded_before(earlier.topic.deleted_at) and not later.stored.stale:
                    self.violations.append(f"record {sent.number} was sent again: {places}")
            elif earlier.is_standing:
                self._check_copy(sent, earlier, later)
        allowed = 1 if self._plan.acks == 0 else self._plan.retries + 1
        if not self._plan.is_idempotent and len(places) > allowed:
            self.violations.append(f"record {sent.number} is there too often: {places}")

    def _check_copy(self, sent: Sent, earlier: Place, later: Place) -> None:
        if not self._plan.is_idempotent:
            return
        if self._may_be_late(later):
            self.exceptions["twice"] += 1
        else:
            self.violations.append(f"record {sent.number} is there twice: {[earlier, later]}")

    def _check_time(self, sent: Sent) -> None:
        bound = sent.timeout if sent.timeout is not None else self._plan.delivery_timeout
        if sent.took > bound + _SLACK:
            self.violations.append(f"record {sent.number} took {sent.took} s; {sent.error!r}")

    def _check_acknowledged(self, sent: Sent, places: list[Place]) -> None:
        metadata = sent.delivery.result()
        if sent.poison and self._plan.acks != 0:
            self.violations.append(f"record {sent.number} is poison, and acknowledged: {metadata}")
        if sent.partition is not None and metadata.partition != sent.partition:
            self.violations.append(f"{metadata} is not in partition {sent.partition}")
        if self._plan.acks == 0:
            return
        if metadata.has_offset and not any(
            (place.topic.name, place.partition.index, place.offset)
            == (*metadata.topic_partition, metadata.offset)
            for place in places
        ):
            self.violations.append(f"{metadata} is not true: it is at {places}")
        if not any(place.is_standing for place in places):
            self._check_loss(sent, places)

    def _check_loss(self, sent: Sent, places: list[Place]) -> None:
        for place in places:
            if place.topic.deleted_at:
                self.exceptions["acknowledged, then its topic was deleted"] += 1
                return
            if place.lost is not None and place.lost.forgets:
                self.exceptions["acknowledged, then lost in an unclean election"] += 1
                return
            if place.lost is not None and self._plan.acks == 1:
                self.exceptions["acknowledged by a leader alone, then lost with it"] += 1
                return
        self.violations.append(f"record {sent.number} was acknowledged and is lost")

    def _check_failed(self, sent: Sent, error: BaseException, places: list[Place]) -> None:
        if isinstance(error, ProducerError) and error.persisted == "no":
            standing = [place for place in places if place.is_standing]
            if standing:
                self.violations.append(
                    f"record {sent.number} is at {standing}, its error says no: {error!r}"
                )
        if isinstance(error, BrokerError) and error.code in _SEQUENCE_ERRORS:
            self.violations.append(f"record {sent.number} failed for its sequence: {error!r}")
        if self._plan.calm and not self._is_fair(sent, error):
            self.violations.append(f"record {sent.number} failed for nothing: {error!r}")
        if sent.cancelled or isinstance(error, ProducerClosedError):
            return
        assert sent.done_at is not None
        for place in places:
            told_at = place.stored.told_at
            own = sent.timeout if sent.timeout is not None else self._plan.delivery_timeout
            in_time = sent.at + own
            if told_at is None or told_at >= in_time - _SLACK / 10:
                continue
            # An answer that was read wrongly fails its record at the same moment.
            if told_at <= sent.done_at:
                self.violations.append(
                    f"record {sent.number} was acknowledged at {told_at}, yet failed: {error!r}"
                )

    def _is_fair(self, sent: Sent, error: BaseException) -> bool:
        """Return whether a record may fail so when all is calm."""
        if isinstance(error, _InvalidRecord):
            return sent.poison or not self._plan.names_poison
        waited_too_long = isinstance(error, DeliveryTimeoutError) or "within" in str(error)
        if waited_too_long and self._plan.is_generous:
            return sent.timeout is not None
        return isinstance(error, _CALM_ERRORS)


def _places_in(
    topic: FakeTopic, partition: FakePartition, log: Iterable[StoredBatch], lost: Lapse | None
) -> Iterator[Place]:
    for stored in log:
        for index, record in enumerate(stored.batch.records):
            number = int((record.value or b"").split(b".")[0])
            yield Place(number, topic, partition, stored.base_offset + index, stored, lost)
