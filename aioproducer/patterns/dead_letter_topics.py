"""Which dead-letter topic a record goes to, and which topics are such."""

from __future__ import annotations

from collections.abc import Callable

from aioproducer import ConfigurationError

DEFAULT = "{topic}.dead-letters"
_PLACE = "{topic}"


class DeadLetterTopics:
    """One topic for all, one for each by a pattern, or what a function says."""

    def __init__(self, given: str | Callable[[str], str]) -> None:
        self._by_function = None if isinstance(given, str) else given
        pattern = given if isinstance(given, str) else ""
        if self._by_function is None and (
            not pattern or pattern == _PLACE or pattern.count(_PLACE) > 1
        ):
            raise ConfigurationError(
                f"topic={pattern!r} is no dead-letter topic: give a name, or one with {_PLACE}"
            )
        self._before, self._holds_place, self._after = pattern.partition(_PLACE)

    def of(self, topic: str) -> str:
        """Return the dead-letter topic of ``topic``."""
        if self._by_function is not None:
            return self._by_function(topic)
        return f"{self._before}{topic}{self._after}" if self._holds_place else self._before

    def refuse(self, topic: str) -> None:
        """Raise :exc:`ValueError` for a topic whose dead letters would go round in a circle."""
        if self._by_function is not None:
            circles = self._by_function(topic) == topic
        elif self._holds_place:
            shortest = len(self._before) + len(self._after)
            circles = (
                len(topic) > shortest
                and topic.startswith(self._before)
                and topic.endswith(self._after)
            )
        else:
            circles = topic == self._before
        if circles:
            raise ValueError(
                f"{topic} is a dead-letter topic itself: send to it by the producer, not through"
                " its dead letters"
            )
