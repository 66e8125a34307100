"""buffer.memory as a counter: what batches hold, and what the waiting room holds beside it."""

from __future__ import annotations

RECORD_OVERHEAD = 200
"""Bytes charged beside a record's encoded upper bound: its Delivery, measured on CPython 3.11
(`sys.getsizeof` of a Delivery with its integers), with its share of the batch's own objects."""


class MemoryBudget:
    """Two counters of one size: the memory of batches, and that of the waiting room."""

    __slots__ = ("available", "total", "waiting_available")

    def __init__(self, total: int) -> None:
        self.total = total
        self.available = total
        self.waiting_available = total

    @property
    def held(self) -> int:
        """Bytes that batches hold."""
        return self.total - self.available

    @property
    def waiting(self) -> int:
        """Bytes that the waiting room holds."""
        return self.total - self.waiting_available

    @property
    def is_waiting_room_half_full(self) -> bool:
        """Whether those who wait hold half of what they may."""
        return self.waiting_available * 2 < self.total

    def take(self, size: int) -> bool:
        """Take ``size`` bytes for a batch; answer ``False`` and take nothing if not there."""
        if size > self.available:
            return False
        self.available -= size
        return True

    def give_back(self, size: int) -> None:
        """Return what a batch held."""
        self.available += size
        if self.available > self.total:
            raise AssertionError("more memory was given back than taken")

    def take_waiting(self, size: int) -> bool:
        """Take ``size`` bytes of the waiting room; ``False`` if it is full."""
        if size > self.waiting_available:
            return False
        self.waiting_available -= size
        return True

    def give_back_waiting(self, size: int) -> None:
        """Return what a record held while it waited."""
        self.waiting_available += size
        if self.waiting_available > self.total:
            raise AssertionError("more waiting room was given back than taken")
