"""What became of the records of `aioproducer produce`, in numbers, words and JSON."""

from __future__ import annotations

import heapq
import math
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from aioproducer import Delivery
from aioproducer.records import UNKNOWN_OFFSET

PERCENTILES = (50.0, 95.0, 99.0)

_KINDS_OF_ERRORS = 5
_DIFFERENT_ERRORS = 100
_MALFORMED_KEPT = 20


@dataclass(slots=True)
class PartitionTally:
    """How many records a partition took, and where they lie; -1 where the broker did not say."""

    records: int = 0
    first_offset: int = UNKNOWN_OFFSET
    last_offset: int = UNKNOWN_OFFSET

    def count(self, offset: int) -> None:
        """Count a record that was acknowledged."""
        self.records += 1
        if offset == UNKNOWN_OFFSET:
            return
        if self.first_offset == UNKNOWN_OFFSET or offset < self.first_offset:
            self.first_offset = offset
        self.last_offset = max(self.last_offset, offset)


@dataclass(slots=True)
class Tally:
    """What became of the records, and which took longest; no larger for more records."""

    keep: int
    sent: int = 0
    delivered: int = 0
    # How many took how many seconds, rounded to three digits.
    times: Counter[float] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    partitions: dict[tuple[str, int], PartitionTally] = field(default_factory=dict)
    malformed: int = 0
    malformed_lines: list[str] = field(default_factory=list)
    unfinished: int = 0
    interrupted: bool = False
    _slowest: list[tuple[float, int, Delivery]] = field(default_factory=list)
    _seen: int = 0

    def settle(self, sent_at: float, delivery: Delivery) -> None:
        """Count a delivery that is done."""
        seconds = time.perf_counter() - sent_at
        error = delivery.exception()
        if error is None:
            self.delivered += 1
            self.times[float(f"{seconds:.2e}")] += 1
            topic, partition, offset, *_ = delivery.result()
            place = self.partitions.get((topic, partition))
            if place is None:
                place = self.partitions[topic, partition] = PartitionTally()
            place.count(offset)
        else:
            kind = type(error).__name__
            words = f"{kind}: {error}"
            if words not in self.errors and len(self.errors) >= _DIFFERENT_ERRORS:
                words = f"{kind}, in other words"
            self.errors[words] += 1
        if self.keep:
            self._seen += 1
            # The number decides between equals: deliveries cannot be compared.
            entry = (seconds, self._seen, delivery)
            if len(self._slowest) < self.keep:
                heapq.heappush(self._slowest, entry)
            else:
                heapq.heappushpop(self._slowest, entry)

    def refuse(self, words: str) -> bool:
        """Count a line that is no record; return whether it is among those that are told."""
        self.malformed += 1
        if len(self.malformed_lines) < _MALFORMED_KEPT:
            self.malformed_lines.append(words)
            return True
        return False

    @property
    def failed(self) -> int:
        """How many records were not delivered."""
        return sum(self.errors.values())

    def percentile(self, percent: float) -> float:
        """Return the seconds that so many percent of the delivered took at most; NaN of none."""
        rank = math.ceil(self.delivered * percent / 100)
        seen = 0
        for seconds, count in sorted(self.times.items()):
            seen += count
            if seen >= rank:
                return seconds
        return math.nan

    def slowest(self) -> list[tuple[float, Delivery]]:
        """Return the slowest records, the slowest first."""
        return [(seconds, delivery) for seconds, _, delivery in sorted(self._slowest)[::-1]]


def summary_lines(tally: Tally, seconds: float) -> Iterator[str]:
    """Yield what was done, where the records lie, and what went wrong."""
    rate = tally.delivered / seconds if seconds > 0 else 0.0
    yield f"{tally.delivered:,} records in {seconds:.1f} s, {rate:,.0f}/s; {tally.failed:,} failed"
    if tally.times:
        parts = (f"p{percent:g} {tally.percentile(percent) * 1000:,.1f} ms"
                 for percent in PERCENTILES)  # fmt: skip
        yield f"from send() to acknowledgement: {'   '.join(parts)}"
    for (topic, partition), place in sorted(tally.partitions.items()):
        where = (
            "offsets not told"
            if place.first_offset == UNKNOWN_OFFSET
            else f"offsets {place.first_offset} to {place.last_offset}"
        )
        yield f"  {topic}-{partition}: {place.records:,} acknowledged, {where}"
    for words, count in tally.errors.most_common(_KINDS_OF_ERRORS):
        yield f"  {count:,} x {words}"
    if tally.malformed:
        yield f"left out, as they are no records: {tally.malformed:,} lines"
    if tally.unfinished:
        yield f"left out: {tally.unfinished:,} bytes of a line whose end was not read"


def story_lines(tally: Tally) -> Iterator[str]:
    """Yield the stories of the slowest records."""
    for rank, (seconds, delivery) in enumerate(tally.slowest(), 1):
        if rank > 1:
            yield ""
        yield f"#{rank}: {seconds * 1000:,.1f} ms"
        yield str(delivery.explain())


def as_dict(tally: Tally, seconds: float) -> dict[str, object]:
    """Return the report as JSON can hold it."""
    return {
        "delivered": tally.delivered,
        "failed": tally.failed,
        "malformed": tally.malformed,
        "interrupted": tally.interrupted,
        "seconds": seconds,
        "ack_ms": {
            f"p{percent:g}": tally.percentile(percent) * 1000 if tally.times else None
            for percent in PERCENTILES
        },
        "partitions": [
            {
                "topic": topic,
                "partition": partition,
                "records": place.records,
                "first_offset": _known(place.first_offset),
                "last_offset": _known(place.last_offset),
            }
            for (topic, partition), place in sorted(tally.partitions.items())
        ],
        "errors": dict(tally.errors),
        "malformed_lines": list(tally.malformed_lines),
        "slowest": [_told(seconds, delivery) for seconds, delivery in tally.slowest()],
    }


def _known(offset: int) -> int | None:
    return None if offset == UNKNOWN_OFFSET else offset


def _told(seconds: float, delivery: Delivery) -> dict[str, object]:
    story = delivery.explain()
    return {
        "ms": seconds * 1000,
        "topic": story.topic,
        "partition": story.partition,
        "outcome": story.outcome,
        "steps": [{"at_ms": step.at_ms, "what": step.what} for step in story.steps],
    }
