"""WaitingLine: places that are taken first come, first served."""

from __future__ import annotations

import asyncio


class WaitingLine:
    """A fixed number of places; who finds none free waits for one behind all others."""

    def __init__(self, places: int) -> None:
        self._free = places
        self._waiting: dict[asyncio.Future[None], None] = {}

    @property
    def length(self) -> int:
        """How many wait."""
        return len(self._waiting)

    async def take(self, timeout: float) -> None:
        """Take a place, waiting for up to ``timeout`` seconds.

        Raises :exc:`TimeoutError` after that time, or what ``refuse()`` was given. Cancelling
        leaves the line.
        """
        if self._free:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[turn] = None
        try:
            async with asyncio.timeout(timeout):
                await turn
        except BaseException:
            self._waiting.pop(turn, None)
            if not turn.cancelled() and turn.exception() is None:
                # It came in the very turn of the loop in which the wait was given up.
                self.give()
            raise

    def give(self) -> None:
        """Give a place back: to the first who waits, if anybody does."""
        while self._waiting:
            turn = next(iter(self._waiting))
            del self._waiting[turn]
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    def refuse(self, error: Exception) -> None:
        """Fail all who wait with ``error``."""
        waiting, self._waiting = self._waiting, {}
        for turn in waiting:
            if not turn.done():
                turn.set_exception(error)
