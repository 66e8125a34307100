"""The producers of a pool: their numbers, which are idle, which have to be replaced."""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from aioproducer import (
    AsyncProducer,
    FatalTransactionError,
    LifeState,
    ProducerError,
    ProducerFencedError,
    TransactionState,
)

logger = logging.getLogger("aioproducer")

K = TypeVar("K")
V = TypeVar("V")

_OPEN = (TransactionState.IN_TRANSACTION, TransactionState.ABORTABLE_ERROR)
_UNDER_WAY = (TransactionState.COMMITTING, TransactionState.ABORTING, TransactionState.INITIALIZING)


@dataclass(eq=False, slots=True)
class Member(Generic[K, V]):
    """A producer and the number in its transactional id."""

    number: int
    producer: AsyncProducer[K, V]

    @property
    def is_broken(self) -> bool:
        """Whether nothing can be sent with it any more."""
        return (
            self.producer.state is not LifeState.RUNNING
            or self.producer.transaction_state is TransactionState.FATAL_ERROR
        )

    @property
    def is_busy(self) -> bool:
        """Whether it ends a transaction that its user no longer waits for."""
        return self.producer.transaction_state in _UNDER_WAY and not self.is_broken

    async def settle(self, timeout: float) -> None:
        """Wait for a commit or abort that somebody gave up waiting for."""
        if self.is_busy or self.producer.transaction_state in _OPEN:
            # It waits for that, and aborts what failed meanwhile, before it begins; an empty
            # transaction asks the brokers nothing.
            async with self.producer.transaction(timeout=timeout):
                pass

    async def clean(self, timeout: float) -> None:
        """Abort the transaction that its user left open."""
        if self.producer.transaction_state in _OPEN and not self.is_broken:
            try:
                await self.producer.abort_transaction(timeout)
            except ProducerError as error:
                logger.warning("[%s] not aborted yet: %s", self.producer.client_id, error)


class Members(Generic[K, V]):
    """All members of a pool; the pool sees to it that there are not too many."""

    def __init__(self, make: Callable[[int], AsyncProducer[K, V]], prefix: str) -> None:
        self._make = make
        self._prefix = prefix
        self._all: set[Member[K, V]] = set()
        self._idle: deque[Member[K, V]] = deque()
        self._numbers: list[int] = []
        self._next_number = 0
        self._farewells: set[asyncio.Task[object]] = set()

    def __len__(self) -> int:
        return len(self._all)

    @property
    def idle(self) -> int:
        """How many nobody uses, and nothing of an earlier user keeps busy."""
        return sum(not member.is_busy for member in self._idle)

    async def take(self, timeout: float, most: int) -> Member[K, V]:
        """Return an idle member that works, the one last used, or start one.

        One that still ends a transaction is waited for only when there are ``most`` of them.
        """
        while (member := self._pop_idle(may_start=len(self._all) < most)) is not None:
            try:
                await member.settle(timeout)
            except FatalTransactionError as error:
                logger.debug("[%s*] what was under way failed: %s", self._prefix, error)
            except BaseException:
                self._idle.appendleft(member)
                raise
            if not member.is_broken:
                return member
            self._drop(member)
        return await self._start()

    def _pop_idle(self, *, may_start: bool) -> Member[K, V] | None:
        for member in reversed(self._idle):
            if not member.is_busy:
                self._idle.remove(member)
                return member
        return self._idle.pop() if self._idle and not may_start else None

    async def _start(self) -> Member[K, V]:
        if self._numbers:
            number = heapq.heappop(self._numbers)
        else:
            number = self._next_number
            self._next_number += 1
        member = Member(number, self._make(number))
        self._all.add(member)
        try:
            await member.producer.start()
        except BaseException:
            self._all.discard(member)
            heapq.heappush(self._numbers, number)
            raise
        return member

    async def put_back(self, member: Member[K, V], timeout: float) -> None:
        """Make a member idle again, or let go of it if it is broken."""
        try:
            await member.clean(timeout)
        finally:
            if member.is_broken:
                self._drop(member)
            elif member.is_busy:
                # The others first.
                self._idle.appendleft(member)
            else:
                self._idle.append(member)

    def _drop(self, member: Member[K, V]) -> None:
        if member not in self._all:
            # Closed with the pool, under its user.
            return
        self._all.discard(member)
        # Whoever fenced it uses its number now: taking it again would fence them in turn, for ever.
        if not _was_fenced(member.producer):
            heapq.heappush(self._numbers, member.number)
        logger.warning("[%s%d] is of no use any more", self._prefix, member.number)
        self._farewell(member, 0)

    def _farewell(self, member: Member[K, V], timeout: float) -> None:
        task: asyncio.Task[object] = asyncio.get_running_loop().create_task(
            member.producer.close(timeout), name=f"{self._prefix}{member.number}:farewell"
        )
        self._farewells.add(task)
        task.add_done_callback(self._farewells.discard)

    async def close(self, timeout: float) -> None:
        """Close all, each within ``timeout`` seconds, and wait for those that were let go."""
        members, self._all = self._all, set()
        self._idle.clear()
        for member in members:
            self._farewell(member, timeout)
        while self._farewells:
            await asyncio.wait(self._farewells)


def _was_fenced(producer: AsyncProducer[Any, Any]) -> bool:
    """Return whether a broken producer is so because of a newer one with its id."""
    try:
        producer.begin_transaction()
    except ProducerFencedError:
        return True
    except ProducerError:
        pass
    return False
