"""TransactionalProducerPool: a transaction for each task that wants one, at the same time."""

from __future__ import annotations

import asyncio
import logging
import random
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, Unpack, overload

from aioproducer import (
    AsyncProducer,
    ConfigurationError,
    Partitioner,
    ProducerClosedError,
    ProducerError,
    Transaction,
    TransactionTimeoutError,
)
from aioproducer.config_profiles import ProfileName
from aioproducer.options import ProducerOptions
from aioproducer.patterns.pool_members import Member, Members
from aioproducer.patterns.retry_rules import may_run_again, pause_before
from aioproducer.patterns.waiting_line import WaitingLine
from aioproducer.serializers import SerializerOf

logger = logging.getLogger("aioproducer")

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")

# What close() allows producers that are still in use, for aborting what is open.
_GRACE = 1.0


class _RunAgainError(Exception):
    """The transaction is surely not committed, and may succeed when all of it is run again."""

    def __init__(self, error: ProducerError) -> None:
        super().__init__(error)
        self.error = error


class TransactionalProducerPool(Generic[K, V]):
    """Transactional producers that tasks share, each used by one task at a time.

    A producer has one open transaction at most; a pool has up to ``max_size``. Use it as
    ``async with TransactionalProducerPool("host:9092", prefix="orders-tx-") as pool``. Producers
    are started when they are needed first, are used again, and are replaced when they are fenced
    or fail for good.

    ``transactional_id`` is ``prefix``, then ``instance_id`` and ``-``, then the producer's number,
    from 0. With an ``instance_id`` that outlives a restart, such as the name of a StatefulSet's
    pod, a restarted process fences the producers of its former self, so that what they left open
    is aborted at once. Two living pools must not have the same. Without one it is random: nobody
    is ever fenced, but what a crash leaves open holds up readers that read committed for up to
    ``transaction.timeout.ms``, and the brokers remember the ids of every run for
    ``transactional.id.expiration.ms``.

    All other arguments are those of :class:`AsyncProducer`; serializers and an own partitioner
    are shared by all. Raises :exc:`ConfigurationError` for what is wrong with them.
    """

    @overload
    def __init__(
        self: TransactionalProducerPool[bytes, bytes],
        bootstrap_servers: str | Sequence[str] | None = None,
        *,
        prefix: str,
        max_size: int = 10,
        instance_id: str | None = None,
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
        self: TransactionalProducerPool[K, bytes],
        bootstrap_servers: str | Sequence[str] | None = None,
        *,
        prefix: str,
        max_size: int = 10,
        instance_id: str | None = None,
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
        self: TransactionalProducerPool[bytes, V],
        bootstrap_servers: str | Sequence[str] | None = None,
        *,
        prefix: str,
        max_size: int = 10,
        instance_id: str | None = None,
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
        prefix: str,
        max_size: int = 10,
        instance_id: str | None = None,
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
        prefix: str,
        max_size: int = 10,
        instance_id: str | None = None,
        config: Mapping[str, object] | None = None,
        **options: Any,
    ) -> None:
        _check(prefix, max_size, instance_id, config, options)
        self.max_size = max_size
        self.prefix = f"{prefix}{uuid.uuid4().hex if instance_id is None else instance_id}-"

        def make(number: int) -> AsyncProducer[K, V]:
            return AsyncProducer(
                bootstrap_servers,
                config=config,
                transactional_id=f"{self.prefix}{number}",
                **options,
            )

        # Made and never started: whatever is wrong with the settings is said here.
        self._config = make(0).config
        self._line = WaitingLine(max_size)
        self._members = Members(make, self.prefix)
        self._in_use = 0
        self._nobody_left = asyncio.Event()
        self._closing: asyncio.Task[None] | None = None
        self._rng = random.Random()

    # What it holds

    @property
    def size(self) -> int:
        """How many producers there are, in use or idle."""
        return len(self._members)

    @property
    def idle(self) -> int:
        """How many of them nobody uses."""
        return self._members.idle

    @property
    def waiting(self) -> int:
        """How many tasks wait for a producer."""
        return self._line.length

    def __repr__(self) -> str:
        state = "open" if self._closing is None else "closed"
        return (
            f"<TransactionalProducerPool {self.prefix}* {state}: {self.size} of {self.max_size},"
            f" {self.idle} idle, {self.waiting} waiting>"
        )

    # Using it

    @asynccontextmanager
    async def producer(self, *, timeout: float | None = None) -> AsyncIterator[AsyncProducer[K, V]]:
        """Lend a producer that no one else uses until the block is left.

        An idle one is taken, else one is started, which takes up to ``max.block.ms``; when
        ``max_size`` are in use, the caller waits behind those that came before. Raises
        :exc:`TransactionTimeoutError` if none is free after ``timeout`` seconds (default:
        ``max.block.ms``), :exc:`ProducerClosedError` once the pool is closed, and what
        :meth:`AsyncProducer.start` raises; the next caller tries anew then. A transaction that is
        still open when the block is left is aborted. Cancelling the wait leaves the line.
        """
        limit = self._config.max_block_ms / 1000 if timeout is None else timeout
        member = await self._acquire(limit)
        try:
            yield member.producer
        finally:
            await self._give_back(member, limit)

    @asynccontextmanager
    async def transaction(
        self, *, timeout: float | None = None
    ) -> AsyncIterator[Transaction[K, V]]:
        """Open a transaction on a producer of the pool: ``async with pool.transaction() as tx``.

        ``timeout`` seconds (default: ``max.block.ms``) bound each of its waits on its own: for a
        producer, and those of :meth:`AsyncProducer.transaction`. Raises what that and
        :meth:`producer` raise; nothing is run again.
        """
        async with (
            self.producer(timeout=timeout) as producer,
            producer.transaction(timeout=timeout) as tx,
        ):
            yield tx

    async def warm_up(self, *, timeout: float | None = None) -> None:
        """Start all ``max_size`` producers.

        With an ``instance_id`` this ends at once whatever an earlier process of that name left
        open, and not only when as many producers are needed. Waits for and raises as
        :meth:`producer`; those started before stay. Cancelling ends it likewise.
        """
        async with AsyncExitStack() as stack:
            for _ in range(self.max_size):
                await stack.enter_async_context(self.producer(timeout=timeout))

    async def execute_in_transaction(
        self,
        fn: Callable[[Transaction[K, V]], Awaitable[T]],
        *,
        attempts: int = 5,
        timeout: float | None = None,
    ) -> T:
        """Await ``fn(tx)``, commit what it sent, and return its result.

        If the transaction fails so that it is surely not committed, ``fn`` is called anew with
        another one, up to ``attempts`` times in all, after pauses that grow from
        ``retry.backoff.ms`` to ``retry.backoff.max.ms``; a producer that was fenced or failed for
        good is replaced before. The last attempt's error is raised. Not run again is what the
        same records would meet again: a value that cannot be serialized or is too large, a topic
        or group that may not be used. Other exceptions of ``fn`` abort and are raised.

        A commit that was not answered is never repeated: the :exc:`TransactionTimeoutError` or
        :exc:`FatalTransactionError` with ``persisted="maybe"`` is raised. What ``fn`` does besides
        sending happens as often as it is called.

        ``timeout`` is that of :meth:`transaction`; getting a producer raises as :meth:`producer`.
        Cancelling aborts while ``fn`` runs; during the commit it abandons the wait only.
        """
        if attempts < 1:
            raise ValueError(f"attempts is 1 or more, not {attempts}")
        config = self._config
        attempt = 1
        while True:
            try:
                return await self._attempt(fn, timeout)
            except _RunAgainError as again:
                error = again.error
            if attempt >= attempts:
                error.add_note(f"attempt {attempt} of {attempts}")
                raise error
            logger.info("[%s*] attempt %d of %d failed: %s", self.prefix, attempt, attempts, error)
            await asyncio.sleep(
                pause_before(
                    attempt, config.retry_backoff_ms, config.retry_backoff_max_ms, self._rng
                )
            )
            attempt += 1

    async def _attempt(
        self, fn: Callable[[Transaction[K, V]], Awaitable[T]], timeout: float | None
    ) -> T:
        committing = False
        async with self.producer(timeout=timeout) as producer:
            try:
                async with producer.transaction(timeout=timeout) as tx:
                    result = await fn(tx)
                    committing = True
            except ProducerError as error:
                if not may_run_again(error, committing=committing):
                    raise
                raise _RunAgainError(error) from error
        return result

    # Lending

    async def _acquire(self, timeout: float) -> Member[K, V]:
        self._require_open()
        try:
            await self._line.take(timeout)
        except TimeoutError as error:
            raise TransactionTimeoutError(
                f"all {self.max_size} producers of the pool were in use for {timeout:g} s",
                what_next="End transactions sooner, or raise max_size.",
            ) from error
        self._in_use += 1
        try:
            return await self._members.take(timeout, self.max_size)
        except BaseException:
            self._leave_place()
            raise

    async def _give_back(self, member: Member[K, V], timeout: float) -> None:
        try:
            await self._members.put_back(member, timeout)
        finally:
            self._leave_place()

    def _leave_place(self) -> None:
        self._in_use -= 1
        if not self._in_use:
            self._nobody_left.set()
        self._line.give()

    # Its end

    async def close(self, timeout: float | None = None) -> None:
        """Close all producers; who waits for one fails with :exc:`ProducerClosedError`.

        Those in use have ``timeout`` seconds to be given back (default: the delivery timeout plus
        a second), then they are closed under their users: within another second what they have
        open is aborted. Calling it again waits for the same end. Cancelling abandons the wait: the
        pool goes on closing.
        """
        if self._closing is None:
            limit = self._config.delivery_timeout_ms / 1000 + 1 if timeout is None else timeout
            self._closing = asyncio.get_running_loop().create_task(
                self._close(limit), name=f"{self.prefix}*:close"
            )
            self._line.refuse(ProducerClosedError("the pool was closed"))
        await asyncio.shield(self._closing)

    async def _close(self, timeout: float) -> None:
        deadline = asyncio.get_running_loop().time() + timeout
        if self._in_use:
            self._nobody_left.clear()
            try:
                async with asyncio.timeout_at(deadline):
                    await self._nobody_left.wait()
            except TimeoutError:
                logger.warning(
                    "[%s*] closed while %d producers were in use", self.prefix, self._in_use
                )
        await self._members.close(_GRACE)

    async def __aenter__(self) -> Self:
        self._require_open()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def _require_open(self) -> None:
        if self._closing is not None:
            raise ProducerClosedError("the pool is closed", what_next="Make a new pool.")


def _check(
    prefix: str,
    max_size: int,
    instance_id: str | None,
    config: Mapping[str, object] | None,
    options: Mapping[str, object],
) -> None:
    wrong = []
    if not prefix:
        wrong.append("prefix is empty; give each service its own")
    if instance_id == "":
        wrong.append("instance_id is empty; leave it out, or give the name of the pod")
    if max_size < 1:
        wrong.append(f"max_size is 1 or more, not {max_size}")
    if "transactional_id" in options or {"transactional.id", "transactional_id"} & set(
        config or ()
    ):
        wrong.append("transactional_id is made of prefix, instance_id and the producer's number")
    if wrong:
        raise ConfigurationError("; ".join(wrong))
