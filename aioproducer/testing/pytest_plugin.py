"""Fixtures for the tests of those who send: a cluster, a producer on it, topics, faults.

    pytest_plugins = ["aioproducer.testing.pytest_plugin"]     # in the topmost conftest.py

`kafka_cluster` is started by the first test that asks for it and shared by all of the run.
`producer` is started on the loop of the test that asks for it, by pytest-asyncio (auto and strict)
or by anyio on asyncio. Override `producer_options` to set it up.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from aioproducer.testing.cluster import ClusterStartError, KafkaCluster, KafkaUnavailableError

if TYPE_CHECKING:
    from aioproducer import AsyncProducer
    from aioproducer.testing.fake import FakeProducer
    from aioproducer.testing.proxy import FaultProxy
    from aioproducer.testing.where import Found

FOUND = pytest.StashKey["Found"]()
"""Where the run's configuration keeps the cluster, once it is started."""

_KAFKA = "--aioproducer-kafka"
_NODES = "--aioproducer-nodes"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("aioproducer", "Kafka for tests")
    group.addoption(
        _KAFKA,
        metavar="WHICH",
        default=None,
        help="a release of Kafka, or 'embedded'; otherwise the best that is here",
    )
    group.addoption(_NODES, type=int, default=None, help="how many brokers it has (default: 3)")
    parser.addini("aioproducer_kafka", "the same as --aioproducer-kafka", default="")
    parser.addini("aioproducer_nodes", "the same as --aioproducer-nodes", default="3")


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    found = config.stash.get(FOUND, None)
    if found is None:
        return
    terminalreporter.section("Kafka")
    terminalreporter.write_line(found.cluster.describe())
    for reason in found.passed_over:
        terminalreporter.write_line(f"passed over: {reason}")


# The cluster


@pytest.fixture(scope="session")
def kafka_version(pytestconfig: pytest.Config) -> str | None:
    """Which Kafka to take: a release, "embedded", or None for the best that is here."""
    given: str | None = pytestconfig.getoption(_KAFKA) or pytestconfig.getini("aioproducer_kafka")
    return given or None


@pytest.fixture(scope="session")
def kafka_found(pytestconfig: pytest.Config, kafka_version: str | None) -> Iterator[Found]:
    """The run's cluster, and why better ones were passed over."""
    from aioproducer.testing.where import VERSIONS, start_kafka

    if kafka_version is not None and kafka_version not in VERSIONS:
        raise pytest.UsageError(f"{_KAFKA} is one of {', '.join(VERSIONS)}, not {kafka_version!r}")
    nodes = pytestconfig.getoption(_NODES) or int(pytestconfig.getini("aioproducer_nodes"))
    try:
        found = start_kafka(kafka_version, nodes)
    except (KafkaUnavailableError, ClusterStartError) as error:
        pytest.fail(f"no Kafka for the tests: {error}", pytrace=False)
    pytestconfig.stash[FOUND] = found
    try:
        yield found
    finally:
        found.cluster.stop()


@pytest.fixture(scope="session")
def kafka_cluster(kafka_found: Found) -> KafkaCluster:
    """The cluster that all tests of the run share; ended with it, also when that is killed."""
    return kafka_found.cluster


# Topics


class TopicFactory(Protocol):
    """Creates a topic with a name that no other test has, and returns that."""

    def __call__(
        self,
        partitions: int = 1,
        *,
        replication: int | None = None,
        configs: Mapping[str, str] | None = None,
    ) -> str: ...


@pytest.fixture
def topic_factory(kafka_cluster: KafkaCluster, request: pytest.FixtureRequest) -> TopicFactory:
    """Creates topics with names that no other test has: `name = topic_factory(partitions=3)`."""
    stem = re.sub(r"\W+", "-", request.node.name, flags=re.ASCII)[:60].strip("-")

    def create(
        partitions: int = 1,
        *,
        replication: int | None = None,
        configs: Mapping[str, str] | None = None,
    ) -> str:
        name = f"{stem}-{uuid.uuid4().hex[:8]}"
        kafka_cluster.create_topic(name, partitions, replication, configs)
        return name

    return create


@pytest.fixture
def topic_name(topic_factory: TopicFactory) -> str:
    """The name of a topic with one partition that no other test has."""
    return topic_factory()


# Faults


