"""A TransactionManager with a coordinator that answers as scripted, and records that wait."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from aioproducer.config import ProducerConfig
from aioproducer.core.producer_identity import ProducerIdentity
from aioproducer.core.transaction import TransactionState
from aioproducer.core.transaction_outcome import Again
from aioproducer.core.transaction_scope import (
    OffsetsToCommit,
    TransactionProtocol,
    TransactionScope,
)
from aioproducer.errors import FatalTransactionError, InvalidTxnStateError, ProducerError
from aioproducer.records import GroupMetadata, OffsetAndMetadata, TopicPartition
from aioproducer.runtime.stall import StallWatch
from aioproducer.runtime.transaction_manager import TransactionManager

S = TransactionState
V1, V2 = TransactionProtocol.V1, TransactionProtocol.V2
FIRST, NEXT = ProducerIdentity(7, 0), ProducerIdentity(7, 1)
WISH = OffsetsToCommit(GroupMetadata("g"), {TopicPartition("t", 0): OffsetAndMetadata(5)})
BOTH = pytest.mark.parametrize("protocol", [V1, V2])


class Coordinator:
    """Stands for all brokers: every request waits for its scripted outcome, or succeeds."""

    def __init__(self, protocol: TransactionProtocol) -> None:
        self.protocol = protocol
        self.last_error: ProducerError | None = None
        self.needs_new_epoch = False
        self.log: list[Any] = []
        self.outcomes: dict[str, list[Any]] = {}
        self.epoch = 0

    async def _answer(self, name: str, *what: Any) -> None:
        self.log.append((name, *what) if what else name)
        script = self.outcomes.get(name, [])
        outcome = script.pop(0) if script else None
        if isinstance(outcome, asyncio.Event):
            await outcome.wait()
        elif outcome is not None:
            raise outcome

    async def init_producer_id(self, current: ProducerIdentity | None) -> ProducerIdentity:
        await self._answer("init", current)
        self.epoch = 0 if current is None else current.epoch + 1
        return ProducerIdentity(7, self.epoch)

    async def add_partitions(self, identity: Any, partitions: Any) -> list[Any]:
        await self._answer("add", *partitions)
        return list(partitions)

    async def add_offsets(self, identity: Any, group_id: str) -> None:
        await self._answer("add group", group_id)

    async def commit_offsets(self, identity: Any, protocol: Any, wish: Any) -> None:
        await self._answer("offsets")

    async def end(self, identity: Any, protocol: Any, *, commit: bool) -> ProducerIdentity | None:
        await self._answer("commit" if commit else "abort")
        return ProducerIdentity(7, identity.epoch + 1) if protocol is V2 else None

    async def refresh_features(self, now: float) -> None:
        pass

    def finalized_protocol(self) -> TransactionProtocol:
        return self.protocol

    def is_upgrade(self, scope: TransactionScope) -> bool:
        return scope.protocol is V1 and self.protocol is V2

    def starts_at_zero(self, scope: TransactionScope) -> bool:
        return scope.protocol is V2

    def is_fatal_for_producing(self, error: ProducerError) -> bool:
        return isinstance(error, FatalTransactionError)

    def fatal(self, error: ProducerError, began_at: float, now: float) -> ProducerError:
        return FatalTransactionError(str(error))

    def has_forgotten(self, error: ProducerError, began_at: float, now: float) -> bool:
        return isinstance(error, InvalidTxnStateError)

    def pause(self, again: Again, attempt: int, rng: random.Random) -> float:
        return 0.1


class Records:
    """The producer's records: open until the test settles them."""

    def __init__(self) -> None:
        self.quiet = True
        self.hurried = 0
        self.withdrawn: list[tuple[ProducerError, bool]] = []
        self.offered = 0
        self._done: Callable[[], None] = lambda: None

    def is_quiet(self) -> bool:
        return self.quiet

    def hurry(self, done: Callable[[], None]) -> Callable[[], None]:
        self.hurried += 1
        self._done = done

        def undo() -> None:
            self.hurried -= 1

        return undo

    def withdraw(self, make_error: Callable[[], ProducerError], *, keep_doubtful: bool) -> None:
        self.withdrawn.append((make_error(), keep_doubtful))

    def offer_everything(self) -> None:
        self.offered += 1

    def settle(self) -> None:
        self.quiet = True
        self._done()


class Keeper:
    def __init__(self) -> None:
        self.identity: ProducerIdentity | None = None
        self.starts_at_zero: bool | None = None
        self.broken = False

    def adopt(self, identity: ProducerIdentity, *, starts_at_zero: bool) -> None:
        self.identity = identity
        self.starts_at_zero = starts_at_zero
        self.broken = False

    def needs_renewal(self) -> bool:
        return self.broken


class World(SimpleNamespace):
    manager: TransactionManager
    coordinator: Coordinator
    records: Records
    keeper: Keeper
    states: list[S]
    fatal: list[ProducerError]

    @property
    def asked(self) -> list[str]:
        return [entry[0] if isinstance(entry, tuple) else entry for entry in self.coordinator.log]


@asynccontextmanager
async def world(protocol: TransactionProtocol = V2, *, ready: bool = True) -> AsyncIterator[World]:
    config = ProducerConfig.create("h:1", transactional_id="x", delivery_timeout_ms=60_000)
    it = World(
        coordinator=Coordinator(protocol), records=Records(), keeper=Keeper(), states=[], fatal=[]
    )
    manager: TransactionManager

    def wake() -> None:
        manager.wake()

    it.manager = manager = TransactionManager(
        config,
        "c",
        TransactionScope("x", wake),
        it.coordinator,  # type: ignore[arg-type]
        it.keeper,  # type: ignore[arg-type]
        it.records,
        random.Random(1),
        StallWatch("c"),
        on_fatal=it.fatal.append,
        on_state=it.states.append,
    )
    task = asyncio.create_task(manager.run())
    try:
        if ready:
            await manager.initialize(60)
            it.coordinator.log.clear()
        yield it
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert it.records.hurried == 0
