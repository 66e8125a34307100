"""The plugin with a cluster: shared by the run, on every kind of loop, ended with it."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.testing.test_pytest_plugin import INI, PLUGIN, ROOT, run

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.own_cluster


def test_a_cluster_is_shared_by_all_tests_and_loops(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("AIOPRODUCER_BOOTSTRAP", raising=False)
    monkeypatch.delenv("REQUIRE_KAFKA", raising=False)
    pytester.makeini(INI.format(mode="strict"))
    pytester.makeconftest(PLUGIN)
    pytester.makepyfile(
        """
        import pytest

        seen, topics = set(), set()

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

        def test_what_one_test_broke_is_whole_for_the_next(kafka_faults, topic_factory):
            (forgotten,) = [each for each in seen if hasattr(each, "struck")]
            assert forgotten.is_over
            seen.discard(forgotten)
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
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
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
