"""LetterCounts: what became of dead letters, as figures, as metrics and in the log."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from aioproducer import MetricKind
from aioproducer.patterns.dead_letter_cases import Case
from aioproducer.patterns.wrapper import ProducerWrapper

logger = logging.getLogger("aioproducer")

_SAY_AGAIN_AFTER = 30.0


class LetterCounts:
    """Counts letters by where they are, and says so, each kind of news now and then only."""

    def __init__(self, client_id: str) -> None:
        self.sent = 0
        self.spooled = 0
        self.lost = 0
        self._client_id = client_id
        self._said: dict[str, tuple[float, int]] = {}

    def letter_sent(self, case: Case, topic: str, *, is_late: bool) -> None:
        """Count a letter that a topic acknowledged, unless its fate was told already."""
        self.sent += not is_late
        self._say(logging.INFO, "dead_letters.sent", f"went to {topic}", case)

    def letter_spooled(self, case: Case, path: str, *, is_late: bool) -> None:
        """Count a letter that is in the spool file, unless its fate was told already."""
        self.spooled += not is_late
        self._say(logging.WARNING, "dead_letters.spooled", f"went to {path}", case)

    def letter_lost(self, case: Case) -> None:
        """Count a letter that is kept nowhere."""
        self.lost += 1
        words = f"could not be kept: {case.errors[-1]}"
        self._say(logging.ERROR, "dead_letters.lost", words, case)

    def _say(self, level: int, event: str, words: str, case: Case) -> None:
        """Log one line, unless such a one was logged a short while ago."""
        now = time.monotonic()
        said_at, unsaid = self._said.get(event, (float("-inf"), 0))
        if now - said_at < _SAY_AGAIN_AFTER:
            self._said[event] = (said_at, unsaid + 1)
            return
        self._said[event] = (now, 0)
        more = f" ({unsaid} more since this was last said)" if unsaid else ""
        error = case.error
        fields = {"topic": case.outer.topic, "error_type": type(error).__name__, "unsaid": unsaid}
        logger.log(
            level, "[%s] a dead letter of %s %s; it failed with %s: %s%s",
            self._client_id, case.outer.topic, words, type(error).__name__, error, more,
            extra={"event": event, "client_id": self._client_id, "fields": fields},
        )  # fmt: skip

    def register(
        self, producer: ProducerWrapper[Any, Any], word: str, pending: Callable[[], float]
    ) -> None:
        """Add the figures to the producer's metrics, with names that begin with ``word``."""

        def total(name: str, read: Callable[[], float], words: str) -> None:
            producer.register_metric(
                f"{word}-{name}", read, kind=MetricKind.TOTAL, unit="records", description=words
            )

        total("total", lambda: self.sent, "Records kept in a dead-letter topic.")
        total("spooled-total", lambda: self.spooled, "Records kept in the spool file.")
        total("lost-total", lambda: self.lost, "Records that failed and could not be kept.")
        producer.register_metric(
            f"{word}-pending", pending, unit="records",
            description="Records that failed and are not kept yet.",
        )  # fmt: skip
