"""A Kafka cluster in memory: brokers that speak the wire protocol, and misbehave on command.

The producer's own runtime talks to it through ``VirtualClockLoop``; nothing in it is replaced.
"""

from __future__ import annotations

import asyncio
import socket
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from aioproducer.wire.messages import Broker
from aioproducer.wire.versions import ApiKey, VersionRange
from tests import broker_wire as wire
from tests.broker_wire import PartitionAnswer, PartitionState, Request, TopicState
from tests.fake_log import FakePartition, Verb
from tests.fake_sasl import SASL_REQUESTS, FakeSasl
from tests.fake_transactions import FakeTransactions
from tests.memory_transport import MemoryTransport
from tests.virtual_clock import VirtualClockLoop

UNKNOWN_TOPIC_OR_PARTITION = 3
LEADER_NOT_AVAILABLE = 5
NOT_LEADER_OR_FOLLOWER = 6
DUPLICATE_SEQUENCE_NUMBER = 46
UNKNOWN_TOPIC_ID = 100
_FIRST_PRODUCE_WITH_RECORD_ERRORS = 8
_TICK = 1e-6


def _versions(
    produce: int, metadata: int, init: int, api: int, *, transactions: tuple[int, ...]
) -> dict[int, VersionRange]:
    """Return a release's maxima.

    ``transactions`` are FindCoordinator, AddPartitionsToTxn, AddOffsetsToTxn, EndTxn and
    TxnOffsetCommit.
    """
    find, partitions, offsets, end, commit = transactions
    return {
        ApiKey.PRODUCE: VersionRange(0, produce),
        ApiKey.METADATA: VersionRange(0, metadata),
        ApiKey.INIT_PRODUCER_ID: VersionRange(0, init),
        ApiKey.API_VERSIONS: VersionRange(0, api),
        ApiKey.FIND_COORDINATOR: VersionRange(0, find),
        ApiKey.ADD_PARTITIONS_TO_TXN: VersionRange(0, partitions),
        ApiKey.ADD_OFFSETS_TO_TXN: VersionRange(0, offsets),
        ApiKey.END_TXN: VersionRange(0, end),
        ApiKey.TXN_OFFSET_COMMIT: VersionRange(0, commit),
        ApiKey.SASL_HANDSHAKE: VersionRange(0, 1),
        ApiKey.SASL_AUTHENTICATE: VersionRange(0, 2),
    }


KAFKA_4 = _versions(13, 13, 6, 5, transactions=(6, 5, 4, 5, 5))
KAFKA_3_9 = _versions(11, 12, 5, 4, transactions=(6, 5, 4, 4, 4))
KAFKA_2_8 = _versions(9, 11, 4, 3, transactions=(3, 3, 3, 3, 3))
KAFKA_2_1 = _versions(7, 7, 1, 2, transactions=(2, 1, 1, 1, 2))


@dataclass(slots=True)
class Conduct:
    """How a broker treats one request."""

    delay: float = 0.0
    throttle_ms: int = 0
    # It lies in the broker's socket for so long, and is done even if the connection is gone.
    held: float = 0.0
    # before: nothing was done; after: done, unanswered; amid: the answer is cut.
    hang_up: Literal["", "before", "after", "amid"] = ""
    # Done, but never answered; nothing behind it on this connection is answered either.
    stall: bool = False
    # Done, but its answer is lost on the way; what is asked next is answered.
    swallow: bool = False
    answer: bytes | None = None


_PLAIN = Conduct()


class Watcher(Protocol):
    """Sees what the producer writes and what reaches it."""

    def written(self, session: Session, data: bytes) -> None:
        """The producer has written ``data``, whole requests."""

    def told(self, session: Session, request: Request, throttle_ms: int) -> None:
        """The last byte of the answer to ``request`` reaches the producer's socket."""


