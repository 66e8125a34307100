"""A record's own story: what happened to its batch, when, and what took so long.

A Story is kept for each batch, by those who act on it anyway, so that a record costs nothing.
It is put into words when somebody asks: :meth:`Delivery.explain`.
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from aioproducer import inlined
from aioproducer.errors import ProducerError

_MOST_ATTEMPTS = 32
"""Kept of one batch: the first half of them, and the latest."""

_WHY_SEALED = {
    "size": "it was full (batch.size)",
    "linger": "linger.ms had passed",
    "flush": "flush() or close() asked for it",
    "expedite": "send_and_wait() or send_many() asked for it",
    "memory": "buffer.memory was short",
    "idle": "nothing was on its way to its broker (linger.adaptive)",
}


class Waiting(Protocol):
    """A record in the waiting room, or how one waited there."""

    @property
    def sent_at(self) -> float:
        """When it came, by the loop's clock."""

    @property
    def known_at(self) -> float | None:
        """When it began to wait for memory after something else, ``None`` if it did not."""

    @property
    def left_at(self) -> float | None:
        """When it left the room, ``None`` while it is there."""

    @property
    def waited_first(self) -> enum.Enum:
        """What it waited for at first; the value puts it into words."""

    @property
    def waits_for(self) -> enum.Enum:
        """What it waits for, or did last."""


class Waited(NamedTuple):
    """How a record waited."""

    sent_at: float
    known_at: float | None
    left_at: float | None
    waited_first: enum.Enum
    waits_for: enum.Enum


class Attempt(NamedTuple):
    """One time that a batch was sent, and what it had waited for before."""

    sent_at: float
    broker: int
    connected_at: float
    paused_until: float
    ended_at: float | None = None
    error: ProducerError | None = None


NEVER = float("-inf")


