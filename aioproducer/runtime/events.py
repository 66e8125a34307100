"""Log lines that programs can read: each has an event and fields, and none is said too often.

A line goes out when a state changes. What would repeat itself is said at most once in
``REPEAT_AFTER_S`` seconds, and then with how often it happened meanwhile. A formatter finds the
event's name in ``record.event``, the producer in ``record.client_id``, the rest in
``record.fields``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

REPEAT_AFTER_S = 30.0
_MOST_KEYS = 1_000


def event(name: str, client_id: str, **fields: object) -> dict[str, object]:
    """Return what a line about ``name`` has as ``extra``."""
    return {"event": name, "client_id": client_id, "fields": fields}


class EventLog:
    """Says what happened to one producer."""

    def __init__(self, logger: logging.Logger, client_id: str, clock: Callable[[], float]) -> None:
        self._logger = logger
        self._client_id = client_id
        self._clock = clock
        # By event and key: when it was said last, and how often it was not said since.
        self._said: dict[tuple[str, str], tuple[float, int]] = {}

    def say(
        self,
        level: int,
        name: str,
        words: str,
        *,
        error: BaseException | None = None,
        **fields: object,
    ) -> None:
        """Log one line."""
        if self._logger.isEnabledFor(level):
            extra = event(name, self._client_id, **fields)
            self._logger.log(level, "[%s] %s", self._client_id, words, exc_info=error, extra=extra)

    def repeat(
        self,
        level: int,
        name: str,
        words: str,
        *,
        key: str = "",
        error: BaseException | None = None,
        **fields: object,
    ) -> None:
        """Log one line, unless one of this event and ``key`` was logged a short while ago."""
        if not self._logger.isEnabledFor(level):
            return
        now = self._clock()
        said_at, unsaid = self._said.get((name, key), (float("-inf"), 0))
        if now - said_at < REPEAT_AFTER_S:
            self._said[name, key] = (said_at, unsaid + 1)
            return
        if len(self._said) >= _MOST_KEYS:
            self._said.clear()
        self._said[name, key] = (now, 0)
        if unsaid:
            words = f"{words} ({unsaid} more times since this was last said)"
        self.say(level, name, words, error=error, unsaid=unsaid, **fields)
