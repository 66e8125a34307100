"""How fast records may leave. Pure: the time is an argument."""

from __future__ import annotations

BURST_SECONDS = 0.1
"""How much of the time that was missed is made up for at once."""


class Pace:
    """Spaces records so that there are no more of them, or of their bytes, in a second.

    Args:
        records: records a second, or None for as many as there are.
        size: bytes a second, or None.
        now: the time in seconds, from any start.
    """

    def __init__(self, records: float | None, size: float | None, now: float) -> None:
        self._per_record = 1 / records if records else 0.0
        self._per_byte = 1 / size if size else 0.0
        self._next = now
        self.is_free = not (records or size)

    def take(self, size: int, now: float) -> float:
        """Count a record of ``size`` bytes; return how many seconds it has to wait."""
        begin = max(self._next, now - BURST_SECONDS)
        self._next = begin + max(self._per_record, size * self._per_byte)
        return max(0.0, begin - now)
