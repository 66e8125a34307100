"""AsyncProducer: what a service holds."""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import random
import re
import signal
import warnings
import weakref
from asyncio import get_running_loop
from asyncio.events import _get_running_loop
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, Unpack, overload

from aioproducer.checks import as_buffer, check_options, check_timeout, check_topic, check_topics
from aioproducer.closing import Closing
from aioproducer.compiled import tell_once
from aioproducer.config import ProducerConfig
from aioproducer.config_profiles import ProfileName
from aioproducer.core.lifecycle import LifeEvent, LifeState, transition
from aioproducer.core.partitioner import Partitioner
from aioproducer.core.transaction import TransactionState
from aioproducer.delivery import Delivery
from aioproducer.errors import (
    AFTER_A_CRASH,
    FlushTimeoutError,
    NotStartedError,
    ProducerClosedError,
    ProducerError,
    ProducerStateError,
    ProducerTimeoutError,
    SerializerNotReadyError,
    TransactionStateError,
    WrongLoopError,
    because,
)
from aioproducer.interceptors import InterceptorChain, check_interceptors
from aioproducer.many import send_all
from aioproducer.observe.catalogue import METRICS, Kind
from aioproducer.observe.exporters.telemetry import collector_of
from aioproducer.observe.health import Health, judge_health
from aioproducer.observe.metrics import take_snapshot
from aioproducer.observe.readings import Registered
from aioproducer.observe.snapshot import MetricsSnapshot
from aioproducer.options import ProducerOptions
from aioproducer.records import (
    CloseReport,
    Header,
    LateResult,
    PartitionInfo,
    Record,
    RecordMetadata,
    SendManyResult,
)
from aioproducer.resolve import resolve_compressor, resolve_partitioner
from aioproducer.runtime.cluster import Cluster
from aioproducer.runtime.deadline import fail_after
from aioproducer.runtime.engine import Engine
from aioproducer.runtime.failure_feed import FailureReader
from aioproducer.runtime.security import Security
from aioproducer.runtime.serializing import (
    Answer,
    MoreThanBytes,
    both_of,
    let_go,
    with_headers,
)
from aioproducer.runtime.supervisor import weakly
from aioproducer.send_path import NO_LOOP, SendPath
from aioproducer.serializers import SerializerOf, resolve_serializer
from aioproducer.signals import SignalDrain
from aioproducer.transaction import TransactionTurn
from aioproducer.transactional import Transactional
from aioproducer.version import __version__

if TYPE_CHECKING:
    import uuid

    from aioproducer.observe.findings import Diagnosis
    from aioproducer.observe.thresholds import Thresholds

logger = logging.getLogger("aioproducer")

K = TypeVar("K")
V = TypeVar("V")

_numbers = itertools.count(1)
_METRIC_NAME = re.compile("[a-z][a-z0-9]*(-[a-z0-9]+)*")


