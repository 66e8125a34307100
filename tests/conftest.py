"""Where Kafka comes from in the tests, on which loops they run, and what they must not leave."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import os
import re
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import NoReturn

import hypothesis
import pytest

from aioproducer.testing import KafkaCluster, KafkaUnavailableError, NodeControl
from aioproducer.testing.pytest_plugin import FOUND, TopicFactory
from aioproducer.testing.registry import SchemaRegistryProcess, named_registry
from aioproducer.testing.releases import CURRENT
from aioproducer.testing.where import REQUIRE_VARIABLE, VERSIONS, Found
from tests.postgres import PostgresMissingError, a_database, a_server

# The same examples in every run, however busy the machine.
hypothesis.settings.register_profile(
    "suite",
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("suite")

__all__ = ["FOUND", "TopicFactory"]

INTEGRATION = Path(__file__).parent / "integration"

_skipped = pytest.StashKey[list[str]]()


# What REQUIRE=kafka,postgres,... in the environment may name: where it is absent, tests that need
# it fail instead of being skipped. Each calls skip_or_fail() with its name.
REQUIRABLE = frozenset({"chromium", "kafka", "postgres", "prometheus", "registry", "toolchains"})


def required() -> frozenset[str]:
    """Return what this run must find."""
    names = {name.strip() for name in os.environ.get("REQUIRE", "").split(",")} - {""}
    unknown = names - REQUIRABLE
    if unknown:
        raise pytest.UsageError(
            f"REQUIRE names {', '.join(sorted(unknown))}; there is {', '.join(sorted(REQUIRABLE))}"
        )
    return frozenset(names)


def skip_or_fail(name: str, missing: str) -> NoReturn:
    """Skip a test for want of something, or fail it if REQUIRE names that."""
    assert name in REQUIRABLE
    if name in required():
        pytest.fail(f"REQUIRE names {name}, but {missing}", pytrace=False)
    pytest.skip(missing)


def pytest_configure(config: pytest.Config) -> None:
    if "kafka" in required():
        os.environ[REQUIRE_VARIABLE] = "1"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kafka-version",
        choices=VERSIONS,
        default=None,
        help="run against this release (or the embedded cluster) instead of the best one here",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker("kafka" if item.path.is_relative_to(INTEGRATION) else "unit")
        if "[uvloop" in item.name:
            item.add_marker(by_a_thread(item.get_closest_marker("timeout")), append=False)


def by_a_thread(limit: pytest.Mark | None) -> pytest.MarkDecorator:
    """Return a test's limit as one that also ends what hangs on uvloop.

    There, what a signal's handler raises goes to the loop's exception handler and stays there. A
    thread prints all stacks and ends the run.
    """
    arguments, options = (limit.args, limit.kwargs) if limit is not None else ((), {})
    by_thread: pytest.MarkDecorator = pytest.mark.timeout(
        *arguments, **{**options, "method": "thread"}
    )
    return by_thread


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Tests with real sockets run on both loops; old brokers add nothing to what uvloop shows."""
    factories: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
        "asyncio": asyncio.SelectorEventLoop
    }
    uses_sockets = item.path.is_relative_to(INTEGRATION)
    if uses_sockets and config.getoption("--kafka-version") in (None, CURRENT):
        try:
            import uvloop
        except ImportError:
            return factories
        factories["uvloop"] = uvloop.new_event_loop
    return factories


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    skipped = config.stash.get(_skipped, [])
    if skipped:
        terminalreporter.write_line(f"therefore skipped: {len(skipped)} tests")
        for name in sorted({re.sub(r"\[.*", "", each) for each in skipped}):
            terminalreporter.write_line(f"  {name}")


@pytest.fixture(scope="session")
def kafka_version(pytestconfig: pytest.Config) -> str | None:
    """What the plugin is to start, by the option of these tests."""
    given: str | None = pytestconfig.getoption("--kafka-version")
    return given


@pytest.fixture(scope="session")
def found(kafka_found: Found) -> Found:
    """The cluster of this run, started by the first test that needs it."""
    return kafka_found


@pytest.fixture(scope="session")
def kafka(kafka_cluster: KafkaCluster) -> KafkaCluster:
    """The cluster that all tests of a run share."""
    return kafka_cluster


@pytest.fixture
def bootstrap(kafka: KafkaCluster) -> str:
    return kafka.bootstrap_servers


@pytest.fixture
def topic(topic_factory: TopicFactory) -> TopicFactory:
    """Creates topics with names that no other test has: `name = topic(partitions=3)`."""
    return topic_factory


@pytest.fixture
def node_control(kafka: KafkaCluster) -> Iterator[NodeControl]:
    """Ends and starts nodes; all are back and in sync before the next test begins."""
    if not isinstance(kafka, NodeControl):
        pytest.skip(f"the nodes of this cluster cannot be ended: {kafka.describe()}")
    yield kafka
    kafka.restore()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL server: the one that DATABASE_URL names, or one of our own."""
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(a_server())
        except PostgresMissingError as error:
            skip_or_fail("postgres", str(error))
        yield server


@pytest.fixture
def database_url(postgres: str) -> Iterator[str]:
    """An empty database that no other test uses."""
    with a_database(postgres) as url:
        yield url


@pytest.fixture(scope="session")
def schema_registry() -> Iterator[str]:
    """The URL of a schema registry: the one that is named, or one of our own for all tests."""
    named = named_registry()
    if named is not None:
        yield named
        return
    try:
        process = SchemaRegistryProcess()
    except KafkaUnavailableError as error:
        words = "tests/serializers hold much of it on confluent-kafka's in memory (mock://)"
        skip_or_fail("registry", f"no schema registry: {error}; {words}")
    try:
        yield process.url
    finally:
        process.stop()


def skip_for_cluster(request: pytest.FixtureRequest, reason: str) -> None:
    """Skip a test and name it in the summary as one that another cluster would run."""
    request.config.stash.setdefault(_skipped, []).append(request.node.nodeid)
    pytest.skip(reason)


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    """Fail a test that leaves a thread of its own running."""
    before = set(threading.enumerate())
    yield
    left = [
        thread.name
        for thread in set(threading.enumerate()) - before
        # The default executor of the test's loop ends with the loop, which is after this; AnyIO's
        # threads are told to end when the test's task does.
        if thread.is_alive() and not thread.name.startswith(("asyncio_", "uvloop_", "AnyIO worker"))
    ]
    assert not left, f"threads left: {left}"


@pytest.fixture(autouse=True)
def no_task_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail an asynchronous test that leaves a task, a socket or a transport behind."""
    if inspect.iscoroutinefunction(getattr(request, "function", None)):
        request.getfixturevalue("_no_task_left")
    yield


@pytest.fixture
async def _no_task_left() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    assert not left, f"tasks left: {left}"
    # Unclosed transports and sockets say so when they are collected: here, not in a later test.
    gc.collect()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Leave all modules out of the collections after each test: most of their time went there."""
    gc.collect()
    gc.freeze()
