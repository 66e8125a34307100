"""librdkafka's mock brokers: real sockets and independent code out of the confluent-kafka wheel."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from aioproducer.testing.cluster import ClusterStartError, KafkaCluster, KafkaUnavailableError
from aioproducer.testing.proxy import FaultProxy

_PRODUCER = 0
_CONF_OK = 0


class EmbeddedCluster(KafkaCluster):
    """Kafka brokers inside this process, ready in milliseconds.

    They are lenient and know neither TLS, SASL, topic settings nor what lies on a disk: good for
    the tests of an application; a producer itself needs real brokers as well. They acknowledge
    every record as if the topic had LogAppendTime, with the time 1234.

        async with EmbeddedCluster(brokers=3) as cluster:
            async with AsyncProducer(cluster.bootstrap_servers) as producer:
                await producer.send("orders", b"value")

    Args:
        brokers: how many; their ids are 1, 2, ...
        faults: put a FaultProxy in front, on a thread of its own: ``faults.fail("Produce", ...)``.
    """

    kind: ClassVar[str] = "embedded"

    def __init__(self, brokers: int = 3, *, faults: bool = False) -> None:
        self._size = brokers
        self._wants_faults = faults
        self._proxy: FaultProxy | None = None
        self._client: int | None = None
        self._cluster: int | None = None
        self.version = "librdkafka"

    @property
    def node_ids(self) -> tuple[int, ...]:
        return tuple(range(1, self._size + 1))

    def describe(self) -> str:
        plural = "s" if self._size > 1 else ""
        return f"embedded cluster, {self._size} mock broker{plural} of {self.version}"

    def start(self) -> None:
        library = _library()
        self.version = f"librdkafka {library.rd_kafka_version_str().decode()}"
        self._client = self._new_client(library)
        self._cluster = library.rd_kafka_mock_cluster_new(self._client, self._size)
        if not self._cluster:
            self.stop()
            raise ClusterStartError("librdkafka made no mock cluster")
        addresses: bytes = library.rd_kafka_mock_cluster_bootstraps(self._cluster)
        self._bootstrap_servers = addresses.decode()
        if self._wants_faults:
            try:
                self._proxy = FaultProxy(self._bootstrap_servers).__enter__()
            except BaseException:
                self.stop()
                raise
            self._bootstrap_servers = self._proxy.bootstrap_servers

    @property
    def faults(self) -> FaultProxy:
        """What breaks requests and answers; for clusters made with ``faults=True``."""
        if self._proxy is None:
            raise RuntimeError("this cluster has no faults: EmbeddedCluster(faults=True), started")
        return self._proxy

    def stop(self) -> None:
        self._bootstrap_servers = ""
        proxy, self._proxy = self._proxy, None
        if proxy is not None:
            proxy.__exit__(None, None, None)
        if self._cluster:
            _library().rd_kafka_mock_cluster_destroy(self._cluster)
        if self._client:
            _library().rd_kafka_destroy(self._client)
        self._cluster = self._client = None

    def create_topic(
        self,
        name: str,
        partitions: int = 1,
        replication: int | None = None,
        configs: Mapping[str, str] | None = None,
    ) -> None:
        """Create a topic; mock brokers ignore its settings.

        A topic that nobody created comes to be with its first metadata request and 4 partitions.
        """
        self._check(
            _library().rd_kafka_mock_topic_create(
                self._running(), name.encode(), partitions, replication or min(3, self._size)
            )
        )

    def delete_topic(self, name: str) -> None:
        # librdkafka has no such call.
        raise NotImplementedError("mock brokers cannot delete a topic")

    def set_down(self, node_id: int) -> None:
        """Close the broker's connections and refuse new ones until `set_up`."""
        self._check(_library().rd_kafka_mock_broker_set_down(self._running(), node_id))

    def set_up(self, node_id: int) -> None:
        """Let the broker accept connections again."""
        self._check(_library().rd_kafka_mock_broker_set_up(self._running(), node_id))

    def set_leader(self, topic: str, partition: int, node_id: int) -> None:
        """Move the leadership of a partition."""
        self._check(
            _library().rd_kafka_mock_partition_set_leader(
                self._running(), topic.encode(), partition, node_id
            )
        )

    def set_round_trip(self, node_id: int, milliseconds: int) -> None:
        """Delay every answer of a broker."""
        self._check(_library().rd_kafka_mock_broker_set_rtt(self._running(), node_id, milliseconds))

    def fail_next(self, api_key: int, errors: Sequence[int]) -> None:
        """Answer the next requests of this kind with these error codes, one each."""
        _library().rd_kafka_mock_push_request_errors_array(
            self._running(), api_key, len(errors), (ctypes.c_int * len(errors))(*errors)
        )

    def _running(self) -> int:
        if self._cluster is None:
            raise RuntimeError("the embedded cluster is not started")
        return self._cluster

    @staticmethod
    def _new_client(library: ctypes.CDLL) -> int:
        # The mock cluster lives on the threads of a client that is otherwise unused.
        settings = library.rd_kafka_conf_new()
        words = ctypes.create_string_buffer(512)
        # Quiet: it would warn that it has no bootstrap servers of its own.
        library.rd_kafka_conf_set(settings, b"log_level", b"0", words, len(words))
        client: int | None = library.rd_kafka_new(_PRODUCER, settings, words, len(words))
        if not client:
            raise ClusterStartError(f"librdkafka made no client: {words.value.decode()}")
        return client

    @staticmethod
    def _check(code: int) -> None:
        if code != _CONF_OK:
            words: bytes = _library().rd_kafka_err2str(code)
            raise RuntimeError(words.decode())


