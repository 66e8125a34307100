"""FakeProducer: an AsyncProducer whose cluster is an object in memory."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Generic, TypeVar, Unpack, cast, overload

from aioproducer.checks import check_topic
from aioproducer.config_profiles import ProfileName
from aioproducer.core.lifecycle import LifeState
from aioproducer.core.partitioner import Partitioner
from aioproducer.core.transaction import TransactionState
from aioproducer.delivery import Delivery
from aioproducer.errors import ProducerError
from aioproducer.options import ProducerOptions
from aioproducer.producer import AsyncProducer
from aioproducer.records import CloseReport, Header, OffsetAndMetadata, Record, TopicPartition
from aioproducer.runtime.engine import Engine
from aioproducer.serializers import SerializerOf
from aioproducer.testing.fake.broker import FakeBroker
from aioproducer.testing.fake.cluster import FakeCluster
from aioproducer.testing.fake.history import SentRecord, StoredRecord, TransactionEnd
from aioproducer.testing.fake.injected import InjectedErrors, is_raised_by_send, suffer

logger = logging.getLogger("aioproducer.testing")

K = TypeVar("K")
V = TypeVar("V")

_ADDRESS = "fake:9092"
_ALSO_SEND = frozenset({"try_send", "send_and_wait"})


class FakeProducer(AsyncProducer[K, V], Generic[K, V]):
    """An :class:`AsyncProducer` for unit tests: no network, and the test decides what comes back.

    It is the producer itself, down to where requests would be written: configuration, serializers,
    partitioners, interceptors, the waiting room, timeouts and the states of transactions are the
    real ones. Instead of a cluster there is an object in memory that keeps what arrives. Records
    are not batched, and nothing lingers.

    Takes what :class:`AsyncProducer` takes; ``bootstrap_servers`` may be left out. Beside that:

    Args:
        auto_complete: acknowledge each record in the next turn of the loop; if false that is left
            to ``complete_next()`` and ``error_next()``, and ``flush()``, commit, abort and
            ``close()`` wait for it, as they would for a broker.
        topics: how many partitions each topic has.
        default_partitions: that of all other topics; with 0 there are none.

    Follows MockProducer of Kafka's Java client.
    """

    @overload
    def __init__(
        self: FakeProducer[bytes, bytes],
        bootstrap_servers: str | Sequence[str] | None = None,
        *,
        auto_complete: bool = True,
        topics: Mapping[str, int] | None = None,
        default_partitions: int = 1,
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
        self: FakeProducer[bytes, V],
        bootstrap_servers: str | Sequence[str] | None = None,
        *,
        auto_complete: bool = True,
        topics: Mapping[str, int] | None = None,
        default_partitions: int = 1,
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
        self: FakeProducer[K, bytes],
        bootstrap_servers: str | Sequence[str] | None = None,
        *,
        auto_complete: bool = True,
        topics: Mapping[str, int] | None = None,
        default_partitions: int = 1,
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
        self,
        bootstrap_servers: str | Sequence[str] | None = None,
        *,
        auto_complete: bool = True,
        topics: Mapping[str, int] | None = None,
        default_partitions: int = 1,
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
        auto_complete: bool = True,
        topics: Mapping[str, int] | None = None,
        default_partitions: int = 1,
        config: Mapping[str, object] | None = None,
        key_serializer: object = None,
        value_serializer: object = None,
        partitioner: str | Partitioner | None = None,
        interceptors: Sequence[object] = (),
        profile: ProfileName | None = None,
        **options: Unpack[ProducerOptions],
    ) -> None:
        if bootstrap_servers is None and not {"bootstrap.servers", "bootstrap_servers"} & set(
            config or ()
        ):
            bootstrap_servers = _ADDRESS
        super().__init__(
            bootstrap_servers,
            config=config,
            # As the overloads above have it; this one is for all of them.
            key_serializer=cast("SerializerOf[K] | None", key_serializer),
            value_serializer=cast("SerializerOf[V] | None", value_serializer),
            partitioner=partitioner,
            interceptors=interceptors,
            profile=profile,
            **options,
        )
        self._broker = FakeBroker(topics or {}, default_partitions, auto_complete=auto_complete)
        self._errors = InjectedErrors()
        self._history: list[SentRecord[K, V]] = []
        # Cleared from the history, and still to be completed.
        self._cleared: list[SentRecord[K, V]] = []
        self._ending: TransactionEnd | None = None

    # What the test looks at

    @property
    def history(self) -> tuple[SentRecord[K, V], ...]:
        """Every record given to ``send()`` and its kin, oldest first, failed ones included."""
        return tuple(self._history)

    @property
    def committed(self) -> tuple[SentRecord[K, V], ...]:
        """The acknowledged records that those who read committed see."""
        visible = self._broker.book.is_visible
        return tuple(
            sent
            for sent in self._history
            if visible(sent.transaction) and sent.state == "acknowledged"
        )

    @property
    def uncommitted(self) -> tuple[SentRecord[K, V], ...]:
        """The records of the open transaction."""
        current = self._broker.book.current
        if current is None:
            return ()
        return tuple(sent for sent in self._history if sent.transaction == current)

    def log(
        self, topic: str, partition: int | None = None, *, committed: bool = False
    ) -> tuple[StoredRecord, ...]:
        """Return what a consumer would read: the acknowledged records as bytes, with offsets.

        Of all partitions in their order unless one is named; with ``committed`` only what those
        who read committed see.
        """
        visible = self._broker.book.is_visible
        return tuple(
            record
            for place in sorted(self._broker.logs)
            if place.topic == topic and partition in (None, place.partition)
            for record in self._broker.logs[place]
            if not committed or visible(record.transaction)
        )

    @property
    def committed_offsets(self) -> dict[str, dict[TopicPartition, OffsetAndMetadata]]:
        """The consumer offsets of committed transactions, by group."""
        return {group: dict(offsets) for group, offsets in self._broker.offsets.items()}

    @property
    def uncommitted_offsets(self) -> dict[str, dict[TopicPartition, OffsetAndMetadata]]:
        """The consumer offsets given to the open transaction, by group."""
        return {group: dict(offsets) for group, offsets in self._broker.pending_offsets.items()}

    @property
    def commit_count(self) -> int:
        """How many transactions were committed."""
        return self._broker.book.count(TransactionEnd.COMMITTED)

    @property
    def abort_count(self) -> int:
        """How many transactions were aborted."""
        return self._broker.book.count(TransactionEnd.ABORTED)

    @property
    def outstanding(self) -> int:
        """How many records are neither acknowledged nor failed, cleared ones included."""
        return len(self._outstanding())

    @property
    def flushed(self) -> bool:
        """Whether nothing is outstanding."""
        return self.outstanding == 0

    @property
    def closed(self) -> bool:
        """Whether ``close()`` is done."""
        return self.state is LifeState.CLOSED

    def clear(self) -> None:
        """Forget history, logs and injected errors; offsets go on, and so do transactions.

        What is outstanding stays so: it can be completed, and :attr:`flushed` waits for that.
        """
        self._cleared = self._outstanding()
        self._history.clear()
        self._broker.logs.clear()
        self._errors.clear()

    def _outstanding(self) -> list[SentRecord[K, V]]:
        every = (*self._cleared, *self._history)
        return [sent for sent in every if sent.state == "outstanding"]

    # What the test decides

    def complete_next(self) -> bool:
        """Acknowledge the oldest outstanding record; return whether there was one."""
        return self._broker.complete_next()

    def complete_all(self) -> int:
        """Acknowledge all outstanding records and return how many there were."""
        return self._broker.complete_all()

    def error_next(self, error: ProducerError | type[ProducerError]) -> bool:
        """Fail the oldest outstanding record with ``error``; return whether there was one.

        That is its final outcome: what the real producer would repeat is not repeated.
        """
        return self._broker.error_next(_instance(error))

    def fail_next(self, method: str, error: Exception | type[Exception], *, times: int = 1) -> None:
        """Have the next calls of ``method`` fail with ``error`` before they do anything.

        ``"send"`` stands for every way to send a record, and fails the Delivery, unless ``error``
        is one that ``send()`` or ``try_send()`` raises. After a fatal error of a transactional call
        the producer is unusable, after others of a commit the transaction has to be aborted, as
        with a real one. Raises :exc:`ValueError` for what is no method that can fail.
        """
        if method in _ALSO_SEND:
            raise ValueError(f"{method} sends records: name 'send', which stands for every way")
        if method not in INJECTABLE:
            raise ValueError(f"{method!r} is none of {', '.join(sorted(INJECTABLE))}")
        if times < 1:
            raise ValueError(f"times must be 1 or more, not {times}")
        self._errors.add(method, error() if isinstance(error, type) else error, times)

    def fence_producer(self) -> None:
        """Let a newer producer with the same transactional id take over.

        As with a real cluster: records fail with :exc:`InvalidProducerEpochError`, which makes
        their transaction abortable, and its end with :exc:`ProducerFencedError`, which is for good.
        Raises :exc:`TransactionStateError` without ``transactional_id``.
        """
        self._require_transactions()
        self._broker.fenced = True

    def set_partitions(self, topic: str, count: int) -> None:
        """Make a topic, or give it more partitions."""
        self._broker.set_partitions(topic, count)
        if self._engine is not None and topic in self._engine.cluster.view.topics:
            self._cluster.learn(topic)

    # What is different from a real producer

    async def start(self, *, initialize: bool = True) -> None:
        """Start as :meth:`AsyncProducer.start` does."""
        await super().start(initialize=False)
        # Every record is to pass by here.
        self._takes_plain = False
        self._plain = None
        self._cluster.arrive()
        if initialize and self.config.transactional_id is not None:
            try:
                await self.init_transactions()
            except BaseException:
                await self.close(0)
                raise

    def _make_engine(self, *_: Any) -> Engine:
        config = replace(
            self.config,
            # A batch for each record, which is then answered on its own.
            batch_size=1,
            linger_ms=0,
            linger_adaptive=False,
            compression_type="none",
            # With sequences one failure would hold up what follows it until a new epoch is had.
            enable_idempotence=False,
            partition_ordering=False,
            enable_metrics_push=False,
        )
        return super()._make_engine(config, partial(FakeCluster, self._broker))

    @property
    def _cluster(self) -> FakeCluster:
        return cast("FakeCluster", self._require_engine().cluster)

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
        send = partial(
            super()._send,
            topic, value, key, partition, timestamp_ms, headers, expedite, may_wait, intercepted,
        )  # fmt: skip
        if self._chain is not None and not intercepted:
            # It comes back with what the interceptors made of the record.
            return send()
        engine = self._require_engine()
        name = check_topic(topic)
        record: Record[Any, Any] = Record(name, value, key, partition, timestamp_ms, headers)
        error = self._errors.next("send")
        if error is None:
            self._cluster.learn(name)
            delivery = send()
        elif is_raised_by_send(error, may_wait=may_wait):
            raise error
        else:
            delivery = engine.ledger.refuse(record, cast("ProducerError", error))
        self._history.append(SentRecord(record, delivery, self._broker.book.current))
        self._broker.take()
        return delivery

    def _transaction_moved(self, state: TransactionState) -> None:
        book = self._broker.book
        if state is TransactionState.IN_TRANSACTION:
            book.begin()
        elif state is TransactionState.COMMITTING:
            self._ending = TransactionEnd.COMMITTED
        elif state is TransactionState.ABORTING:
            self._ending = TransactionEnd.ABORTED
        elif state is TransactionState.FATAL_ERROR:
            book.end(TransactionEnd.LOST)
        elif state is TransactionState.ABORTABLE_ERROR:
            self._ending = None
        elif self._ending is not None:
            book.end(self._ending)
            self._ending = None
        super()._transaction_moved(state)

    async def _close(self, timeout: float) -> CloseReport:
        if timeout and self.outstanding and not self._broker.auto_complete:
            logger.warning(
                "[%s] close() waits for %d records that the test has not completed",
                self.client_id,
                self.outstanding,
            )
        return await super()._close(timeout)

    def __repr__(self) -> str:
        return f"<FakeProducer {self.client_id} {self.state.value}>"


def _instance(error: ProducerError | type[ProducerError]) -> ProducerError:
    made = error() if isinstance(error, type) else error
    if not isinstance(made, ProducerError):
        raise TypeError(f"a Delivery fails with a ProducerError, not with {made!r}")
    return made


def _may_fail(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``method`` with the errors in its way that a test puts there."""

    def strike(producer: FakeProducer[Any, Any]) -> None:
        error = producer._errors.next(name)
        if error is None:
            return
        engine = producer._engine
        if engine is not None and engine.transactions is not None:
            suffer(engine.transactions, name, error)
        raise error

    @functools.wraps(method)
    async def later(self: FakeProducer[Any, Any], *args: Any, **named: Any) -> Any:
        strike(self)
        return await method(self, *args, **named)

    @functools.wraps(method)
    def now(self: FakeProducer[Any, Any], *args: Any, **named: Any) -> Any:
        strike(self)
        return method(self, *args, **named)

    return later if inspect.iscoroutinefunction(method) else now


def _methods() -> list[str]:
    return [
        name
        for name in dir(AsyncProducer)
        if not name.startswith("_") and not isinstance(getattr(AsyncProducer, name), property)
    ]


INJECTABLE = frozenset(_methods()) - _ALSO_SEND
"""What ``fail_next()`` takes."""

for _name in INJECTABLE - {"send"}:
    setattr(FakeProducer, _name, _may_fail(_name, getattr(FakeProducer, _name)))
