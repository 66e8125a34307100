"""The transaction and group coordinators of the cluster in memory, as Kafka 4 keeps them.

Which protocol a request belongs to is told by its version, as on a real broker: ``level`` is only
what ApiVersions announces. A client that mixes protocols inside one transaction, or repeats itself
in a way that only a broker's leniency forgives, is reported in ``violations``.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aioproducer.wire.messages import (
    AddOffsetsToTxnRequest,
    AddPartitionsToTxnRequest,
    EndTxnRequest,
    FindCoordinatorRequest,
    InitProducerIdRequest,
)
from aioproducer.wire.messages.find_coordinator import GROUP
from aioproducer.wire.record_batch import RecordBatch, decode_batches
from aioproducer.wire.versions import ApiKey
from tests import broker_wire, transaction_wire
from tests.broker_wire import Request
from tests.fake_groups import FakeGroup
from tests.fake_log import FakePartition
from tests.fake_transaction_state import (
    COMPLETE,
    CONCURRENT_TRANSACTIONS,
    INVALID_PRODUCER_EPOCH,
    INVALID_PRODUCER_ID_MAPPING,
    INVALID_REQUEST,
    INVALID_TRANSACTION_TIMEOUT,
    INVALID_TXN_STATE,
    LAST_EPOCH,
    LOADING,
    NOT_AVAILABLE,
    NOT_COORDINATOR,
    NOT_ENOUGH_REPLICAS,
    OPERATION_NOT_ATTEMPTED,
    OUT_OF_ORDER_SEQUENCE,
    PREPARED,
    PRODUCER_FENCED,
    TOPIC_AUTHORIZATION_FAILED,
    TRANSACTION_ABORTABLE,
    UNKNOWN_TOPIC_OR_PARTITION,
    Coordinated,
    Ended,
    State,
    is_its_id,
    stop_timer,
    was_rotated,
)

if TYPE_CHECKING:
    from tests.fake_broker import FakeBroker, FakeCluster

_MOST_PATIENT_MS = 900_000
# From which version on a request may answer PRODUCER_FENCED instead of INVALID_PRODUCER_EPOCH.
_FENCED_SINCE = {
    ApiKey.INIT_PRODUCER_ID: 4,
    ApiKey.ADD_PARTITIONS_TO_TXN: 2,
    ApiKey.ADD_OFFSETS_TO_TXN: 2,
    ApiKey.END_TXN: 2,
}
_RETRY_MARKERS = 0.1


class FakeTransactions:
    """All transactional ids and consumer groups of a cluster."""

    def __init__(self, cluster: FakeCluster) -> None:
        self.cluster = cluster
        maxima = {key: range_.maximum for key, range_ in cluster.versions.items()}
        # The finalized transaction.version; 0 for a cluster without the feature.
        self.level = 2 if maxima.get(ApiKey.END_TXN, 0) >= 5 else 0
        self.features_epoch = 1
        # Whether leaders ask the coordinator about batches of unknown transactions (Kafka 3.6).
        self.verifies = maxima.get(ApiKey.PRODUCE, 0) >= 10
        # Topics that AddPartitionsToTxn refuses.
        self.unauthorized: set[str] = set()
        self.ids: dict[str, Coordinated] = {}
        self.groups: dict[str, FakeGroup] = {}
        self.first_node = min(cluster.brokers)
        # How long the markers of a transaction take.
        self.marker_delay: Callable[[], float] = lambda: 0.001
        # Error codes for the next requests of a kind, answered without doing anything.
        self.scripts: dict[ApiKey, deque[int]] = {}
        self.choose: Callable[[FakeBroker, Request], int] = lambda _, __: 0
        # Whether a coordinator loses its place before what it writes is replicated (KIP-890 only);
        # who says so has moved it. The next one finds it in its log, and answers from that.
        self.lags: Callable[[Coordinated], bool] = lambda _: False
        self.violations: list[str] = []

    # What a test does to the cluster

    def finalize(self, level: int) -> None:
        """Upgrade or downgrade transaction.version while everything runs."""
        self.level = level
        self.features_epoch += 1

    @property
    def features(self) -> dict[str, int]:
        return {"transaction.version": self.level} if self.level else {}

    def move(self, transactional_id: str, node: int, loading: float = 0.0) -> None:
        """Have another broker coordinate an id, after it has loaded its state."""
        coordinated = self.of(transactional_id)
        coordinated.node = node
        coordinated.loading_until = _now() + loading

    def forget(self, transactional_id: str) -> None:
        """Lose the transaction that is open, but not the records that are in the logs.

        So it is when a coordinator has loaded, and answered from, what its predecessor had written
        and not yet replicated to the broker that is elected next.
        """
        coordinated = self.of(transactional_id)
        stop_timer(coordinated)
        ended = coordinated.history[-1] if coordinated.history else None
        coordinated.state = State.EMPTY
        if ended is not None:
            coordinated.state = State.COMPLETE_COMMIT if ended.commit else State.COMPLETE_ABORT
        coordinated.partitions.clear()
        coordinated.groups.clear()

    def lose_end(self, coordinated: Coordinated) -> bool:
        """Have a coordinator that lacks what is not replicated; return whether there was any."""
        lost = set(coordinated.unreplicated)
        for part in lost:
            if isinstance(part, str):
                del coordinated.groups[part]
            else:
                del coordinated.partitions[part]
        coordinated.lost |= lost
        if coordinated.opened_from is not None:
            stop_timer(coordinated)
            coordinated.state = coordinated.opened_from
        coordinated.replicated()
        return bool(lost)

    def group(self, group_id: str) -> FakeGroup:
        if group_id not in self.groups:
            self.groups[group_id] = FakeGroup(group_id, self.first_node)
        return self.groups[group_id]

    def of(self, transactional_id: str) -> Coordinated:
        if transactional_id not in self.ids:
            self.ids[transactional_id] = Coordinated(transactional_id, self.first_node)
        return self.ids[transactional_id]

    def stop(self) -> None:
        """Have no transaction time out any more."""
        for coordinated in self.ids.values():
            stop_timer(coordinated)

    # Requests

    def answer(self, broker: FakeBroker, request: Request, throttle_ms: int) -> bytes:
        script = self.scripts.get(request.api)
        code = script.popleft() if script else self.choose(broker, request)
        return _HANDLERS[request.api](self, broker, request, code, throttle_ms)

    def find_coordinator(
        self, broker: FakeBroker, request: Request, code: int, throttle_ms: int
    ) -> bytes:
        body: FindCoordinatorRequest = request.body
        place = self.group(body.key) if body.key_type == GROUP else self.of(body.key)
        node = self.cluster.brokers.get(place.node)
        if node is None and not code:
            code = NOT_AVAILABLE
        endpoint = None if code or node is None else node.endpoint
        return transaction_wire.coordinator_response(
            request.version, body.key, endpoint, code, throttle_ms
        )

    def init_producer_id(
        self, broker: FakeBroker, request: Request, code: int, throttle_ms: int
    ) -> bytes:
        body: InitProducerIdRequest = request.body
        coordinated = self.of(body.transactional_id or "")
        code = code or self._whose(broker, coordinated) or self._init(coordinated, body)
        producer_id, epoch = (-1, -1) if code else (coordinated.producer_id, coordinated.epoch)
        return broker_wire.init_producer_id_response(
            request.version, _told(request, code), producer_id, epoch
        )

    def _init(self, coordinated: Coordinated, body: InitProducerIdRequest) -> int:
        if not body.transactional_id:
            return INVALID_REQUEST
        if not 0 < body.transaction_timeout_ms <= _MOST_PATIENT_MS:
            return INVALID_TRANSACTION_TIMEOUT
        renews = body.producer_id >= 0
        if renews and coordinated.epoch >= 0 and not is_its_id(coordinated, body):
            return PRODUCER_FENCED
        if coordinated.state in PREPARED:
            return CONCURRENT_TRANSACTIONS
        if coordinated.state is State.ONGOING:
            self._fence(coordinated)
            return CONCURRENT_TRANSACTIONS
        if renews and coordinated.epoch >= 0 and body.producer_epoch != coordinated.epoch:
            if body.producer_epoch == coordinated.last_epoch or (
                body.producer_id == coordinated.previous_id
            ):
                # The answer to the same question was lost.
                return 0
            return PRODUCER_FENCED
        coordinated.timeout_ms = body.transaction_timeout_ms
        coordinated.replicated()
        # How the last one ended is forgotten: an EndTxn of the epoch before is no repetition.
        coordinated.state = State.EMPTY
        self._bump(coordinated, remember=renews)
        return 0

    def add_partitions(
        self, broker: FakeBroker, request: Request, code: int, throttle_ms: int
    ) -> bytes:
        body: AddPartitionsToTxnRequest = request.body
        asked = [(topic, index) for topic, indexes in body.topics for index in indexes]
        refused = {p: UNKNOWN_TOPIC_OR_PARTITION for p in asked if self._partition(*p) is None}
        refused |= {p: TOPIC_AUTHORIZATION_FAILED for p in asked if p[0] in self.unauthorized}
        code = code or self._check(broker, body.transactional_id, body)
        if code or not refused:
            known = all(self._is_open_in(body.producer_id, place) for place in asked)
            # What has records already is told again, in case the coordinator forgot it.
            if not code:
                self._add(body.transactional_id, asked, protocol=None if known else 1)
            results = [(*place, _told(request, code)) for place in asked]
        else:
            results = [(*p, refused.get(p, OPERATION_NOT_ATTEMPTED)) for p in asked]
        return transaction_wire.results_response(request.api, request.version, results, throttle_ms)

    def add_offsets(
        self, broker: FakeBroker, request: Request, code: int, throttle_ms: int
    ) -> bytes:
        body: AddOffsetsToTxnRequest = request.body
        code = code or self._check(broker, body.transactional_id, body)
        if not code:
            coordinated = self.of(body.transactional_id)
            # What holds offsets already is told again, in case the coordinator forgot it.
            known = body.group_id in coordinated.groups or body.group_id in coordinated.lost
            self._add_group(body.transactional_id, body.group_id, protocol=None if known else 1)
        return transaction_wire.add_offsets_response(
            request.version, _told(request, code), throttle_ms
        )

    def commit_offsets(
        self, broker: FakeBroker, request: Request, code: int, throttle_ms: int
    ) -> bytes:
        body = request.body
        group = self.group(body.group_id)
        code = code or group.whose(broker.node_id, _now()) or group.check_member(body)
        code = code or group.check_epoch(body.producer_id, body.producer_epoch)
        if not code:
            code = self._admit_offsets(request)
        if not code:
            group.hold(body)
        results = [(t.name, row.partition_index, code) for t in body.topics for row in t.partitions]
        return transaction_wire.results_response(request.api, request.version, results, throttle_ms)

    def end(self, broker: FakeBroker, request: Request, code: int, throttle_ms: int) -> bytes:
        body: EndTxnRequest = request.body
        coordinated = self.of(body.transactional_id)
        code = code or self._whose(broker, coordinated)
        code = code or self._end(coordinated, body, renews=request.version >= 5)
        producer_id, epoch = (-1, -1) if code else (coordinated.producer_id, coordinated.epoch)
        return transaction_wire.end_txn_response(
            request.version, _told(request, code), producer_id, epoch, throttle_ms
        )

    def _end(self, coordinated: Coordinated, body: EndTxnRequest, *, renews: bool) -> int:
        """Judge an EndTxn, as ``TransactionCoordinator.endTransaction`` does in Kafka 4."""
        state, epoch = coordinated.state, coordinated.epoch
        # An overflow of epochs gave the next transaction another id.
        rotated = renews and was_rotated(coordinated, body.producer_id, body.producer_epoch)
        if body.producer_id != coordinated.producer_id and not rotated:
            return INVALID_PRODUCER_ID_MAPPING
        is_repeated = renews and (rotated or body.producer_epoch == epoch - 1)
        may_be_repeat = is_repeated and state in (*PREPARED, *COMPLETE)
        if not may_be_repeat and (rotated or body.producer_epoch != epoch):
            return PRODUCER_FENCED
        if state in PREPARED:
            # Whatever is asked, and of this transaction or of the next (so does 4.3.1).
            return CONCURRENT_TRANSACTIONS
        if state is State.ONGOING:
            self._note_protocol(coordinated, 2 if renews else 1)
            self._prepare(coordinated, commit=body.committed, renews=renews, by_client=True)
            return 0
        if state in COMPLETE and (is_repeated or not renews):
            return 0 if body.committed is (state is State.COMPLETE_COMMIT) else INVALID_TXN_STATE
        if renews and not body.committed:
            # Since KIP-890 a transaction of which no record arrived can be aborted, too.
            self._prepare(coordinated, commit=False, renews=True, by_client=True)
            return 0
        return INVALID_TXN_STATE

    # Records

    def admit(self, version: int, body: broker_wire.Produce, batch: broker_wire.Batch) -> int:
        """Return why a leader does not append the batch; 0 when the transaction allows it."""
        if body.transactional_id is None:
            return 0
        (decoded,) = decode_batches(batch.records)
        place = self._place(version, batch)
        partition = self._partition(*place)
        if not decoded.is_transactional or partition is None:
            return INVALID_REQUEST
        coordinated = self.of(body.transactional_id)
        known = partition.known_epoch(decoded.producer_id)
        if known is not None and decoded.producer_epoch < known:
            return INVALID_PRODUCER_EPOCH
        code = 0
        if known != decoded.producer_epoch or not partition.has_open_transaction(
            decoded.producer_id
        ):
            code = self._begin_here(coordinated, decoded, place, version)
        if not code and version >= 12 and known is None and decoded.base_sequence:
            code = OUT_OF_ORDER_SEQUENCE
        if code or partition.holds(decoded) or not partition.takes(decoded):
            return code
        is_added = place in coordinated.partitions or place in coordinated.lost
        if coordinated.epoch == decoded.producer_epoch and not is_added:
            self.violations.append(f"{place} gets records and was never added")
        self._note_protocol(coordinated, 2 if version >= 12 else 1)
        return 0

    def _begin_here(
        self, coordinated: Coordinated, batch: RecordBatch, place: tuple[str, int], version: int
    ) -> int:
        """Ask the coordinator about a producer without an open transaction in the partition."""
        implicit = version >= 12
        if not implicit and not self.verifies:
            return 0
        coordinator = self.cluster.brokers.get(coordinated.node)
        if coordinator is None or not coordinator.up or coordinated.loading_until > _now():
            return NOT_ENOUGH_REPLICAS
        code = self._check_identity(coordinated, batch.producer_id, batch.producer_epoch)
        if code:
            return INVALID_PRODUCER_EPOCH if code == PRODUCER_FENCED else code
        if coordinated.state in PREPARED:
            return CONCURRENT_TRANSACTIONS if implicit else NOT_ENOUGH_REPLICAS
        if implicit:
            is_there = self._add(coordinated.transactional_id, [place], protocol=2)
            return 0 if is_there else NOT_ENOUGH_REPLICAS
        if coordinated.state is not State.ONGOING or place not in coordinated.partitions:
            return TRANSACTION_ABORTABLE if version >= 11 else INVALID_TXN_STATE
        return 0

    def _admit_offsets(self, request: Request) -> int:
        body = request.body
        coordinated = self.of(body.transactional_id)
        code = self._check_identity(coordinated, body.producer_id, body.producer_epoch)
        if code:
            return INVALID_PRODUCER_EPOCH if code == PRODUCER_FENCED else code
        if request.version >= 5:
            code = self._check_adding(coordinated)
            if not code and not self._add_group(body.transactional_id, body.group_id, protocol=2):
                return NOT_AVAILABLE
            return code
        if coordinated.state is not State.ONGOING or body.group_id not in coordinated.groups:
            return TRANSACTION_ABORTABLE if request.version >= 4 else INVALID_TXN_STATE
        return 0

    # The coordinator's own doing

    def _whose(self, broker: FakeBroker, coordinated: Coordinated) -> int:
        if coordinated.node != broker.node_id:
            return NOT_COORDINATOR
        return LOADING if coordinated.loading_until > _now() else 0

    def _check(self, broker: FakeBroker, transactional_id: str, body: Any) -> int:
        coordinated = self.of(transactional_id)
        code = self._whose(broker, coordinated)
        code = code or self._check_identity(coordinated, body.producer_id, body.producer_epoch)
        return code or self._check_adding(coordinated)

    def _check_identity(self, coordinated: Coordinated, producer_id: int, epoch: int) -> int:
        if producer_id != coordinated.producer_id:
            return INVALID_PRODUCER_ID_MAPPING
        return 0 if epoch == coordinated.epoch else PRODUCER_FENCED

    def _check_adding(self, coordinated: Coordinated) -> int:
        return CONCURRENT_TRANSACTIONS if coordinated.state in PREPARED else 0

    def _is_open_in(self, producer_id: int, place: tuple[str, int]) -> bool:
        partition = self._partition(*place)
        return partition is not None and partition.has_open_transaction(producer_id)

    def _add(self, transactional_id: str, places: list[Any], *, protocol: int | None) -> bool:
        """Add partitions; return whether they are in the log for good, or seem to be."""
        coordinated = self.of(transactional_id)
        fresh = {place for place in places if place not in coordinated.partitions}
        coordinated.lost -= fresh
        opened_from = self._open(coordinated, protocol)
        for place in places:
            partition = self._partition(*place)
            assert partition is not None
            coordinated.partitions[place] = partition
        return self._write(coordinated, fresh, opened_from, protocol)

    def _add_group(self, transactional_id: str, group_id: str, *, protocol: int) -> bool:
        coordinated = self.of(transactional_id)
        fresh = {group_id} - coordinated.groups.keys()
        coordinated.lost -= fresh
        opened_from = self._open(coordinated, protocol)
        coordinated.groups[group_id] = self.group(group_id)
        return self._write(coordinated, fresh, opened_from, protocol)

    def _open(self, coordinated: Coordinated, protocol: int | None) -> State | None:
        opened_from = None
        if coordinated.state is not State.ONGOING:
            opened_from = coordinated.state
            coordinated.state = State.ONGOING
            coordinated.protocols = set()
            coordinated.timer = asyncio.get_running_loop().call_later(
                coordinated.timeout_ms / 1000, self._fence, coordinated
            )
        if protocol is not None:
            self._note_protocol(coordinated, protocol)
        return opened_from

    def _write(
        self,
        coordinated: Coordinated,
        fresh: set[Any],
        opened_from: State | None,
        protocol: int | None,
    ) -> bool:
        if not fresh:
            # Answered from memory: nothing is written, nothing replicated.
            return True
        if protocol != 2 or not self.lags(coordinated):
            coordinated.replicated()
            return True
        coordinated.unreplicated |= fresh
        coordinated.opened_from = coordinated.opened_from or opened_from
        return False

    def _note_protocol(self, coordinated: Coordinated, protocol: int) -> None:
        coordinated.protocols.add(protocol)

    def _bump(self, coordinated: Coordinated, *, remember: bool) -> None:
        coordinated.lost.clear()
        coordinated.last_epoch = coordinated.epoch if remember else -1
        if coordinated.producer_id < 0 or coordinated.epoch >= LAST_EPOCH:
            coordinated.previous_id = coordinated.producer_id if remember else -1
            self.cluster.next_producer_id += 1
            coordinated.producer_id = self.cluster.next_producer_id
            coordinated.epoch = 0
        else:
            coordinated.epoch += 1

    def _fence(self, coordinated: Coordinated) -> None:
        """Abort what is open, on behalf of a newer producer or because it took too long."""
        if coordinated.state is State.ONGOING:
            # Never to another id: what is open has to be ended under its own. Since KIP-890 the
            # end itself takes one more, so that nobody takes it for the client's.
            coordinated.last_epoch = -1
            coordinated.epoch += 1
            renews = 2 in coordinated.protocols
            self._prepare(coordinated, commit=False, renews=renews, by_client=False)

    def _prepare(
        self, coordinated: Coordinated, *, commit: bool, renews: bool, by_client: bool
    ) -> None:
        stop_timer(coordinated)
        coordinated.replicated()
        if commit and len(coordinated.protocols) > 1:
            # Before an abort a coordinator is told of everything that it may have forgotten.
            self.violations.append(f"{coordinated.transactional_id} mixes both protocols")
        if by_client and coordinated.lost:
            # Nobody ends them now, or the id's next transaction does.
            lost = sorted(map(str, coordinated.lost))
            self.violations.append(f"{coordinated.transactional_id} is ended without {lost}")
        producer_id, epoch = coordinated.producer_id, coordinated.epoch
        if renews:
            # The markers carry the next epoch, which fences what is still on its way.
            epoch += 1
            self._bump(coordinated, remember=True)
        coordinated.state = State.PREPARE_COMMIT if commit else State.PREPARE_ABORT
        ended = Ended(producer_id, epoch, commit, by_client, _now())
        coordinated.history.append(ended)
        self._later(self.marker_delay(), coordinated, ended)

    def _later(self, seconds: float, coordinated: Coordinated, ended: Ended) -> None:
        asyncio.get_running_loop().call_later(seconds, self._write_markers, coordinated, ended)

    def _write_markers(self, coordinated: Coordinated, ended: Ended) -> None:
        coordinator = self.cluster.brokers.get(coordinated.node)
        if coordinator is None or not coordinator.up or coordinated.loading_until > _now():
            self._later(_RETRY_MARKERS, coordinated, ended)
            return
        for place, partition in list(coordinated.partitions.items()):
            leader = self.cluster.brokers.get(partition.leader)
            if self._partition(*place) is partition and (leader is None or not leader.up):
                continue
            # What was deleted meanwhile needs no marker, and is gone with it.
            partition.append_marker(ended.producer_id, ended.epoch, commit=ended.commit)
            del coordinated.partitions[place]
        for group in coordinated.groups.values():
            group.end(ended.producer_id, ended.epoch, commit=ended.commit)
        coordinated.groups.clear()
        if coordinated.partitions:
            self._later(_RETRY_MARKERS, coordinated, ended)
            return
        coordinated.state = State.COMPLETE_COMMIT if ended.commit else State.COMPLETE_ABORT

    # The cluster

    def _place(self, version: int, batch: broker_wire.Batch) -> tuple[str, int]:
        if version < 13:
            return batch.topic, batch.index
        topic = self.cluster.by_id.get(batch.topic_id)
        return ("" if topic is None else topic.name), batch.index

    def _partition(self, topic: str, index: int) -> FakePartition | None:
        found = self.cluster.topics.get(topic)
        if found is None or not 0 <= index < len(found.partitions):
            return None
        return found.partitions[index]


def _now() -> float:
    return asyncio.get_running_loop().time()


def _told(request: Request, code: int) -> int:
    if code == PRODUCER_FENCED and request.version < _FENCED_SINCE.get(request.api, 0):
        return INVALID_PRODUCER_EPOCH
    return code


_HANDLERS: dict[ApiKey, Callable[[FakeTransactions, FakeBroker, Request, int, int], bytes]] = {
    ApiKey.FIND_COORDINATOR: FakeTransactions.find_coordinator,
    ApiKey.INIT_PRODUCER_ID: FakeTransactions.init_producer_id,
    ApiKey.ADD_PARTITIONS_TO_TXN: FakeTransactions.add_partitions,
    ApiKey.ADD_OFFSETS_TO_TXN: FakeTransactions.add_offsets,
    ApiKey.TXN_OFFSET_COMMIT: FakeTransactions.commit_offsets,
    ApiKey.END_TXN: FakeTransactions.end,
}