@pytest.fixture(scope="session")
def _kafka_proxy(kafka_cluster: KafkaCluster) -> Iterator[FaultProxy]:
    from aioproducer.testing.proxy import FaultProxy

    with FaultProxy(kafka_cluster.bootstrap_servers, seed=0) as proxy:
        yield proxy


@pytest.fixture
def kafka_faults(_kafka_proxy: FaultProxy) -> Iterator[FaultProxy]:
    """A FaultProxy before the cluster, without faults when the test begins.

    A test that asks for it has its `producer` behind it.
    """
    hooks = _kafka_proxy.on_request, _kafka_proxy.on_answer
    yield _kafka_proxy
    _kafka_proxy.on_request, _kafka_proxy.on_answer = hooks
    _kafka_proxy.clear()
    _kafka_proxy.seen.clear()


# Producers


@pytest.fixture
def producer_options() -> Mapping[str, Any]:
    """Override it: the arguments of `producer` and `fake_producer`."""
    return {}


@pytest.fixture
def producer(request: pytest.FixtureRequest) -> AsyncProducer[Any, Any]:
    """An AsyncProducer on `kafka_cluster`, started, and closed after the test."""
    # Before there is a loop: to start a cluster takes seconds.
    request.getfixturevalue("kafka_cluster")
    made: AsyncProducer[Any, Any] = request.getfixturevalue(_on_loop_of(request, "producer"))
    return made


@pytest.fixture
def fake_producer(request: pytest.FixtureRequest) -> FakeProducer[Any, Any]:
    """A FakeProducer, started, and closed after the test; it needs no cluster."""
    made: FakeProducer[Any, Any] = request.getfixturevalue(_on_loop_of(request, "fake_producer"))
    return made


def _on_loop_of(request: pytest.FixtureRequest, name: str) -> str:
    """Return the fixture that makes a producer on the loop that the test will run on."""
    node = request.node
    if node.get_closest_marker("anyio") is not None or "anyio_backend" in request.fixturenames:
        backend = request.getfixturevalue("anyio_backend")
        kind = backend if isinstance(backend, str) else backend[0]
        if kind != "asyncio":
            pytest.skip(f"{name} needs asyncio; this test runs on {kind}")
        return f"_{name}_of_anyio"
    if not request.config.pluginmanager.hasplugin("asyncio"):
        pytest.fail(
            f"{name} needs pytest-asyncio, or anyio and @pytest.mark.anyio: it lives on a loop",
            pytrace=False,
        )
    marker = node.get_closest_marker("asyncio")
    scope = marker.kwargs.get("loop_scope") if marker is not None else None
    scope = scope or request.config.getini("asyncio_default_test_loop_scope") or "function"
    return f"_{name}_of_asyncio_{scope}"


async def _run_producer(request: pytest.FixtureRequest) -> AsyncIterator[AsyncProducer[Any, Any]]:
    from aioproducer import AsyncProducer

    behind = "kafka_faults" in request.fixturenames
    cluster = request.getfixturevalue("kafka_faults" if behind else "kafka_cluster")
    options = dict(request.getfixturevalue("producer_options"))
    async with AsyncProducer(cluster.bootstrap_servers, **options) as made:
        yield made
        if behind:
            # What the test has left open is to be delivered now.
            cluster.clear()


async def _run_fake_producer(
    request: pytest.FixtureRequest,
) -> AsyncIterator[FakeProducer[Any, Any]]:
    from aioproducer.testing.fake import FakeProducer

    async with FakeProducer(**request.getfixturevalue("producer_options")) as made:
        yield made


def _register(kind: str, fixture: Callable[..., Any], **options: str) -> None:
    for name, run in (("producer", _run_producer), ("fake_producer", _run_fake_producer)):

        async def body(request: pytest.FixtureRequest, _run: Any = run) -> AsyncIterator[Any]:
            async for made in _run(request):
                yield made

        full = f"_{name}_of_{kind}"
        globals()[full] = fixture(name=full, **options)(body)


_register("anyio", pytest.fixture)
try:
    import pytest_asyncio
except ImportError:
    pass
else:
    # A fixture's loop is chosen where it is defined, and it has to be that of the test.
    for _scope in ("function", "class", "module", "package", "session"):
        _register(f"asyncio_{_scope}", pytest_asyncio.fixture, loop_scope=_scope)
