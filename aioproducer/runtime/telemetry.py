"""Pushes metrics to the brokers that ask for them (KIP-714)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from aioproducer.core.telemetry import (
    DEFAULT_INTERVAL_S,
    Deltas,
    Subscription,
    TelemetryEvent,
    TelemetryState,
    meaning,
    transition,
)
from aioproducer.errors import (
    BrokerError,
    ConfigurationError,
    ProducerError,
    ProducerStateError,
    ProducerTimeoutError,
)
from aioproducer.runtime.cluster import Cluster
from aioproducer.runtime.connection_manager import ConnectionManager
from aioproducer.runtime.supervisor import Supervisor
from aioproducer.version import __version__
from aioproducer.wire.compression import CODECS, NONE, get
from aioproducer.wire.messages.get_telemetry_subscriptions import GetTelemetrySubscriptionsRequest
from aioproducer.wire.messages.push_telemetry import PushTelemetryRequest
from aioproducer.wire.otlp import Point, encode_metrics
from aioproducer.wire.primitives import ZERO_UUID

if TYPE_CHECKING:
    import uuid

logger = logging.getLogger("aioproducer")

Collect = Callable[[], Sequence[Point]]

_SCOPE = ("aioproducer", __version__)


class TelemetryReporter:
    """Asks what is wanted, pushes it at each interval, and a last time when the producer ends."""

    def __init__(
        self,
        client_id: str,
        cluster: Cluster,
        collect: Collect,
        rng: random.Random,
        transactional_id: str | None = None,
    ) -> None:
        self.state = TelemetryState.SUBSCRIPTION_NEEDED
        self.pushes = 0
        self._client_id = client_id
        self._cluster = cluster
        self._collect = collect
        self._rng = rng
        self._resource: dict[str, str] = {}
        if transactional_id is not None:
            self._resource["transactional_id"] = transactional_id
        self._manager: ConnectionManager | None = None
        self._subscription: Subscription | None = None
        self._deltas = Deltas()
        self._since_ns = self._started_ns = time.time_ns()
        self._task: asyncio.Task[None] | None = None
        self._nudge = asyncio.Event()
        self._identified = asyncio.Event()
        self._is_ending = False

    @property
    def is_over(self) -> bool:
        """Whether nothing is pushed any more."""
        return self.state is TelemetryState.TERMINATED

    def cluster_known(self, supervisor: Supervisor) -> None:
        """Begin, now that there are brokers to ask; called again and again."""
        if self._task is None and not self._is_ending:
            self._task = supervisor.start(self.run(), name=f"{self._client_id}:telemetry")

    async def terminate(self, timeout: float) -> None:
        """Push a last time, for up to ``timeout`` seconds. Cancelling abandons the wait only."""
        self._is_ending = True
        self._nudge.set()
        if self._task is not None and not self._task.done():
            await asyncio.wait([self._task], timeout=timeout)
        self._identified.set()

    async def instance_id(self, timeout: float) -> uuid.UUID:
        """Return the id that a broker gave this client, waiting for it.

        Raises :exc:`ProducerTimeoutError` after ``timeout`` seconds, and
        :exc:`ProducerStateError` if the brokers give none. Cancelling abandons the wait only.
        """
        try:
            async with asyncio.timeout(timeout):
                await self._identified.wait()
        except TimeoutError as error:
            raise ProducerTimeoutError(
                f"no broker gave a client instance id within {timeout:g} s"
            ) from error
        if self._subscription is None:
            raise ProducerStateError(
                "the brokers collect no metrics: they give no client instance id (KIP-714)",
                what_next="Have a receiver of client metrics on the brokers, or do without.",
            )
        import uuid

        return uuid.UUID(bytes=self._subscription.client_instance_id)

    # The task

    async def run(self) -> None:
        """Ask and push until the end, or until the brokers turn out not to want any."""
        try:
            while not self._is_ending and not self.is_over:
                if self.state is TelemetryState.SUBSCRIPTION_NEEDED:
                    delay = await self._subscribe()
                else:
                    delay = await self._push()
                if not self.is_over:
                    await self._pause(delay)
            if not self.is_over:
                await self._end()
        finally:
            self._identified.set()

    async def _end(self) -> None:
        if self._subscription is None or not self._subscription.wants_something:
            self._move(TelemetryEvent.DISABLE)
            return
        self._move(TelemetryEvent.CLOSE)
        await self._push()

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._nudge.wait()

    def _move(self, event: TelemetryEvent) -> None:
        self.state = transition(self.state, event)

    # What the brokers want

    async def _subscribe(self) -> float:
        """Ask for the subscription; return the seconds until the next step."""
        known = self._subscription
        own_id = None if known is None else known.client_instance_id
        self._move(TelemetryEvent.ASK)
        try:
            manager = await self._broker()
            answer = await manager.request(GetTelemetrySubscriptionsRequest(own_id or ZERO_UUID))
        except ProducerError as error:
            return self._not_answered(error)
        event = meaning(answer.error_code)
        if answer.error_code:
            self._move(event)
            return 0.0 if event is TelemetryEvent.RESUBSCRIBE else DEFAULT_INTERVAL_S
        subscription = self._subscription = Subscription.of(answer, own_id)
        self._identified.set()
        if not subscription.wants_something:
            self._move(TelemetryEvent.LATER)
            return subscription.interval_s
        self._move(TelemetryEvent.SUBSCRIBED)
        if known is None or known.prefixes != subscription.prefixes:
            logger.info(
                "[%s] the brokers ask for metrics every %g s: %s",
                self._client_id,
                subscription.interval_s,
                ", ".join(prefix or "*" for prefix in subscription.prefixes),
            )
        # Many clients that start together shall not push together for ever.
        return subscription.interval_s * self._rng.uniform(0.5, 1.5)

    async def _broker(self) -> ConnectionManager:
        """Return the broker that was asked last, another one if its connection is gone."""
        if self._manager is None or not self._manager.is_connected:
            self._manager = await self._cluster.any_ready()
        return self._manager

    def _not_answered(self, error: ProducerError) -> float:
        logger.debug("[%s] metrics: %s", self._client_id, error)
        # A broker without a receiver does not know the request at all.
        gives_up = isinstance(error, BrokerError)
        self._move(TelemetryEvent.DISABLE if gives_up else TelemetryEvent.LATER)
        return DEFAULT_INTERVAL_S

    # Pushing

    async def _push(self) -> float:
        """Push once; return the seconds until the next step."""
        subscription = self._subscription
        assert subscription is not None
        terminating = self.state is TelemetryState.TERMINATING_PUSH_NEEDED
        self._move(TelemetryEvent.PUSH)
        now_ns = time.time_ns()
        try:
            codec_id, payload = self._payload(subscription, now_ns)
        except Exception:
            # The application's own metrics are among them: no reason to end the producer.
            logger.exception("[%s] metrics cannot be read; pushing ends", self._client_id)
            self._move(TelemetryEvent.DISABLE)
            return 0.0
        if len(payload) > subscription.max_bytes:
            logger.debug("[%s] metrics: %d bytes are too many", self._client_id, len(payload))
            self._move(TelemetryEvent.LATER)
            return subscription.interval_s
        request = PushTelemetryRequest(
            subscription.client_instance_id,
            subscription.subscription_id,
            terminating,
            codec_id,
            payload,
        )
        try:
            answer = await (await self._broker()).request(request)
        except ProducerError as error:
            return self._not_answered(error)
        event = meaning(answer.error_code)
        if not answer.error_code:
            self.pushes += 1
            self._deltas.pushed()
            self._since_ns = now_ns
        self._move(event)
        return 0.0 if event is TelemetryEvent.RESUBSCRIBE else subscription.interval_s

    def _payload(self, subscription: Subscription, now_ns: int) -> tuple[int, bytes]:
        """Return what was asked for, with the first of the accepted codecs that is there."""
        points: Sequence[Point] = [
            point for point in self._collect() if subscription.selects(point.name)
        ]
        if subscription.delta:
            points = self._deltas.of(points)
        data = encode_metrics(
            points,
            start_ns=self._since_ns if subscription.delta else self._started_ns,
            now_ns=now_ns,
            delta=subscription.delta,
            resource=self._resource,
            scope=_SCOPE,
        )
        for codec_id in subscription.codecs:
            if NONE < codec_id < len(CODECS):
                with contextlib.suppress(ConfigurationError):
                    return codec_id, get(CODECS[codec_id].name).compress(data)
        return NONE, data
