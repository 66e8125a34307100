"""Bounds that must hold on the wire at any moment, and what had reached the producer when."""

from __future__ import annotations

import struct
from collections import Counter

from aioproducer.wire.versions import ApiKey
from tests.broker_wire import Request
from tests.fake_broker import FakeBroker, Session
from tests.simulation.plan import Plan
from tests.virtual_clock import VirtualClockLoop

_HEAD = struct.Struct(">ih")
_TIMER_SLACK = 0.002


class Watch:
    """Sees every request and answer; ``violations`` says what should not have been."""

    def __init__(self, plan: Plan, loop: VirtualClockLoop) -> None:
        self.violations: list[str] = []
        self.plan = plan
        self.loop = loop
        self._in_flight: Counter[Session] = Counter()
        self._paused: dict[Session, tuple[float, float]] = {}

    def written(self, session: Session, data: bytes) -> None:
        position = 0
        while position < len(data):
            size, api = _HEAD.unpack_from(data, position)
            position += 4 + size
            if api == ApiKey.PRODUCE:
                self._produce_written(session)
        if position != len(data):
            self.violations.append("a write ended within a request")

    def _produce_written(self, session: Session) -> None:
        since, until = self._paused.get(session, (0.0, 0.0))
        if since <= self.loop.now < until - _TIMER_SLACK:
            self.violations.append(f"written at {self.loop.now}, but throttled until {until}")
        if self.plan.acks == 0:
            return
        self._in_flight[session] += 1
        limit = self.plan.options["max_in_flight_requests_per_connection"]
        if self._in_flight[session] > limit:
            self.violations.append(f"{self._in_flight[session]} requests in flight, not {limit}")

    def told(self, session: Session, request: Request, throttle_ms: int) -> None:
        for stored in request.told:
            if stored.told_at is None:
                stored.told_at = self.loop.now
        self.loop.reach(self._read, session, request.api, throttle_ms)

    def _read(self, session: Session, api: ApiKey, throttle_ms: int) -> None:
        if api is ApiKey.PRODUCE and self.plan.acks != 0:
            self._in_flight[session] -= 1
        if throttle_ms and api in (ApiKey.PRODUCE, ApiKey.METADATA):
            # Who asked for metadata hears of it a turn of the loop later.
            since = self.loop.now if api is ApiKey.PRODUCE else self.loop.now + _TIMER_SLACK
            self._paused[session] = (since, self.loop.now + throttle_ms / 1000)

    def requested(self, broker: FakeBroker, request: Request) -> None:
        """A broker works on ``request``."""
        if request.api is not ApiKey.PRODUCE:
            return
        batches = request.body.batches
        where = [(batch.topic, batch.topic_id, batch.index) for batch in batches]
        if len(set(where)) < len(where):
            self.violations.append(f"two batches of one partition in a request: {where}")
        size = sum(len(batch.records) for batch in batches)
        if len(batches) > 1 and size > self.plan.options["max_request_size"]:
            self.violations.append(f"{size} bytes of batches in one request")
