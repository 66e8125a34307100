"""What a transaction coordinator keeps of each transactional id, and the codes it answers."""

from __future__ import annotations

import asyncio
import enum
from dataclasses import dataclass, field
from typing import NamedTuple

from aioproducer.wire.messages import InitProducerIdRequest
from tests.fake_groups import FakeGroup
from tests.fake_log import FakePartition

UNKNOWN_TOPIC_OR_PARTITION = 3
LOADING = 14
NOT_AVAILABLE = 15
NOT_COORDINATOR = 16
NOT_ENOUGH_REPLICAS = 19
TOPIC_AUTHORIZATION_FAILED = 29
INVALID_REQUEST = 42
OUT_OF_ORDER_SEQUENCE = 45
INVALID_PRODUCER_EPOCH = 47
INVALID_TXN_STATE = 48
INVALID_PRODUCER_ID_MAPPING = 49
INVALID_TRANSACTION_TIMEOUT = 50
CONCURRENT_TRANSACTIONS = 51
OPERATION_NOT_ATTEMPTED = 55
PRODUCER_FENCED = 90
TRANSACTION_ABORTABLE = 120

LAST_EPOCH = 32766


class State(enum.Enum):
    """Where the coordinator is with a transactional id."""

    EMPTY = enum.auto()
    ONGOING = enum.auto()
    PREPARE_COMMIT = enum.auto()
    PREPARE_ABORT = enum.auto()
    COMPLETE_COMMIT = enum.auto()
    COMPLETE_ABORT = enum.auto()


PREPARED = (State.PREPARE_COMMIT, State.PREPARE_ABORT)
COMPLETE = (State.COMPLETE_COMMIT, State.COMPLETE_ABORT)


class Ended(NamedTuple):
    """A transaction that is over."""

    producer_id: int
    epoch: int
    commit: bool
    by_client: bool
    at: float


@dataclass(slots=True)
class Coordinated:
    """What the coordinator keeps of one transactional id."""

    transactional_id: str
    node: int
    producer_id: int = -1
    epoch: int = -1
    # What an answer that was lost may have left the client with.
    last_epoch: int = -1
    previous_id: int = -1
    timeout_ms: int = 60_000
    state: State = State.EMPTY
    partitions: dict[tuple[str, int], FakePartition] = field(default_factory=dict)
    groups: dict[str, FakeGroup] = field(default_factory=dict)
    history: list[Ended] = field(default_factory=list)
    loading_until: float = 0.0
    timer: asyncio.TimerHandle | None = None
    # The protocol of the requests of the open transaction.
    protocols: set[int] = field(default_factory=set)
    # What this coordinator has found in its log, and the next one may not find: partitions and
    # groups, and from where the transaction was opened, if that is part of it.
    unreplicated: set[tuple[str, int] | str] = field(default_factory=set)
    opened_from: State | None = None
    # What it did not find.
    lost: set[tuple[str, int] | str] = field(default_factory=set)

    def replicated(self) -> None:
        """Note that something was written for good, and so everything before it."""
        self.unreplicated.clear()
        self.opened_from = None


def is_its_id(coordinated: Coordinated, body: InitProducerIdRequest) -> bool:
    if body.producer_id == coordinated.producer_id:
        return True
    return body.producer_id == coordinated.previous_id and body.producer_epoch >= LAST_EPOCH


def was_rotated(coordinated: Coordinated, producer_id: int, epoch: int) -> bool:
    return producer_id == coordinated.previous_id and epoch == LAST_EPOCH and coordinated.epoch == 0


def stop_timer(coordinated: Coordinated) -> None:
    if coordinated.timer is not None:
        coordinated.timer.cancel()
        coordinated.timer = None
