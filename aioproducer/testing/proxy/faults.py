"""Faults: what is to go wrong, with which requests, how often; and how often it did."""

from __future__ import annotations

import asyncio
import enum
import random
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from aioproducer.testing.proxy.frames import Frame
from aioproducer.testing.proxy.messages import API_NAMES


class Act(enum.Enum):
    """What a fault does."""

    FAIL = "fail"
    DELAY = "delay"
    DISCONNECT = "disconnect"
    SWALLOW = "swallow"


@dataclass(frozen=True, slots=True)
class Which:
    """The requests that a fault concerns; ``None`` is any."""

    api: int | None = None
    broker: int | None = None
    topic: str | None = None
    client_id: str | None = None

    def fits(self, frame: Frame) -> bool:
        """Return whether it concerns a request, its topics aside."""
        return (
            self.api in (None, frame.api)
            and self.broker in (None, frame.broker)
            and self.client_id in (None, frame.client_id)
        )

    def fits_topic(self, topic: str | None) -> bool:
        """Return whether it concerns a topic."""
        return self.topic in (None, topic)

    def __str__(self) -> str:
        words = ["every request" if self.api is None else API_NAMES[self.api]]
        if self.broker is not None:
            words.append(f"broker {self.broker}")
        if self.topic is not None:
            words.append(f"topic {self.topic!r}")
        if self.client_id is not None:
            words.append(f"client {self.client_id!r}")
        return ", ".join(words)


class Fault:
    """Something that goes wrong; ``struck`` counts how often it did, ``remove()`` ends it.

    ``fail()``, ``delay()``, ``disconnect()`` and ``swallow()`` of a FaultProxy return it.
    """

    def __init__(
        self,
        act: Act,
        which: Which,
        times: int | None,
        skip: int,
        probability: float,
        *,
        at: str = "",
        code: int = 0,
        executed: bool = False,
        seconds: float = 0.0,
        jitter: float = 0.0,
    ) -> None:
        if times is not None and times < 1:
            raise ValueError(f"times must be 1 or more, or None for always, not {times}")
        if skip < 0:
            raise ValueError(f"skip must not be negative: {skip}")
        if not 0 < probability <= 1:
            raise ValueError(f"probability must be above 0 and at most 1, not {probability}")
        self.act = act
        self.which = which
        self.at = at
        self.code = code
        self.executed = executed
        self.seconds = seconds
        self.jitter = jitter
        self.struck = 0
        self._left = times
        self._skip = skip
        self._probability = probability
        self._removed = False
        self._lock = threading.Lock()
        self._waiters: list[tuple[int, Callable[[], object]]] = []

    @property
    def left(self) -> int | None:
        """How often it will still strike, ``None`` for always."""
        return 0 if self._removed else self._left

    @property
    def is_over(self) -> bool:
        """Whether it will strike no more."""
        return self.left == 0

    def remove(self) -> None:
        """Let it strike no more. What it holds or has broken stays so."""
        self._removed = True

    async def strikes(self, count: int = 1) -> None:
        """Return once it has struck ``count`` times in all; the caller bounds the wait."""
        loop = asyncio.get_running_loop()
        event = asyncio.Event()
        with self._lock:
            if self.struck >= count:
                return
            self._waiters.append((count, partial(_tell, loop, event)))
        await event.wait()

    def strike(self, rng: random.Random) -> bool:
        """Return whether it strikes a request that it concerns, and count that."""
        with self._lock:
            if self.is_over:
                return False
            if self._skip:
                self._skip -= 1
                return False
            if self._probability < 1 and rng.random() >= self._probability:
                return False
            if self._left is not None:
                self._left -= 1
            self.struck += 1
            told = [tell for count, tell in self._waiters if count <= self.struck]
            self._waiters = [each for each in self._waiters if each[0] > self.struck]
        for tell in told:
            tell()
        return True

    def __repr__(self) -> str:
        left = "always" if self._left is None else f"{self.left} left"
        what = f"{self.act.value} {self.at}".rstrip()
        return f"<Fault {what}, {self.which}: struck {self.struck}, {left}>"


def _tell(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    # Whoever waited may be gone with its loop; that is nothing to the proxy.
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(event.set)


class FaultBook:
    """All faults of a proxy, in the order they were made. May be written to from any thread."""

    def __init__(self, seed: int | None) -> None:
        self._rng = random.Random(seed)
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        """Let it strike from now on."""
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Remove all."""
        with self._lock:
            for fault in self._faults:
                fault.remove()
            self._faults.clear()

    def striking(self, frame: Frame, topics: Callable[[], set[str | None]]) -> list[Fault]:
        """Return what strikes a request: any number of delays, and one fault of another kind."""
        with self._lock:
            self._faults = [fault for fault in self._faults if not fault.is_over]
            candidates = [fault for fault in self._faults if fault.which.fits(frame)]
        struck: list[Fault] = []
        for fault in candidates:
            is_delay = fault.act is Act.DELAY
            if not is_delay and any(each.act is not Act.DELAY for each in struck):
                continue
            if fault.which.topic is not None and fault.which.topic not in topics():
                continue
            if fault.strike(self._rng):
                struck.append(fault)
        return struck

    def duration(self, fault: Fault) -> float:
        """Return for how many seconds a delay holds a request this time."""
        return fault.seconds + (self._rng.uniform(0, fault.jitter) if fault.jitter else 0.0)
