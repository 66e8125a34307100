"""What the producer said became of each record of a lane."""

from __future__ import annotations

from array import array
from collections import Counter
from enum import IntEnum

from aioproducer import Delivery
from aioproducer.errors import ProducerError


class Outcome(IntEnum):
    """What a Delivery said; the three failures differ in ``persisted``."""

    OPEN = 0
    ACKNOWLEDGED = 1
    NOT_PERSISTED = 2
    MAYBE = 3
    PERSISTED = 4


_OF_PERSISTED = {
    "no": Outcome.NOT_PERSISTED,
    "maybe": Outcome.MAYBE,
    "yes": Outcome.PERSISTED,
}


class Journal:
    """The outcomes of a lane's records, by number: a few bytes each."""

    def __init__(self) -> None:
        self.outcomes = bytearray()
        self.partitions = array("h")
        self.offsets = array("q")
        self.errors: Counter[str] = Counter()
        self.counts: Counter[Outcome] = Counter()

    def __len__(self) -> int:
        return len(self.outcomes)

    @property
    def open(self) -> int:
        """Records that are on their way."""
        return len(self.outcomes) - self.counts.total()

    def begin(self) -> int:
        """Note a further record and return its number."""
        self.outcomes.append(Outcome.OPEN)
        self.partitions.append(-1)
        self.offsets.append(-1)
        return len(self.outcomes) - 1

    def settle(self, number: int, delivery: Delivery) -> None:
        """Note what became of a record; a done callback of its Delivery."""
        error = delivery.exception()
        if error is None:
            found = delivery.result()
            self.partitions[number] = found.partition
            self.offsets[number] = found.offset
            self._note(number, Outcome.ACKNOWLEDGED)
        else:
            assert isinstance(error, ProducerError), repr(error)
            self._note(number, _OF_PERSISTED[error.persisted])
            self.errors[f"{type(error).__name__}, persisted: {error.persisted}"] += 1

    def _note(self, number: int, outcome: Outcome) -> None:
        if self.outcomes[number] != Outcome.OPEN:
            raise AssertionError(f"record {number} was settled twice")
        self.outcomes[number] = outcome
        self.counts[outcome] += 1