@functools.cache
def _library() -> ctypes.CDLL:
    """librdkafka's public C functions, as confluent-kafka brings them along.

    confluent-kafka itself offers mock brokers by a setting, but not the functions that create
    topics, move leaders or inject errors.
    """
    try:
        from confluent_kafka import cimpl
    except ImportError as error:
        raise KafkaUnavailableError(
            'confluent-kafka is not installed: pip install "aioproducer[testing]"'
        ) from error
    extension = Path(str(cimpl.__file__))
    library = _first_with_mock_brokers(
        [extension, *extension.parents[1].glob("confluent_kafka.libs/*rdkafka*")]
    )
    for name, result, arguments in _SIGNATURES:
        function = getattr(library, name)
        function.restype = result
        function.argtypes = arguments
    return library


def _first_with_mock_brokers(files: Sequence[Path]) -> ctypes.CDLL:
    # Loading the extension module finds the functions of its libraries too, except on Windows.
    for file in files:
        library = ctypes.CDLL(str(file))
        if hasattr(library, "rd_kafka_mock_cluster_new"):
            return library
    raise KafkaUnavailableError("this build of confluent-kafka does not export mock brokers")


_POINTER = ctypes.c_void_p
_TEXT = ctypes.c_char_p
_INT = ctypes.c_int
_SIGNATURES: tuple[tuple[str, type | None, list[type]], ...] = (
    ("rd_kafka_version_str", _TEXT, []),
    ("rd_kafka_err2str", _TEXT, [_INT]),
    ("rd_kafka_conf_new", _POINTER, []),
    ("rd_kafka_conf_set", _INT, [_POINTER, _TEXT, _TEXT, _TEXT, ctypes.c_size_t]),
    ("rd_kafka_new", _POINTER, [_INT, _POINTER, _TEXT, ctypes.c_size_t]),
    ("rd_kafka_destroy", None, [_POINTER]),
    ("rd_kafka_mock_cluster_new", _POINTER, [_POINTER, _INT]),
    ("rd_kafka_mock_cluster_destroy", None, [_POINTER]),
    ("rd_kafka_mock_cluster_bootstraps", _TEXT, [_POINTER]),
    ("rd_kafka_mock_topic_create", _INT, [_POINTER, _TEXT, _INT, _INT]),
    ("rd_kafka_mock_broker_set_down", _INT, [_POINTER, ctypes.c_int32]),
    ("rd_kafka_mock_broker_set_up", _INT, [_POINTER, ctypes.c_int32]),
    ("rd_kafka_mock_broker_set_rtt", _INT, [_POINTER, ctypes.c_int32, _INT]),
    (
        "rd_kafka_mock_partition_set_leader",
        _INT,
        [_POINTER, _TEXT, ctypes.c_int32, ctypes.c_int32],
    ),
    (
        "rd_kafka_mock_push_request_errors_array",
        None,
        [_POINTER, ctypes.c_int16, ctypes.c_size_t, ctypes.POINTER(ctypes.c_int)],
    ),
)