class Story:
    """What happened to a batch so far; all times are the loop's."""

    __slots__ = (
        "attempts",
        "leader_at",
        "left_out",
        "opened_at",
        "seal",
        "sealed_at",
        "settled_at",
        "waiting",
    )

    def __init__(self, opened_at: float) -> None:
        self.opened_at = opened_at
        # Its record that waited longest for a place, if any did.
        self.waiting: Waiting | None = None
        self.sealed_at: float | None = None
        self.seal: enum.Enum | None = None
        self.attempts: list[Attempt] = []
        self.left_out = 0
        # When its partition last got a leader while the batch was there.
        self.leader_at = NEVER
        self.settled_at: float | None = None

    def admitted(self, waiting: Waiting) -> None:
        """Note a record that had waited."""
        if self.waiting is None or waiting.sent_at < self.waiting.sent_at:
            self.waiting = waiting

    def sealed(self, now: float) -> None:
        """Note that the batch lingers no more."""
        if self.sealed_at is None:
            self.sealed_at = now

    def leaves(
        self,
        now: float,
        broker: int,
        why: enum.Enum | None,
        connected_at: float = NEVER,
        paused_until: float = NEVER,
    ) -> None:
        """Note an attempt; since when the broker is connected, until when it had asked to wait."""
        if self.seal is None:
            self.seal = why
            self.sealed(now)
        if len(self.attempts) >= _MOST_ATTEMPTS:
            del self.attempts[_MOST_ATTEMPTS // 2]
            self.left_out += 1
        attempt = (now, broker, connected_at, paused_until, None, None)
        self.attempts.append(inlined.row(Attempt, attempt))

    def returns(self, now: float, error: ProducerError | None) -> None:
        """Note how the last attempt ended."""
        if self.attempts:
            sent_at, broker, connected_at, paused_until, _, _ = self.attempts[-1]
            attempt = (sent_at, broker, connected_at, paused_until, now, error)
            self.attempts[-1] = inlined.row(Attempt, attempt)

    def copy(self) -> Story:
        """Return the story of a part of the batch: the same until now."""
        other = Story(self.opened_at)
        other.waiting = self.waiting
        other.sealed_at, other.seal = self.sealed_at, self.seal
        other.attempts = list(self.attempts)
        other.left_out = self.left_out
        other.leader_at = self.leader_at
        return other


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened, ``at_ms`` milliseconds after the batch's oldest record was sent.

    ``what`` is one of ``accepted``, ``moved_on`` (waits for memory now), ``appended``, ``sealed``,
    ``leader``, ``connected`` and ``resumed`` (what it waited for), ``sent``, ``answered``,
    ``failed`` (an attempt), ``acknowledged`` and ``given_up``; ``attempt`` counts from 1,
    ``broker`` is the node id.
    """

    at_ms: float
    what: str
    words: str
    attempt: int | None = None
    broker: int | None = None
    error: ProducerError | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """The timeline of a record's batch. ``str()`` puts it into readable lines.

    ``position`` is the record's place in the batch from 0 on, ``records`` how many it has.
    ``outcome`` is ``pending``, ``acknowledged``, ``failed`` or ``cancelled``. ``duration_ms`` is
    from the ``send()`` of the batch's oldest record to the last thing that happened.
    """

    topic: str
    partition: int | None
    position: int | None
    records: int | None
    outcome: str
    steps: tuple[Step, ...]

    @property
    def duration_ms(self) -> float:
        """Milliseconds from the first step to the last."""
        return self.steps[-1].at_ms if self.steps else 0.0

    @property
    def longest(self) -> tuple[Step, Step] | None:
        """The two steps between which most of the time passed."""
        pairs = list(itertools.pairwise(self.steps))
        return max(pairs, key=lambda pair: pair[1].at_ms - pair[0].at_ms, default=None)

    def __str__(self) -> str:
        where = self.topic if self.partition is None else f"{self.topic}-{self.partition}"
        place = ""
        if self.position is not None and self.records:
            place = f", record {self.position + 1} of {self.records} in its batch"
        lines = [f"{where}{place}: {self.outcome}, {self.duration_ms:.1f} ms"]
        lines += [f"{step.at_ms:>10.1f} ms  {step.words}" for step in self.steps]
        if (longest := self.longest) is not None:
            first, last = longest
            lines.append(
                f"most of it: {last.at_ms - first.at_ms:.1f} ms between"
                f" '{first.words}' and '{last.words}'"
            )
        return "\n".join(lines)


def tell(
    story: Story | None, waiting: Waiting | None, outcome: str, error: ProducerError | None
) -> tuple[Step, ...]:
    """Return what happened, oldest first; ``story`` of the batch, or of a record without one."""
    if story is not None:
        waiting = story.waiting
    begun = story.opened_at if story is not None else 0.0
    if waiting is not None:
        begun = waiting.sent_at if story is None else min(waiting.sent_at, begun)
    steps = list(_steps_of_waiting(waiting))
    if story is not None:
        if waiting is None:
            steps.append((begun, "accepted", "accepted", None, None, None))
        steps += _steps_of_batch(story)
    end = story.settled_at if story is not None else (waiting.left_at if waiting else None)
    if end is not None and outcome != "pending":
        if outcome == "acknowledged":
            steps.append((end, outcome, "acknowledged", None, None, None))
        else:
            words = "given up" if error is None else f"given up: {_words(error)}"
            steps.append((end, "given_up", words, None, None, error))
    return tuple(
        Step(round((at - begun) * 1000, 3), what, words, attempt, broker, cause)
        for at, what, words, attempt, broker, cause in steps
    )


_Raw = tuple[float, str, str, int | None, int | None, ProducerError | None]


def _steps_of_waiting(waiting: Waiting | None) -> Iterator[_Raw]:
    if waiting is None:
        return
    words = f"accepted; waited for {waiting.waited_first.value}"
    yield (waiting.sent_at, "accepted", words, None, None, None)
    if waiting.known_at is not None:
        words = f"that is there; waited for {waiting.waits_for.value}"
        yield (waiting.known_at, "moved_on", words, None, None, None)


def _steps_of_batch(story: Story) -> Iterator[_Raw]:
    appended = story.opened_at
    if story.waiting is not None:
        appended = max(appended, story.waiting.left_at or appended)
    yield (appended, "appended", "appended to a batch", None, None, None)
    if story.sealed_at is not None:
        why = _WHY_SEALED[story.seal.value] if story.seal is not None else "it may leave"
        yield (story.sealed_at, "sealed", f"batch sealed: {why}", None, None, None)
    yield from _steps_of_attempts(story)


def _steps_of_attempts(story: Story) -> Iterator[_Raw]:
    before = story.opened_at if story.sealed_at is None else story.sealed_at
    for place, attempt in enumerate(story.attempts):
        number = place + 1 + (story.left_out if place >= _MOST_ATTEMPTS // 2 else 0)
        broker, ended_at, error = attempt.broker, attempt.ended_at, attempt.error
        yield from sorted(_what_it_waited_for(story, attempt, before))
        words = f"attempt {number} sent to broker {broker}"
        yield (attempt.sent_at, "sent", words, number, broker, None)
        if ended_at is None:
            continue
        before = ended_at
        if error is None:
            words = f"attempt {number} answered by broker {broker}"
            yield (ended_at, "answered", words, number, broker, None)
        else:
            words = f"attempt {number} failed: {_words(error)}"
            yield (ended_at, "failed", words, number, broker, error)


def _what_it_waited_for(story: Story, attempt: Attempt, before: float) -> Iterator[_Raw]:
    """Yield what came after ``before`` and had to be there for ``attempt``."""
    broker = attempt.broker
    for at, what, words in (
        (story.leader_at, "leader", f"broker {broker} leads its partition"),
        (attempt.connected_at, "connected", f"there is a connection to broker {broker}"),
        (attempt.paused_until, "resumed", f"the pause that broker {broker} asked for is over"),
    ):
        if before < at <= attempt.sent_at:
            yield (at, what, words, None, broker, None)


def _words(error: ProducerError) -> str:
    return f"{type(error).__name__}: {error}"
