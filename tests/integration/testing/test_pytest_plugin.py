"""The plugin in the projects of its users: on every kind of loop, with a cluster and without."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.own_cluster
ROOT = Path(__file__).parents[3]
PLUGIN = "pytest_plugins = ['aioproducer.testing.pytest_plugin']\n"
INI = """
[pytest]
asyncio_mode = {mode}
asyncio_default_fixture_loop_scope = function
filterwarnings = error
"""


@pytest.fixture(autouse=True)
def own_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", *arguments)


def test_a_fake_producer_lives_on_the_loop_of_its_test(pytester: pytest.Pytester) -> None:
    """In strict mode, on loops of every scope, and beside it on anyio's."""
    pytester.makeini(INI.format(mode="strict"))
    pytester.makeconftest(
        PLUGIN
        + """
import pytest

@pytest.fixture
def producer_options():
    return {"value_serializer": "json"}
"""
    )
    pytester.makepyfile(
        """
        import asyncio
        import pytest

        used = []

        async def use(producer):
            assert producer.config.value_serializer == "json"
            assert (await producer.send("orders", {"a": 1})).offset == 0
            used.append(producer)

        @pytest.mark.asyncio
        async def test_function(fake_producer):
            await use(fake_producer)

        @pytest.mark.asyncio(loop_scope="module")
        async def test_module(fake_producer):
            await use(fake_producer)

        @pytest.mark.asyncio(loop_scope="session")
        async def test_session(fake_producer):
            await use(fake_producer)

        @pytest.mark.anyio
        async def test_anyio(fake_producer):
            await use(fake_producer)

        def test_each_had_its_own_and_all_are_closed():
            assert len(set(used)) == 4
            assert all(each.closed for each in used)
        """
    )
    pytester.makepyfile(
        test_trio="""
        import pytest

        @pytest.fixture
        def anyio_backend():
            return "trio"

        @pytest.mark.anyio
        async def test_trio(fake_producer):
            raise AssertionError("never run")
        """
    )
    result = run(pytester, "-rs")
    result.assert_outcomes(passed=5, skipped=1)
    result.stdout.fnmatch_lines(["*fake_producer needs asyncio; this test runs on trio*"])


def test_auto_mode_with_loops_of_the_session(pytester: pytest.Pytester) -> None:
    pytester.makeini(INI.format(mode="auto") + "asyncio_default_test_loop_scope = session\n")
    pytester.makeconftest(PLUGIN)
    pytester.makepyfile(
        """
        import pytest

        async def test_send(fake_producer):
            assert (await fake_producer.send("orders", b"v")).offset == 0

        @pytest.mark.asyncio(loop_scope="function")
        async def test_function(fake_producer):
            assert (await fake_producer.send("orders", b"v")).offset == 0
        """
    )
    run(pytester).assert_outcomes(passed=2)