class AsyncProducer(Transactional[K, V], SendPath, Generic[K, V]):
    """Sends records to Kafka; every ``send()`` returns an awaitable of its acknowledgement.

    Use it as ``async with AsyncProducer("host:9092") as producer``. Settings are given by Python
    name as keywords or by either name in ``config``; times among them are milliseconds, while
    arguments named ``timeout`` are seconds. Raises :exc:`ConfigurationError`, naming everything
    that is wrong at once. Without serializers keys and values are bytes.
    """

    @overload
    def __init__(
        self: AsyncProducer[bytes, bytes],
        bootstrap_servers: str | Sequence[str] | None = None,
        *,
        config: Mapping[str, object] | None = None,
        key_serializer: None = None,
        value_serializer: None = None,
        partitioner: str | Partitioner | None = None,
        interceptors: Sequence[object] = (),
        profile: ProfileName | None = None,
        **options: Unpack[ProducerOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: AsyncProducer[K, bytes],
        bootstrap_servers: str | Sequence[str] | None = None,
        *,
        config: Mapping[str, object] | None = None,
        key_serializer: SerializerOf[K],
        value_serializer: None = None,
        partitioner: str | Partitioner | None = None,
        interceptors: Sequence[object] = (),
        profile: ProfileName | None = None,
        **options: Unpack[ProducerOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: AsyncProducer[bytes, V],
        bootstrap_servers: str | Sequence[str] | None = None,
        *,
        config: Mapping[str, object] | None = None,
        key_serializer: None = None,
        value_serializer: SerializerOf[V],
        partitioner: str | Partitioner | None = None,
        interceptors: Sequence[object] = (),
        profile: ProfileName | None = None,
        **options: Unpack[ProducerOptions],
    ) -> None: ...
    @overload
    def __init__(
        self,
        bootstrap_servers: str | Sequence[str] | None = None,
        *,
        config: Mapping[str, object] | None = None,
        key_serializer: SerializerOf[K] | str | None = None,
        value_serializer: SerializerOf[V] | str | None = None,
        partitioner: str | Partitioner | None = None,
        interceptors: Sequence[object] = (),
        profile: ProfileName | None = None,
        **options: Unpack[ProducerOptions],
    ) -> None: ...
    def __init__(
        self,
        bootstrap_servers: str | Sequence[str] | None = None,
        *,
        config: Mapping[str, object] | None = None,
        key_serializer: object = None,
        value_serializer: object = None,
        partitioner: str | Partitioner | None = None,
        interceptors: Sequence[object] = (),
        profile: ProfileName | None = None,
        **options: Unpack[ProducerOptions],
    ) -> None:
        self.config = ProducerConfig.create(
            bootstrap_servers,
            config=config,
            key_serializer=key_serializer,
            value_serializer=value_serializer,
            partitioner=partitioner,
            interceptors=interceptors,
            profile=profile,
            **options,
        )
        self.client_id = self.config.client_id or f"producer-{next(_numbers)}"
        self._serialize_key = resolve_serializer(self.config.key_serializer, "key")
        self._serialize_value = resolve_serializer(self.config.value_serializer, "value")
        self._rng = random.Random()
        self._partitioner: Partitioner | None = resolve_partitioner(self.config, self._rng)
        self._compressor = resolve_compressor(self.config)
        interceptors = check_interceptors(self.config.interceptors)
        self._chain = InterceptorChain(interceptors, self.client_id) if interceptors else None
        self._security = Security(self.config)
        self._state = LifeState.NEW
        SendPath.__init__(self)
        self._bound_loop: asyncio.AbstractEventLoop | None = None
        self._engine: Engine | None = None
        self._closing: Closing | None = None
        self._drains: list[SignalDrain] = []
        self._watchers: set[asyncio.Future[None]] = set()
        self._registered: dict[Registered, Callable[[], float]] = {}
        self._takes_plain = False
        self._last_turn = 0.0
        self._turn = TransactionTurn()

    # Life

    @property
    def state(self) -> LifeState:
        """Where the producer is in its life; ``FAILED`` after a background task died."""
        return self._state

    @property
    def transaction_state(self) -> TransactionState | None:
        """Where its transactions are; ``None`` without ``transactional_id`` or before start."""
        manager = None if self._engine is None else self._engine.transactions
        return None if manager is None else manager.scope.state

    async def start(self, *, initialize: bool = True) -> None:
        """Bind to the running loop, begin to connect and return.

        A cluster that is not there shows in the deliveries and in one warning. Raises
        :exc:`ProducerStateError` when called twice or after ``close()``. Without transactions it
        never waits: there is nothing to cancel.

        With ``transactional_id`` it also does what ``init_transactions()`` does, for up to
        ``max.block.ms``, unless ``initialize`` is false. If that fails or is cancelled, the
        producer is closed before the error is raised.
        """
        self._state = transition(self._state, LifeEvent.START)
        tell_once(logger, __version__)
        for notice in self.config.notices:
            logger.info("[%s] %s", self.client_id, notice)
        self._bound_loop = get_running_loop()
        try:
            self._engine = self._make_engine(self.config)
            if self._chain is not None:
                self._chain.bind(self._engine)
            self._engine.start()
            self._engine.events.say(
                logging.INFO, "producer.started", "started", version=__version__,
                bootstrap_servers=self.config.bootstrap_servers,
            )  # fmt: skip
        except BaseException:
            self._state = transition(self._state, LifeEvent.CRASH)
            await self.close(0)
            raise
        self._bind(self._bound_loop)
        if self._serialize_key is None and self._serialize_value is None and self._chain is None:
            self._takes_plain = True
            if self._engine.transactions is None:
                self._plain = self._engine.intake
        if initialize and self._engine.transactions is not None:
            try:
                await self.init_transactions()
            except BaseException:
                await self.close(0)
                raise

    def _make_engine(
        self, config: ProducerConfig, make_cluster: Callable[..., Cluster] = Cluster
    ) -> Engine:
        return Engine(
            config,
            self.client_id,
            compressor=self._compressor,
            partitioner=self._partitioner,
            security=self._security,
            rng=self._rng,
            on_crash=weakly(self._crashed),
            on_transaction_state=weakly(self._transaction_moved),
            telemetry=collector_of(weakref.WeakMethod(self.metrics)),
            make_cluster=make_cluster,
        )

    async def close(self, timeout: float | None = None) -> CloseReport:
        """Deliver what is queued within ``timeout`` seconds, fail the rest, end all tasks.

        The default is the delivery timeout plus a second; 0 fails everything at once. What is
        still open then fails with :exc:`ProducerClosedError`, is counted as abandoned in the
        report and logged. Calling it again waits for the same end, and may bring it nearer: with 0
        it forces. Cancelling abandons the wait: the producer goes on closing within its timeout. A
        second cancellation, of this or another call, forces.
        """
        check_timeout(timeout)
        return await self._begin_close(timeout).wait()

    def _begin_close(self, timeout: float | None) -> Closing:
        limit = self._default_flush_timeout() if timeout is None else timeout
        if self._closing is not None:
            if timeout is not None:
                self._closing.hasten(limit)
            return self._closing
        if self._bound_loop is not None and self._bound_loop is not get_running_loop():
            raise WrongLoopError("close() was called from another event loop than start()")
        self._state = transition(self._state, LifeEvent.CLOSE)
        self._unbind()
        self._closing = Closing(self._close(limit), self._hasten, name=f"{self.client_id}:close")
        return self._closing

    def _hasten(self, timeout: float) -> None:
        if self._engine is not None:
            self._engine.hasten(timeout)

    async def _close(self, timeout: float) -> CloseReport:
        report = CloseReport()
        try:
            if self._engine is not None:
                report = await self._engine.close(timeout)
            elif self._chain is not None:
                await self._chain.close_unused()
        finally:
            self._state = transition(self._state, LifeEvent.ENDED)
            for drain in self._drains:
                drain.uninstall()
            for watcher in self._watchers:
                if not watcher.done():
                    watcher.set_result(None)
        return report

    def install_signal_drain(
        self, signals: Iterable[int] = (signal.SIGTERM,), *, timeout: float | None = None
    ) -> SignalDrain:
        """Have the producer closed when the process gets one of ``signals``.

        The first closes it as ``close(timeout)`` does, a second forces; what was abandoned is
        logged. ``timeout`` is in seconds, the default that of ``close()``: choose less than what
        the container is given to end. From the first signal on ``send()`` raises
        :exc:`ProducerClosedError`; the application learns of it by ``wait()`` or ``received`` of
        what is returned. When the producer is closed, however that came, the signals go back to
        whoever handled them before. Those who handle signals themselves call ``close()`` there.

        Raises :exc:`ProducerStateError` outside the main thread, where the event loop cannot
        handle signals, as on Windows, and where the application had it handle one of them.
        """
        check_timeout(timeout)
        self._require_engine()
        limit = self._default_flush_timeout() if timeout is None else timeout
        drain = SignalDrain(signals, self._begin_close, limit, self.client_id)
        self._drains.append(drain)
        return drain

    async def __aenter__(self) -> Self:
        """Start as ``start()`` does, to be cancelled like it, and return the producer."""
        await self.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close as ``close()`` does, and leave no sooner than that is over.

        Cancelling is put off until then: the producer is closed when the block is left. If the
        block itself was left by a cancellation that is the first one, and the next forces.
        """
        await self._begin_close(None).wait_through(exc)

    def __del__(self) -> None:
        if getattr(self, "_state", None) is LifeState.RUNNING and self._loop is NO_LOOP:
            # The copy in a forked child: its loop and sockets are the parent's.
            return
        if getattr(self, "_state", None) in (LifeState.RUNNING, LifeState.FAILED):
            warnings.warn(
                f"{self!r} was not closed; records may be lost",
                ResourceWarning,
                stacklevel=1,
                source=self,
            )
            if self._engine is not None:
                self._engine.forgotten(self._default_flush_timeout())

    def __repr__(self) -> str:
        return f"<AsyncProducer {self.client_id} {self._state.value}>"

    # Sending

    if TYPE_CHECKING:
        # SendPath has it, with its docstring; this gives the types of key and value.
        def send(
            self,
            topic: str,
            value: V | None = None,
            *,
            key: K | None = None,
            partition: int | None = None,
            timestamp_ms: int | None = None,
            headers: Sequence[Header] = (),
            timeout: float | None = None,
        ) -> Delivery: ...

    def _send_any(
        self,
        topic: str,
        value: Any,
        key: Any,
        partition: int | None,
        timestamp_ms: int | None,
        headers: Sequence[Header],
        timeout: float | None,
    ) -> Delivery:
        check_timeout(timeout)
        delivery = self._send(topic, value, key, partition, timestamp_ms, headers, False, True)
        if timeout is not None:
            engine = self._require_engine()
            fail_after(delivery, timeout, engine.feed, engine.watch, engine.trouble)
        return delivery

    def try_send(
        self,
        topic: str,
        value: V | None = None,
        *,
        key: K | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        headers: Sequence[Header] = (),
    ) -> Delivery:
        """Queue one record as ``send()`` does, or refuse at once instead of letting it wait.

        Raises :exc:`BufferExhaustedError` without room, :exc:`MetadataNotReadyError` while the
        topic or partition is unknown (``warm_up()`` sees to that), :exc:`SerializerNotReadyError`
        where a serializer has to wait, its own or an earlier record's, and for misuse as
        ``send()``.
        """
        return self._send(topic, value, key, partition, timestamp_ms, headers, False, False)

    async def send_and_wait(
        self,
        topic: str,
        value: V | None = None,
        *,
        key: K | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        headers: Sequence[Header] = (),
        timeout: float | None = None,
    ) -> RecordMetadata:
        """Send one record without lingering and return its metadata.

        Takes one round trip: its batch is ready at the end of the loop's turn. Arguments and
        errors are those of ``send()``; the record's :exc:`ProducerError` is raised. Cancelling
        withdraws the record while it waits for room, else abandons the wait only.
        """
        check_timeout(timeout)
        delivery = self._send(topic, value, key, partition, timestamp_ms, headers, True, True)
        if timeout is not None:
            engine = self._require_engine()
            fail_after(delivery, timeout, engine.feed, engine.watch, engine.trouble)
        return await delivery

    def _send(
        self,
        topic: str,
        value: Any,
        key: Any,
        partition: int | None,
        timestamp_ms: int | None,
        headers: Sequence[Header],
        expedite: bool,
        may_wait: bool,
        intercepted: bool = False,
    ) -> Delivery:
        engine = self._engine
        if engine is None or _get_running_loop() is not self._loop:
            raise self._misuse()
        if self._chain is not None and not intercepted:
            headers = check_options(partition, timestamp_ms, headers)
            record = Record(check_topic(topic), value, key, partition, timestamp_ms, headers)
            return self._send_intercepted(self._chain, record, expedite, may_wait)
        if topic.__class__ is not str or not engine.intake.knows(topic):
            topic = check_topic(topic)
        if partition is not None or timestamp_ms is not None or headers != ():
            headers = check_options(partition, timestamp_ms, headers)
        try:
            if engine.transactions is not None:
                engine.transactions.require_open()
            key_bytes, value_bytes = self._serialized(key, value, topic, headers)
        except TransactionStateError:
            raise
        except MoreThanBytes as more:
            return engine.intake.accept_answers(
                topic, more.key, more.value, partition, timestamp_ms, headers,
                key, value, expedite, may_wait,
            )  # fmt: skip
        except ProducerError as error:
            record = Record(topic, value, key, partition, timestamp_ms, headers)
            return engine.ledger.refuse(record, error)
        return engine.intake.accept(
            topic, key_bytes, value_bytes, partition, timestamp_ms, headers,
            key, value, expedite, may_wait,
        )  # fmt: skip

    def _send_intercepted(
        self, chain: InterceptorChain, given: Record[Any, Any], expedite: bool, may_wait: bool
    ) -> Delivery:
        record = chain.on_send(given)
        try:
            delivery = self._send(
                record.topic, record.value, record.key, record.partition, record.timestamp_ms,
                record.headers, expedite, may_wait, intercepted=True,
            )  # fmt: skip
        except Exception as error:
            chain.refused(record, error)
            raise
        chain.sent(record, delivery)
        return delivery

    def _serialized(
        self, key: Any, value: Any, topic: str, headers: Sequence[Header]
    ) -> tuple[bytes | None, bytes | bytearray | memoryview | None]:
        if self._serialize_key is not None:
            key = self._serialize_key(key, topic, headers)
        if self._serialize_value is not None:
            try:
                value = self._serialize_value(value, topic, headers)
            except ProducerError:
                let_go(key)
                raise
        if key is not None and type(key) is not bytes:
            if type(key) is Answer:
                raise MoreThanBytes.of(key, value)
            key = bytes(as_buffer(key, "key"))
        if value is not None and type(value) is not bytes:
            if type(value) is Answer:
                raise MoreThanBytes.of(key, value)
            value = as_buffer(value, "value")
        return key, value

    async def serialize(
        self,
        topic: str,
        value: V | None = None,
        *,
        key: K | None = None,
        headers: Sequence[Header] = (),
    ) -> Record[bytes, bytes]:
        """Return the record that ``send()`` would make of these: what the serializers give.

        Sends nothing. Raises :exc:`SerializationError`, and :exc:`TypeError` or :exc:`ValueError`
        for misuse. Waits for as long as the serializers do; cancelling cancels them.
        """
        headers = check_options(None, None, headers)
        topic = check_topic(topic)
        try:
            key_bytes, value_bytes = self._serialized(key, value, topic, headers)
        except MoreThanBytes as more:
            key_bytes, value_bytes = await both_of(more)
            headers = with_headers(headers, more.key, more.value)
        plain = None if value_bytes is None else bytes(value_bytes)
        return Record(topic, plain, key_bytes, headers=tuple(headers))

    async def send_many(
        self,
        records: Iterable[Record[K, V]] | AsyncIterable[Record[K, V]],
        *,
        timeout: float | None = None,
    ) -> SendManyResult:
        """Send records as fast as there is room for them and return every one's outcome.

        ``records`` is read lazily, with back-pressure. A record that fails, or cannot even be
        queued, fails alone: its error stands in the result at its place. After ``timeout``
        seconds what is still open counts as failed, with ``persisted="maybe"`` if it was on its
        way, and the rest of ``records`` is not read. Raises what ``records`` itself raises,
        :exc:`TypeError` if it is no iterable, and :exc:`ProducerClosedError` if the producer is
        closed meanwhile.

        Cancelling withdraws the records that still wait for room; the others are delivered.
        """
        check_timeout(timeout)
        engine = self._require_engine()
        return await send_all(
            records,
            self.send,
            self._catch_up,
            engine.intake.expedite_everything,
            engine.watch,
            engine.trouble,
            timeout,
        )

    # Waiting

    async def drain(self, timeout: float | None = None) -> None:
        """Let the producer catch up; call it in a loop around ``send()``.

        Returns at once while there is room, but gives the loop a turn after each ``batch.size``
        bytes or millisecond, so that a synchronous source cannot starve the sockets. Raises
        :exc:`ProducerTimeoutError` if there is still no room after ``timeout`` seconds (default:
        ``max.block.ms``). Cancelling abandons the wait only.
        """
        check_timeout(timeout)
        engine = self._require_engine()
        if not engine.intake.needs_drain(self._last_turn):
            return
        await self._give_turn(engine)
        limit = self._default_block_timeout(timeout)
        if not engine.admission.is_crowded:
            return
        try:
            async with engine.watch.timeout(limit):
                await engine.admission.uncrowded()
        except TimeoutError as error:
            cause = engine.trouble()
            raise ProducerTimeoutError(
                f"records still waited for room or metadata after {limit:g} s{because(cause)}"
            ) from (cause or error)

    async def _catch_up(self) -> None:
        """Drain without a bound of its own: each record that waits has one."""
        engine = self._require_engine()
        if engine.intake.needs_drain(self._last_turn):
            await self._give_turn(engine)
            await engine.admission.uncrowded()

    async def _give_turn(self, engine: Engine) -> None:
        await asyncio.sleep(0)
        engine.intake.turn_given()
        self._last_turn = get_running_loop().time()

    async def flush(self, timeout: float | None = None) -> None:
        """Send everything queued so far without lingering, and wait until all of it is settled.

        Never raises a record's failure; that stands in its Delivery. Raises
        :exc:`FlushTimeoutError` after ``timeout`` seconds (default: the delivery timeout plus a
        second). Cancelling abandons the wait only. Records sent meanwhile are not waited for.
        """
        check_timeout(timeout)
        engine = self._require_engine()
        limit = self._default_flush_timeout() if timeout is None else timeout
        still_open = await engine.flush(limit)
        if still_open:
            cause = engine.trouble()
            places = sorted(set(still_open))
            raise FlushTimeoutError(
                f"{len(still_open)} batches or waiting records were still open after {limit:g} s:"
                f" {', '.join(places[:5])}{', ...' if len(places) > 5 else ''}{because(cause)}"
            ) from cause

    def expedite(self) -> None:
        """Let nothing linger that was sent so far, as ``flush()`` does, but wait for nothing."""
        self._require_engine().intake.expedite_everything()

    # The cluster

    async def partitions_for(
        self, topic: str, *, timeout: float | None = None
    ) -> tuple[PartitionInfo, ...]:
        """Return the topic's partitions, waiting for its metadata for up to ``timeout`` seconds.

        The default is ``max.block.ms``. A topic that is not there is created by the brokers if
        they and ``allow_auto_create_topics`` allow it. Raises :exc:`MetadataTimeoutError`, or the
        cluster's own error for a topic that may not be used. Cancelling abandons the wait only.
        """
        check_timeout(timeout)
        engine = self._require_engine()
        name = check_topic(topic)
        return await engine.topics.partitions(name, self._default_block_timeout(timeout))

    def known_partitions(self, topic: str) -> tuple[PartitionInfo, ...]:
        """Return the topic's partitions as far as they are known now; asks nobody, never waits."""
        return self._require_engine().topics.known_partitions(topic)

    async def warm_up(self, topics: Iterable[str], *, timeout: float | None = None) -> None:
        """Fetch the metadata of ``topics`` and connect to their leaders.

        So that the first record of each does not pay for it, and ``try_send()`` takes it. Raises
        as ``partitions_for()``, and :exc:`ClusterConnectionError` if a leader cannot be reached.
        Cancelling abandons the wait only.
        """
        check_timeout(timeout)
        names = check_topics(topics)
        engine = self._require_engine()
        await engine.topics.warm_up(names, self._default_block_timeout(timeout))

    def partition_for(self, topic: str, key: K) -> int:
        """Return the partition that a record with ``key`` goes to, as the Java client's would.

        An own partitioner is asked, with the key alone. Raises :exc:`MetadataNotReadyError` while
        the topic is unknown, :exc:`SerializationError` or :exc:`PartitionerError` where those fail,
        and :exc:`TypeError` or :exc:`ValueError` for a key that is no bytes or ``None``.
        """
        engine = self._require_engine()
        if key is None:
            raise ValueError("a null key has no partition of its own")
        serialize = self._serialize_key
        key_bytes = serialize(key, topic, ()) if serialize is not None else as_buffer(key, "key")
        if isinstance(key_bytes, Answer):
            if key_bytes.is_later:
                key_bytes.discard()
                raise SerializerNotReadyError("the key's serializer has to wait", topic=topic)
            key_bytes = key_bytes.now("key")
        if key_bytes is None:
            raise ValueError("a null key has no partition of its own")
        return engine.intake.partition_of(check_topic(topic), bytes(key_bytes), key)

    def failures(self) -> FailureReader:
        """Return an async iterator of every record that finally fails from now on.

        For those who do not await each Delivery. It holds up to 10 000 unread failures and counts
        in ``dropped`` what it had to let go; it ends once the producer is closed. While one is
        held, failures are not reported to the loop's exception handler. Cancelling a wait for the
        next one loses none.
        """
        return self._require_engine().feed.reader()

    def on_late_result(self, hook: Callable[[LateResult], object] | None) -> None:
        """Have ``hook`` called with what becomes of records whose waiter gave up.

        That is: a Delivery that was cancelled, or failed by ``send(timeout=)``, while its record
        was on its way. The loop calls ``hook`` soon after the outcome is known; ``None`` ends it.
        """
        if hook is not None and not callable(hook):
            raise TypeError(f"hook must be a function or None, not {type(hook).__name__}")
        self._require_engine().feed.on_late_result = hook

    def metrics(self) -> MetricsSnapshot:
        """Return a snapshot of all metrics; docs/reference/metrics.md describes each.

        It may be asked for before ``start()`` and after ``close()``.
        """
        return take_snapshot(self._engine, self.client_id, self._registered)

    async def watch_metrics(self, interval: float = 10.0) -> AsyncIterator[MetricsSnapshot]:
        """Yield a snapshot at once and then every ``interval`` seconds, for ``async for``.

        Ends after a last snapshot when the producer is closed. Raises :exc:`ValueError` unless
        ``interval`` is a positive number of seconds. Cancelling ends the watch alone.
        """
        if not 0 < interval < math.inf:
            raise ValueError(f"interval must be a positive number of seconds, not {interval!r}")
        self._require_engine()
        ended = get_running_loop().create_future()
        self._watchers.add(ended)
        try:
            while not ended.done():
                yield self.metrics()
                await asyncio.wait([ended], timeout=interval)
        finally:
            self._watchers.discard(ended)
        yield self.metrics()

    def diagnose(self, thresholds: Thresholds | Mapping[str, float] | None = None) -> Diagnosis:
        """Return what is not well by the figures of the last minute or so, worst first.

        Each finding has its figure, the threshold, the likely causes and the settings to change;
        ``print(producer.diagnose())`` is a report. ``thresholds`` change the limits, by name where
        it is a mapping. Raises :exc:`ConfigurationError` for an unknown name or a value out of its
        range. Costs a snapshot and asks nobody.
        """
        from aioproducer.observe.findings import Diagnosis, Facts, find
        from aioproducer.observe.thresholds import Thresholds

        limits = Thresholds.of(thresholds)
        config, snapshot = self.config, self.metrics()
        facts = Facts(
            snapshot, limits, config.linger_ms, config.batch_size, config.compression_type,
            config.max_in_flight_requests_per_connection,
            config.metrics_num_samples * config.metrics_sample_window_ms / 1000,
            frozenset() if self._engine is None else self._engine.intake.sticky_topics(),
        )  # fmt: skip
        return Diagnosis(find(facts), snapshot)

    def health(self) -> Health:
        """Return whether the producer lives and is ready, for the probes of containers.

        Cheap: it asks nobody. It may be asked in every state.
        """
        return judge_health(self._state, self._engine)

    async def client_instance_id(self, *, timeout: float | None = None) -> uuid.UUID:
        """Return the id under which brokers know this producer's metrics (KIP-714).

        Waits for a broker to give it, for up to ``timeout`` seconds, by default ``max.block.ms``.
        Raises :exc:`ProducerTimeoutError` then, and :exc:`ProducerStateError` where brokers collect
        no metrics or ``enable.metrics.push`` is off. Cancelling abandons the wait only.
        """
        check_timeout(timeout)
        telemetry = self._require_engine().telemetry
        if telemetry is None:
            raise ProducerStateError(
                "enable.metrics.push is off: brokers give no instance id",
                what_next="Leave enable.metrics.push on to have one.",
            )
        return await telemetry.instance_id(self._default_block_timeout(timeout))

    def register_metric(
        self,
        name: str,
        read: Callable[[], float],
        *,
        kind: Kind = Kind.GAUGE,
        unit: str = "1",
        description: str = "",
    ) -> None:
        """Add a metric of the application's own to every snapshot, and so to what is exported.

        Args:
            name: lower-case words with hyphens, as ``dead-letter-total``.
            read: called for each snapshot; what it raises makes the value NaN.
            kind: ``Kind.TOTAL`` for what only grows, ``Kind.GAUGE`` for the rest.
            unit: what is counted, as ``records`` or ``ms``.
            description: a sentence.

        Raises :exc:`ValueError` for a name that is not so, or is taken. Follows
        KafkaProducer.registerMetricForSubscription (KIP-1076).
        """
        if not _METRIC_NAME.fullmatch(name):
            raise ValueError(f"a metric's name is lower-case words with hyphens, not {name!r}")
        if kind not in (Kind.TOTAL, Kind.GAUGE):
            raise ValueError(f"a metric of the application is a TOTAL or a GAUGE, not {kind}")
        taken = {metric.name for metric in METRICS} | {each.name for each in self._registered}
        if name in taken:
            raise ValueError(f"there is a metric {name} already")
        self._registered[Registered(name, kind, unit, description)] = read

    def unregister_metric(self, name: str) -> None:
        """Take a metric of the application's own out again; an unknown name raises ValueError."""
        for each in self._registered:
            if each.name == name:
                del self._registered[each]
                return
        raise ValueError(f"no metric {name} was registered")

    # Helpers

    def _transaction_moved(self, state: TransactionState) -> None:
        # The short path of send() is there while records can be taken, and only then.
        if self._takes_plain and state is TransactionState.IN_TRANSACTION:
            assert self._engine is not None
            self._plain = self._engine.intake
        else:
            self._plain = None

    def _default_block_timeout(self, timeout: float | None) -> float:
        return self.config.max_block_ms / 1000 if timeout is None else timeout

    def _default_flush_timeout(self) -> float:
        return self.config.delivery_timeout_ms / 1000 + 1

    def _require_engine(self) -> Engine:
        if self._engine is None or _get_running_loop() is not self._loop:
            raise self._misuse()
        return self._engine

    def _misuse(self) -> ProducerStateError:
        """Say what is wrong with the producer's state or the caller's loop."""
        if self._state is LifeState.NEW:
            return NotStartedError("start the producer first: await start(), or async with")
        if self._state is LifeState.FAILED and self._engine is not None:
            failure = ProducerStateError(
                "a background task of this producer died", what_next=AFTER_A_CRASH
            )
            failure.__cause__ = self._engine.crash
            return failure
        if self._state is not LifeState.RUNNING:
            return ProducerClosedError(f"the producer is {self._state.value}")
        return WrongLoopError(
            "the producer was started in another event loop; other loops, threads and forked"
            " processes need a producer of their own"
        )

    def _crashed(self) -> None:
        # From now on the one comparison of send() fails, and _misuse() tells why.
        self._unbind()
        if self._state is LifeState.RUNNING:
            self._state = transition(self._state, LifeEvent.CRASH)
