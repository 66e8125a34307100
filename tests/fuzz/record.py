"""Record what real brokers answer, for the fuzzing to start from: `python -m tests.fuzz.record`.

Writes `tests/data/recorded_answers.tsv`: release, API, version and the frame in hex, each spoken
version of each API once per release that knows it; and, as "batch", what lies in a broker's log
after librdkafka has produced with each codec.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aioproducer.testing.java_cluster import JavaCluster
from aioproducer.testing.kraft import KraftCluster
from aioproducer.testing.releases import CURRENT, RELEASES
from aioproducer.testing.zookeeper import ZookeeperCluster
from aioproducer.wire.messages import frame_request
from aioproducer.wire.messages.add_offsets_to_txn import AddOffsetsToTxnRequest
from aioproducer.wire.messages.add_partitions_to_txn import AddPartitionsToTxnRequest
from aioproducer.wire.messages.api_versions import ApiVersionsRequest, ApiVersionsResponse
from aioproducer.wire.messages.create_topics import CreateTopicsRequest, NewTopic
from aioproducer.wire.messages.delete_topics import DeleteTopicsRequest
from aioproducer.wire.messages.describe_configs import TOPIC as TOPIC_CONFIG
from aioproducer.wire.messages.describe_configs import ConfigResource, DescribeConfigsRequest
from aioproducer.wire.messages.describe_producers import DescribeProducersRequest
from aioproducer.wire.messages.describe_transactions import DescribeTransactionsRequest
from aioproducer.wire.messages.end_txn import EndTxnRequest
from aioproducer.wire.messages.find_coordinator import FindCoordinatorRequest
from aioproducer.wire.messages.init_producer_id import InitProducerIdRequest
from aioproducer.wire.messages.metadata import MetadataRequest, MetadataResponse
from aioproducer.wire.messages.produce import ProducePartition, ProduceRequest, ProduceTopic
from aioproducer.wire.messages.txn_offset_commit import (
    OffsetPartition,
    OffsetTopic,
    TxnOffsetCommitRequest,
)
from aioproducer.wire.primitives import Reader
from aioproducer.wire.record_batch import batch_header
from aioproducer.wire.record_encoder import append_record
from aioproducer.wire.versions import SPOKEN, ApiKey, VersionRange

FILE = Path(__file__).parent.parent / "data" / "recorded_answers.tsv"
TOPIC = "recorded"
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
_SIZE = struct.Struct(">i")


def main() -> int:
    lines = []
    for version, release in RELEASES.items():
        configs = {"auto.create.topics.enable": "false"}
        cluster: JavaCluster = KraftCluster(1, version, configs=configs)
        if release.needs_zookeeper:
            cluster = ZookeeperCluster(1, version, configs=configs)
        with cluster:
            cluster.create_topic(TOPIC, 2)
            lines += [f"{version}\t{line}" for line in _answers(cluster)]
            if version == CURRENT:
                lines += [f"{version}\tbatch\t{c}\t{data}" for c, data in _batches(cluster)]
        sys.stderr.write(f"{version}: {len(lines)} lines so far\n")
    FILE.write_text("\n".join(lines) + "\n")
    return 0


def _answers(cluster: JavaCluster) -> Iterator[str]:
    port = int(cluster.bootstrap_servers.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=20) as broker:
        known = _versions(broker)
        topic_id = _topic_id(broker, known[ApiKey.METADATA])
        for number, kind in enumerate(_requests(topic_id, 0)):
            spoken = SPOKEN[kind.API_KEY]
            offered = known.get(kind.API_KEY)
            if offered is None:
                continue
            for version in range(spoken.minimum, min(spoken.maximum, offered.maximum) + 1):
                frame = _ask(broker, _requests(topic_id, version)[number], version)
                yield f"{kind.API_KEY.name}\t{version}\t{frame.hex()}"


def _requests(topic_id: bytes, version: int) -> list[Any]:
    """Return one of each API, as it is asked in its ``version``."""
    body = bytearray()
    append_record(body, 0, 0, b"key", b"value", ())
    header = batch_header(
        codec_id=0, record_count=1, base_timestamp=1, max_timestamp=1, records=body
    )
    good, bad = ProducePartition(0, (header, body)), ProducePartition(77, (header, body))
    return [
        ApiVersionsRequest("aioproducer", "0"),
        MetadataRequest((TOPIC, "missing")),
        ProduceRequest(None, -1, 5000, [ProduceTopic(TOPIC, topic_id, [good, bad])]),
        FindCoordinatorRequest("somebody", 0),
        InitProducerIdRequest(None, 60_000),
        AddPartitionsToTxnRequest("somebody", 1, 0, [(TOPIC, [0, 1])]),
        AddOffsetsToTxnRequest("somebody", 1, 0, "group"),
        TxnOffsetCommitRequest(
            "somebody", "group", 1, 0, [OffsetTopic(TOPIC, [OffsetPartition(0, 5)])]
        ),
        EndTxnRequest("somebody", 1, 0, committed=True),
        CreateTopicsRequest([NewTopic(TOPIC, 1, 1), NewTopic(f"made-{version}", 2, 1)], 20_000),
        DeleteTopicsRequest(["missing", f"made-{version}"], 20_000),
        DescribeConfigsRequest([ConfigResource(TOPIC_CONFIG, TOPIC, None)]),
        DescribeProducersRequest([(TOPIC, (0, 77))]),
        DescribeTransactionsRequest(["somebody"]),
    ]


def _versions(broker: socket.socket) -> dict[int, VersionRange]:
    reader = Reader(_ask(broker, ApiVersionsRequest("aioproducer", "0"), 0))
    reader.int32()
    return dict(ApiVersionsResponse.decode(reader, 0).api_versions)


def _topic_id(broker: socket.socket, offered: VersionRange) -> bytes:
    version = min(12, offered.maximum)
    reader = Reader(_ask(broker, MetadataRequest((TOPIC,)), version))
    reader.int32()
    if version >= 9:
        reader.tagged_fields()
    return MetadataResponse.decode(reader, version).topics[0].topic_id


def _ask(broker: socket.socket, request: Any, version: int) -> bytes:
    broker.sendall(b"".join(frame_request(request, version, 7, "recorder")))
    (size,) = _SIZE.unpack(_exactly(broker, 4))
    return _exactly(broker, size)


def _exactly(broker: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = broker.recv(size - len(data))
        if not piece:
            raise EOFError("the broker hung up")
        data += piece
    return data


def _batches(cluster: JavaCluster) -> Iterator[tuple[str, str]]:
    from confluent_kafka import Producer

    for codec in CODECS:
        topic = f"{TOPIC}-{codec}"
        cluster.create_topic(topic, 1)
        settings = {"bootstrap.servers": cluster.bootstrap_servers, "compression.codec": codec}
        producer = Producer({**settings, "linger.ms": 200, "enable.idempotence": True})
        for number in range(12):
            value = b"recorded " * 5 if number % 3 else None
            producer.produce(topic, value, b"%d" % number, headers=[("h", b"v"), ("null", None)])
        producer.flush(20)
        folder = cluster.node(1).data / f"{topic}-0"
        yield codec, (folder / "00000000000000000000.log").read_bytes().hex()


if __name__ == "__main__":
    sys.exit(main())
