"""Who stands behind a serializer that has not answered yet, and whose turn has come.

A record holds the one partition it will go to, so that no later one overtakes it there. While its
partition is not known (its key is not serialized, or nothing but its arrival decides) it may go to
any of its topic, and holds the whole topic.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import takewhile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aioproducer.core.waiting_room import WaitingRecord

_Line = dict["WaitingRecord", None]


@dataclass(slots=True)
class _TopicLine:
    """The records of one topic: all, those with a known partition by it, and the others."""

    everyone: _Line = field(default_factory=dict)
    places: dict[int, _Line] = field(default_factory=dict)
    placeless: _Line = field(default_factory=dict)

    def part(self, record: WaitingRecord) -> _Line:
        if record.place is None:
            return self.placeless
        return self.places.setdefault(record.place, {})


class SerializerLine:
    """Records in the order they were sent, each with its place and whether it is serialized."""

    def __init__(self) -> None:
        self._topics: dict[str, _TopicLine] = {}

    def holds(self, topic: str) -> bool:
        """Return whether any record of ``topic`` stands here."""
        return topic in self._topics

    def must_wait(self, topic: str, place: int | None) -> bool:
        """Return whether a new record for partition ``place`` has to stand behind others."""
        line = self._topics.get(topic)
        if line is None:
            return False
        return place is None or bool(line.placeless) or place in line.places

    def join(self, record: WaitingRecord) -> None:
        """Put ``record`` behind all others."""
        line = self._topics.setdefault(record.topic, _TopicLine())
        line.everyone[record] = None
        line.part(record)[record] = None

    def leave(self, record: WaitingRecord) -> None:
        """Forget ``record``; again does nothing."""
        line = self._topics.get(record.topic)
        if line is None or record not in line.everyone:
            return
        del line.everyone[record]
        self._take_out(line, record)
        if not line.everyone:
            del self._topics[record.topic]

    def narrow(self, record: WaitingRecord, place: int) -> None:
        """Hold partition ``place`` alone from now on; ``record`` keeps its turn."""
        line = self._topics[record.topic]
        self._take_out(line, record)
        record.place = place
        part = line.part(record)
        ordered = sorted([*part, record], key=lambda each: each.arrival)
        part.clear()
        part.update(dict.fromkeys(ordered))

    def take(self, topic: str) -> list[WaitingRecord]:
        """Take out and return whose turn has come: serialized, and nobody before them."""
        line = self._topics.get(topic)
        taken: list[WaitingRecord] = []
        while line is not None and line.everyone:
            barrier = next(iter(line.placeless), None)
            for part in list(line.places.values()):
                taken += self._take_before(part, barrier)
            first = next(iter(line.everyone), None)
            if first is None or first is not barrier or not first.serialized:
                break
            self.leave(first)
            taken.append(first)
        return sorted(taken, key=lambda record: record.arrival)

    def _take_before(self, part: _Line, barrier: WaitingRecord | None) -> list[WaitingRecord]:
        taken = list(
            takewhile(
                lambda record: (
                    record.serialized and (barrier is None or record.arrival < barrier.arrival)
                ),
                part,
            )
        )
        for record in taken:
            self.leave(record)
        return taken

    def _take_out(self, line: _TopicLine, record: WaitingRecord) -> None:
        part = line.part(record)
        del part[record]
        if not part and record.place is not None:
            del line.places[record.place]