def test_without_a_plugin_for_loops_the_reason_is_said(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(PLUGIN)
    pytester.makepyfile("def test_it(fake_producer): pass")
    result = run(pytester, "-p", "no:asyncio", "-p", "no:timeout")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*fake_producer needs pytest-asyncio, or anyio*"])


def test_a_kafka_that_there_is_not_is_named_with_those_that_there_are(
    pytester: pytest.Pytester,
) -> None:
    pytester.makeconftest(PLUGIN)
    pytester.makepyfile("def test_it(kafka_cluster): pass")
    result = run(pytester, "--aioproducer-kafka", "1.0")
    assert "--aioproducer-kafka is one of" in result.stdout.str() + result.stderr.str()
    assert result.ret != 0


def test_loading_it_brings_neither_clusters_nor_their_clients() -> None:
    """It is for those who ask for it, and even they pay for a cluster only when one is used."""
    code = (
        "import sys, aioproducer.testing.pytest_plugin as p\n"
        "print(sorted(sys.modules.keys() & {'confluent_kafka', 'docker', 'testcontainers',"
        " 'cryptography', 'ctypes.util', 'uvloop', 'aiokafka'}))"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert told.stdout.strip() == "[]"


def test_it_is_no_entry_point() -> None:
    """Whoever has the package installed does not get fixtures that were not asked for."""
    assert "pytest11" not in (ROOT / "pyproject.toml").read_text()


def test_a_cluster_is_shared_by_all_tests_and_loops(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AIOPRODUCER_BOOTSTRAP", raising=False)
    monkeypatch.delenv("REQUIRE_KAFKA", raising=False)
    pytester.makeini(INI.format(mode="strict"))
    pytester.makeconftest(PLUGIN)
    pytester.makepyfile(
        """
        import pytest

        seen, topics, left = set(), set(), []

        async def use(kafka_cluster, producer, topic_name):
            assert producer.config.bootstrap_servers == tuple(
                kafka_cluster.bootstrap_servers.split(",")
            )
            assert (await producer.send(topic_name, b"v")).offset == 0
            seen.add(kafka_cluster)
            topics.add(topic_name)

        @pytest.mark.asyncio
        async def test_function(kafka_cluster, producer, topic_name):
            await use(kafka_cluster, producer, topic_name)

        @pytest.mark.asyncio(loop_scope="session")
        async def test_session(kafka_cluster, producer, topic_name):
            await use(kafka_cluster, producer, topic_name)

        @pytest.mark.anyio
        async def test_anyio(kafka_cluster, producer, topic_name, anyio_backend):
            await use(kafka_cluster, producer, topic_name)

        @pytest.fixture
        def anyio_backend():
            return "asyncio"

        @pytest.mark.asyncio
        async def test_faults_are_in_the_way(producer, topic_name, kafka_faults):
            fault = kafka_faults.fail("Produce", "NOT_LEADER_OR_FOLLOWER", times=2)
            forgotten = kafka_faults.swallow("EndTxn", times=None)
            await producer.send(topic_name, b"v")
            assert fault.struck == 2
            seen.add(forgotten)
            kafka_faults.on_request = kafka_faults.on_answer = seen.discard
            kafka_faults.refuse()
            left.append(producer.send(topic_name, b"w"))

        def test_what_one_test_broke_is_whole_for_the_next(kafka_faults, topic_factory):
            (forgotten,) = [each for each in seen if hasattr(each, "struck")]
            assert forgotten.is_over
            seen.discard(forgotten)
            assert left[0].exception() is None, "the outage outlasted the producer"
            assert seen.discard not in (kafka_faults.on_request, kafka_faults.on_answer)
            assert len(seen) == 1 and len(topics) == 3
            assert topic_factory(partitions=2) not in topics
        """
    )
    result = run(pytester, "--aioproducer-kafka", "embedded", "--aioproducer-nodes", "2")
    result.assert_outcomes(passed=5)
    result.stdout.fnmatch_lines(["*embedded cluster, 2 mock brokers*"])


def test_a_run_that_is_killed_leaves_no_broker(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With something quick for a broker; test_owned_clusters.py kills owners of real ones."""
    pytester.makeconftest(
        PLUGIN
        + """
import pathlib

from aioproducer.testing import where
from aioproducer.testing.supervision import Supervisor


class Quick(where.NamedCluster):
    def start(self):
        self.supervisor = Supervisor()
        log = self.supervisor.directory / "log"
        process = self.supervisor.spawn(["sleep", "1000"], log)
        pathlib.Path("broker.pid").write_text(str(process.pid))


where.candidates = lambda *args, **named: [Quick("localhost:9092")]
"""
    )
    pytester.makepyfile(
        """
        import os, signal

        def test_it(kafka_cluster):
            os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    result = run(pytester)
    assert result.ret == -signal.SIGKILL
    pid = (pytester.path / "broker.pid").read_text()
    deadline = time.monotonic() + 60
    while is_alive(pid):
        assert time.monotonic() < deadline, "the broker outlived its run"
        time.sleep(0.05)


def is_alive(pid: str) -> bool:
    """Whether a process runs; one that nobody has fetched is dead."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in ("Z", "X")