class Session:
    """One connection as the broker sees it: one request at a time, answers in order."""

    def __init__(self, broker: FakeBroker, protocol: asyncio.Protocol) -> None:
        self.broker = broker
        self.cluster = broker.cluster
        self.transport = MemoryTransport(
            protocol, on_write=self._receive, on_close=self._client_closed
        )
        self.open = True
        self._inbox = bytearray()
        self._requests: deque[Request] = deque()
        self._busy = False
        self._arrival = 0.0
        self._departure = 0.0
        # True once the network has lost something of what was written: nothing more arrives.
        self.cut = False
        # False once an answer was swallowed: the next one is not the one that is expected.
        self._is_understood = True
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualClockLoop)
        self._loop = loop

    def hang_up(self) -> None:
        if self.open:
            self._close()
            self._loop.reach(self.transport.lose)

    def _client_closed(self) -> None:
        # What has arrived is still worked on: the broker learns of the end only when it answers.
        self._close()

    def _close(self) -> None:
        self.open = False
        self.broker.sessions.pop(self, None)

    def _receive(self, data: bytes) -> None:
        if self.cluster.watcher is not None:
            self.cluster.watcher.written(self, data)
        if self.cut:
            return
        for piece in self.cluster.outgoing(self, data):
            # Timers of one moment fire in any order, bytes must not.
            self._arrival = max(self._arrival + _TICK, self._loop.time() + self.cluster.latency())
            self._loop.call_outside(self._arrival, self._arrive, piece)
        if self.cut:
            self._loop.call_outside(self._arrival + _TICK, self.hang_up)

    def _arrive(self, data: bytes) -> None:
        if not self.broker.up:
            return
        self._inbox += data
        while len(self._inbox) >= 4:
            (size,) = wire.SIZE.unpack_from(self._inbox)
            if len(self._inbox) < 4 + size:
                break
            self._requests.append(wire.read_request(bytes(self._inbox[4 : 4 + size])))
            del self._inbox[: 4 + size]
        self._next()

    def _next(self) -> None:
        if self._busy or not self._requests:
            return
        self._busy = True
        request = self._requests.popleft()
        self._later(self.cluster.service_time(), self._work, request)

    def _later(self, seconds: float, callback: Callable[..., None], *args: Any) -> None:
        self._loop.call_outside(self._loop.time() + seconds, callback, *args)

    def _answer(self, request: Request, conduct: Conduct, will_answer: bool) -> bytes | None:
        sasl = self.cluster.sasl
        if sasl is not None and request.api in SASL_REQUESTS:
            return sasl.answer(self, request, self._loop.time())
        request.stale = not self.open
        return self.broker.answer(request, conduct, will_answer=will_answer)

    def _admits(self, request: Request) -> bool:
        sasl = self.cluster.sasl
        return sasl is None or sasl.admits(self, request, self._loop.time())

    def _work(self, request: Request) -> None:
        if not self.broker.up:
            return
        conduct = self.broker.conduct(request)
        if conduct.held:
            self._later(conduct.held, self._do, request, conduct)
        else:
            self._do(request, conduct)

    def _do(self, request: Request, conduct: Conduct) -> None:
        if not self.broker.up:
            return
        if conduct.hang_up == "before" or not self._admits(request):
            self.hang_up()
            return
        silent = conduct.stall or conduct.swallow
        will_answer = not silent and not conduct.hang_up and self.open
        body = self._answer(request, conduct, will_answer)
        if conduct.hang_up == "after":
            self.hang_up()
            return
        if conduct.stall:
            return
        frame = b""
        if body is not None and not conduct.swallow:
            frame = wire.frame_response(request, body)
        if conduct.swallow:
            self._is_understood = False
        if conduct.answer is not None:
            frame = conduct.answer
        if conduct.hang_up == "amid":
            self._send(frame[: max(1, len(frame) // 2)])
            self._loop.call_outside(self._departure + _TICK, self.hang_up)
            return
        if conduct.delay:
            self._later(conduct.delay, self._respond, frame, request, conduct)
        else:
            self._respond(frame, request, conduct)

    def _respond(self, frame: bytes, request: Request, conduct: Conduct) -> None:
        self._busy = False
        if frame and self.open:
            self._send(frame, request if self._is_understood else None, conduct)
        self._next()

    def _send(
        self, frame: bytes, request: Request | None = None, conduct: Conduct = _PLAIN
    ) -> None:
        pieces = list(self.cluster.pieces(frame))
        for number, piece in enumerate(pieces, 1):
            soonest = self._loop.time() + self.cluster.latency()
            self._departure = max(self._departure + _TICK, soonest)
            whole = request if number == len(pieces) else None
            self._loop.call_outside(self._departure, self._depart, piece, whole, conduct)

    def _depart(self, piece: bytes, whole: Request | None, conduct: Conduct) -> None:
        if not self.open:
            return
        if whole is not None and self.cluster.watcher is not None:
            self.cluster.watcher.told(self, whole, conduct.throttle_ms)
        self._loop.reach(self.transport.deliver, piece)


class FakeBroker:
    """One broker. ``script`` holds how to treat the next produce requests."""

    def __init__(self, cluster: FakeCluster, node_id: int) -> None:
        self.cluster = cluster
        self.node_id = node_id
        self.host = f"broker-{node_id}"
        self.port = 9092
        self.up = True
        # "refuse": connection refused; "hang": no answer to the SYN.
        self.when_down: Literal["refuse", "hang"] = "refuse"
        self.versions: Mapping[int, VersionRange] = cluster.versions
        self.sessions: dict[Session, None] = {}
        self.connections = 0
        self.script: deque[Conduct] = deque()
        self.scripts: dict[ApiKey, deque[Conduct]] = {}
        # Every request that was worked on, with the time.
        self.requests: list[tuple[float, Request]] = []

    @property
    def endpoint(self) -> Broker:
        return Broker(self.node_id, self.host, self.port, None)

    def accept(self, protocol: asyncio.Protocol) -> asyncio.Transport:
        self.connections += 1
        session = Session(self, protocol)
        self.sessions[session] = None
        return session.transport

    def stop(self) -> None:
        """End every connection; refuse new ones. Work that was not done is lost."""
        self.up = False
        self.hang_up()

    def start(self) -> None:
        self.up = True

    def hang_up(self) -> None:
        for session in list(self.sessions):
            session.hang_up()

    def produce_requests(self) -> list[tuple[float, Request]]:
        return [(at, request) for at, request in self.requests if request.api is ApiKey.PRODUCE]

    def conduct(self, request: Request) -> Conduct:
        self.requests.append((asyncio.get_running_loop().time(), request))
        script = self.scripts.get(request.api)
        if script:
            return script.popleft()
        if request.api is ApiKey.PRODUCE and self.script:
            return self.script.popleft()
        chosen = self.cluster.chooser(self, request) if self.cluster.chooser else None
        return chosen or _PLAIN

    def answer(self, request: Request, conduct: Conduct, *, will_answer: bool) -> bytes | None:
        match request.api:
            case ApiKey.API_VERSIONS:
                return wire.api_versions_response(
                    request,
                    self.versions,
                    error_code=self.cluster.api_versions_error,
                    features=self.cluster.transactions.features,
                    features_epoch=self.cluster.transactions.features_epoch,
                )
            case ApiKey.METADATA:
                return self.cluster.metadata(request, conduct.throttle_ms)
            case ApiKey.INIT_PRODUCER_ID if request.body.transactional_id is None:
                return self.cluster.init_producer_id(request)
            case ApiKey.PRODUCE:
                return self._produce(request, conduct, will_answer)
            case _:
                return self.cluster.transactions.answer(self, request, conduct.throttle_ms)

    def _produce(self, request: Request, conduct: Conduct, will_answer: bool) -> bytes | None:
        body: wire.Produce = request.body
        answers = []
        nodes: dict[int, Broker] = {}
        for batch in body.batches:
            answer = self._append(request, batch, will_answer)
            answers.append(answer)
            if answer.leader is not None and answer.leader[0] in self.cluster.brokers:
                nodes[answer.leader[0]] = self.cluster.brokers[answer.leader[0]].endpoint
        if body.acks == 0:
            return None
        return wire.produce_response(
            request.version,
            answers,
            throttle_time_ms=conduct.throttle_ms,
            endpoints=nodes.values(),
        )

    def _append(self, request: Request, batch: wire.Batch, will_answer: bool) -> PartitionAnswer:
        cluster = self.cluster
        version = request.version
        answer = PartitionAnswer(batch.topic, batch.topic_id, batch.index)
        topic = (
            cluster.by_id.get(batch.topic_id) if version >= 13 else cluster.topics.get(batch.topic)
        )
        if topic is None:
            answer.error_code = UNKNOWN_TOPIC_ID if version >= 13 else UNKNOWN_TOPIC_OR_PARTITION
            return answer
        if batch.index >= len(topic.partitions):
            answer.error_code = UNKNOWN_TOPIC_OR_PARTITION
            return answer
        partition = topic.partitions[batch.index]
        verb = partition.script.popleft() if partition.script else cluster.choose(self, partition)
        if partition.leader != self.node_id:
            answer.error_code = NOT_LEADER_OR_FOLLOWER
            if cluster.hints:
                answer.leader = (partition.leader, partition.epoch)
            return answer
        verb = self._admitted(request, batch, verb or Verb())
        answer.error_code = verb.code
        if not verb.code or verb.append:
            will_tell = will_answer and not verb.code
            self._append_to(partition, request, batch.records, answer, will_tell)
        answer.record_errors = verb.record_errors or answer.record_errors
        answer.message = verb.message
        if verb.leader is not None:
            answer.leader = verb.leader
        elif verb.hint:
            answer.leader = (partition.leader, partition.epoch)
        return answer

    def _admitted(self, request: Request, batch: wire.Batch, verb: Verb) -> Verb:
        """Return what happens to a batch, unless its transaction forbids to append it."""
        if verb.code and not verb.append:
            return verb
        refusal = self.cluster.transactions.admit(request.version, request.body, batch)
        return Verb(refusal) if refusal else verb

    def _append_to(
        self,
        partition: FakePartition,
        request: Request,
        records: bytes,
        answer: PartitionAnswer,
        will_tell: bool,
    ) -> None:
        # Without acks=all a leader tells of what no replica has yet.
        replicated = will_tell and request.body.acks < 0
        now = asyncio.get_running_loop().time()
        appended = partition.append(records, acknowledge=replicated, now=now)
        if appended.stored is not None and not appended.duplicate:
            appended.stored.stale = request.stale
        if appended.stored is not None and will_tell:
            request.told.append(appended.stored)
        if request.version >= _FIRST_PRODUCE_WITH_RECORD_ERRORS:
            answer.record_errors = list(appended.record_errors)
        answer.error_code = appended.code or answer.error_code
        if appended.duplicate and self.cluster.says_duplicate and not answer.error_code:
            answer.error_code = DUPLICATE_SEQUENCE_NUMBER
        elif not answer.error_code:
            answer.base_offset = appended.base_offset


class FakeTopic:
    """A topic with its partitions; ``error_code`` is what metadata says of it."""

    def __init__(self, name: str, partitions: list[FakePartition]) -> None:
        self.name = name
        self.topic_id = uuid.uuid5(uuid.NAMESPACE_OID, name).bytes
        self.deleted_at = 0.0
        self.partitions = partitions
        self.error_code = 0


class FakeCluster:
    """Brokers, topics and the network between them and the producer."""

    def __init__(
        self,
        nodes: int = 1,
        *,
        versions: Mapping[int, VersionRange] = KAFKA_4,
        latency: Callable[[], float] = lambda: 0.001,
        service_time: Callable[[], float] = lambda: 0.0,
        pieces: Callable[[bytes], Iterable[bytes]] = lambda frame: (frame,),
    ) -> None:
        self.versions = versions
        self.latency = latency
        self.service_time = service_time
        self.pieces = pieces
        self.topics: dict[str, FakeTopic] = {}
        self.by_id: dict[bytes, FakeTopic] = {}
        self.deleted: list[FakeTopic] = []
        self.watcher: Watcher | None = None
        # How what the producer writes is cut up on its way.
        self.outgoing: Callable[[Session, bytes], Iterable[bytes]] = lambda _, data: (data,)
        self.auto_create = 0
        self.hints = False
        # Whether a repeated batch is answered by an error code instead of its offset.
        self.says_duplicate = False
        self.api_versions_error = 0
        self.metadata_error = 0
        self.cluster_id = "fake"
        self.sasl: FakeSasl | None = None
        self.init_script: deque[int] = deque()
        self.next_producer_id = 1000
        self.chooser: Callable[[FakeBroker, Request], Conduct | None] | None = None
        self.choose: Callable[[FakeBroker, FakePartition], Verb | None] = lambda _, __: None
        self.is_stale: Callable[[], bool] = lambda: False
        self.hosts: dict[str, list[tuple[int, tuple[Any, ...]]]] = {}
        self.brokers = {node: FakeBroker(self, node) for node in range(1, nodes + 1)}
        self.transactions = FakeTransactions(self)

    @property
    def bootstrap(self) -> list[str]:
        return [f"{broker.host}:{broker.port}" for broker in self.brokers.values()]

    def add_topic(self, name: str, partitions: int = 1) -> FakeTopic:
        nodes = sorted(self.brokers)
        made = [self._make_partition(i, nodes[i % len(nodes)]) for i in range(partitions)]
        topic = self.topics[name] = FakeTopic(name, made)
        for old in self.deleted:
            if old.name == name:
                topic.topic_id = uuid.uuid5(uuid.UUID(bytes=old.topic_id), name).bytes
                for partition in made:
                    partition.forget_producers(asyncio.get_running_loop().time(), "made anew")
        self.by_id[topic.topic_id] = topic
        return topic

    def _make_partition(self, index: int, leader: int) -> FakePartition:
        partition = FakePartition(index, leader)
        partition.knows_kip_360 = self.versions is not KAFKA_2_1
        return partition

    def delete_topic(self, name: str) -> FakeTopic:
        """Delete a topic with its logs; its name can be used again, its id cannot."""
        topic = self.topics.pop(name)
        del self.by_id[topic.topic_id]
        topic.deleted_at = asyncio.get_running_loop().time()
        self.deleted.append(topic)
        return topic

    def recreate_topic(self, name: str, partitions: int) -> FakeTopic:
        """Delete a topic and make it anew: another id, empty logs."""
        self.delete_topic(name)
        return self.add_topic(name, partitions)

    def add_partition(self, name: str) -> FakePartition:
        topic = self.topics[name]
        nodes = sorted(self.brokers)
        index = len(topic.partitions)
        partition = self._make_partition(index, nodes[index % len(nodes)])
        topic.partitions.append(partition)
        return partition

    def move_leader(self, partition: FakePartition, leader: int) -> None:
        partition.stale = (partition.leader, partition.epoch)
        partition.leader = leader
        partition.epoch += 1

    @property
    def open_sessions(self) -> int:
        return sum(len(broker.sessions) for broker in self.brokers.values())

    # The network

    async def resolve(self, host: str, port: int) -> list[tuple[int, tuple[Any, ...]]]:
        await asyncio.sleep(0)
        if host in self.hosts:
            return self.hosts[host]
        for broker in self.brokers.values():
            if broker.host == host and broker.port == port:
                return [(socket.AF_INET, (host, port))]
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async def connect(self, address: tuple[Any, ...]) -> FakeBroker:
        await asyncio.sleep(self.latency())
        for broker in self.brokers.values():
            if (broker.host, broker.port) == address[:2]:
                if broker.up:
                    return broker
                if broker.when_down == "hang":
                    # TCP tries again, second after second.
                    while not broker.up:
                        await asyncio.sleep(1)
                    return broker
        raise ConnectionRefusedError(111, "Connection refused")

    # Answers of the cluster as a whole

    def metadata(self, request: Request, throttle_ms: int) -> bytes:
        asked: wire.Metadata = request.body
        names = sorted(self.topics) if asked.topics is None else asked.topics
        states = [self._topic_state(name, asked.allow_auto_topic_creation) for name in names]
        return wire.metadata_response(
            request.version,
            [broker.endpoint for broker in self.brokers.values()],
            states,
            cluster_id=self.cluster_id,
            error_code=self.metadata_error,
            throttle_time_ms=throttle_ms,
        )

    def _topic_state(self, name: str, may_create: bool) -> TopicState:
        topic = self.topics.get(name)
        if topic is None:
            if self.auto_create and may_create:
                self.add_topic(name, self.auto_create)
                return TopicState(LEADER_NOT_AVAILABLE, name, self.topics[name].topic_id, [])
            return TopicState(UNKNOWN_TOPIC_OR_PARTITION, name, bytes(16), [])
        if topic.error_code:
            return TopicState(topic.error_code, name, topic.topic_id, [])
        nodes = tuple(sorted(self.brokers))
        rows = []
        for partition in topic.partitions:
            leader, epoch = partition.leader, partition.epoch
            if partition.stale is not None and self.is_stale():
                leader, epoch = partition.stale
            rows.append(
                PartitionState(partition.error_code, partition.index, leader, epoch, nodes, nodes)
            )
        return TopicState(0, name, topic.topic_id, rows)

    def init_producer_id(self, request: Request) -> bytes:
        code = self.init_script.popleft() if self.init_script else 0
        if code:
            return wire.init_producer_id_response(request.version, code, -1, -1)
        self.next_producer_id += 1
        return wire.init_producer_id_response(request.version, 0, self.next_producer_id, 0)
