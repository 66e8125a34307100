"""Many want the same thing: one asks, the others wait for that."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable

from aioproducer.errors import ProducerError


class SingleFlight:
    """Lets one of those who want the same thing at the same time ask for it.

    What fails is forgotten: whoever comes later asks anew.
    """

    def __init__(self) -> None:
        self._flights: dict[Hashable, asyncio.Future[ProducerError | None]] = {}

    async def ask(
        self,
        key: Hashable,
        attempt: Callable[[], Awaitable[None]],
        concerns_all: Callable[[Exception], bool],
    ) -> None:
        """Run ``attempt``, or wait for the end of the one under way for the same ``key``.

        Raises what it raised; if another's was waited for, a replica of that if it
        ``concerns_all``. When another's failed for reasons of its own, or was cancelled, returns:
        look again, and ask again. Cancelling lets the next one ask.
        """
        flight = self._flights.get(key)
        if flight is not None:
            await asyncio.wait([flight])
            error = flight.result()
            if error is not None:
                raise error.replica()
            return
        flight = self._flights[key] = asyncio.get_running_loop().create_future()
        outcome: ProducerError | None = None
        try:
            await attempt()
        except Exception as error:
            # Only looked at on its way; it is raised again below.
            if isinstance(error, ProducerError) and concerns_all(error):
                outcome = error
            raise
        finally:
            del self._flights[key]
            flight.set_result(outcome)
