"""Log lines that programs can read, and that nobody has to read a thousand times."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from aioproducer.patterns.circuit import CircuitState
from aioproducer.runtime.events import REPEAT_AFTER_S, EventLog
from tests.fake_broker import Conduct, FakeCluster
from tests.fake_log import Verb
from tests.named_tests import ROOT
from tests.runtime.world import outcomes, running
from tests.virtual_clock import VirtualClockLoop


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def fields(record: logging.LogRecord) -> dict[str, Any]:
    found: dict[str, Any] = record.__dict__["fields"]
    return found


def test_a_line_has_its_event_and_its_fields(caplog: pytest.LogCaptureFixture) -> None:
    log = EventLog(logging.getLogger("aioproducer"), "me", Clock())
    with caplog.at_level(logging.INFO):
        log.say(logging.INFO, "broker.connected", "broker 1 is there", broker=1)
    (record,) = caplog.records
    assert record.getMessage() == "[me] broker 1 is there"
    assert record.__dict__["event"] == "broker.connected"
    assert record.__dict__["client_id"] == "me"
    assert fields(record) == {"broker": 1}


def test_what_repeats_is_said_now_and_then_with_how_often(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    log = EventLog(logging.getLogger("aioproducer"), "me", clock)
    for _ in range(10):
        log.repeat(logging.WARNING, "broker.lost", "gone", key="1")
    log.repeat(logging.WARNING, "broker.lost", "gone", key="2")
    clock.now = REPEAT_AFTER_S
    log.repeat(logging.WARNING, "broker.lost", "gone", key="1")
    assert [record.getMessage() for record in caplog.records] == [
        "[me] gone",
        "[me] gone",
        "[me] gone (9 more times since this was last said)",
    ]
    assert [fields(record)["unsaid"] for record in caplog.records] == [0, 0, 9]


def test_very_many_keys_are_not_kept(caplog: pytest.LogCaptureFixture) -> None:
    log = EventLog(logging.getLogger("aioproducer"), "me", Clock())
    with caplog.at_level(logging.ERROR):
        for number in range(5000):
            log.repeat(logging.DEBUG, "x", "y", key=str(number))
    assert len(log._said) <= 1000


class TestWhatIsSaid:
    """One line for each change of a state, on brokers in memory."""

    def said(
        self, scene: Callable[[FakeCluster], Coroutine[Any, Any, None]],
        caplog: pytest.LogCaptureFixture, nodes: int = 1,
    ) -> list[logging.LogRecord]:  # fmt: skip
        async def main() -> None:
            cluster = FakeCluster(nodes=nodes)
            cluster.add_topic("orders", nodes)
            await scene(cluster)

        caplog.set_level(logging.INFO, "aioproducer")
        with asyncio.Runner(loop_factory=VirtualClockLoop) as runner:
            runner.run(main())
        return [record for record in caplog.records if hasattr(record, "event")]

    def test_a_quiet_life(self, caplog: pytest.LogCaptureFixture) -> None:
        async def scene(cluster: FakeCluster) -> None:
            async with running(cluster) as producer:
                for _ in range(100):
                    await producer.send("orders", b"v")

        records = self.said(scene, caplog)
        events = [record.__dict__["event"] for record in records]
        assert events == ["producer.started", "broker.connected", "producer.closed"]
        assert fields(records[1])["address"] == "broker-1:9092"
        assert fields(records[2]) == {"delivered": 100, "failed": 0, "abandoned": 0}

    def test_a_broker_that_comes_and_goes_is_said_now_and_then(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def scene(cluster: FakeCluster) -> None:
            async with running(cluster) as producer:
                for _ in range(20):
                    await producer.send("orders", b"v")
                    cluster.brokers[1].hang_up()
                    await asyncio.sleep(0.5)
                await asyncio.sleep(30)
                await producer.send("orders", b"v")
                cluster.brokers[1].hang_up()
                await asyncio.sleep(1)

        lost = [r for r in self.said(scene, caplog) if r.__dict__["event"] == "broker.lost"]
        assert [fields(record)["unsaid"] for record in lost] == [0, 19]
        assert all(record.levelno == logging.INFO for record in lost)

    def test_an_outage_is_one_line_at_each_end(self, caplog: pytest.LogCaptureFixture) -> None:
        async def scene(cluster: FakeCluster) -> None:
            async with running(cluster) as producer:
                cluster.brokers[1].stop()
                producer.send("orders", b"v")
                await asyncio.sleep(20)
                cluster.brokers[1].start()
                await producer.flush()

        events = [record.__dict__["event"] for record in self.said(scene, caplog)]
        assert events.count("cluster.unreachable") == 1
        assert events.count("cluster.reachable") == 1

    def test_failures_of_a_topic_are_said_once_in_a_while(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def scene(cluster: FakeCluster) -> None:
            async with running(cluster) as producer:
                await producer.warm_up(["orders"])
                for _ in range(10):
                    cluster.topics["orders"].partitions[0].script.append(Verb(87))
                    await outcomes([producer.send("orders", b"v")])

        records = self.said(scene, caplog)
        (failed,) = [r for r in records if r.__dict__["event"] == "records.failed"]
        assert fields(failed)["error_type"] == "InvalidRecordError"
        assert fields(failed)["topic"] == "orders"

    def test_a_throttling_broker_and_want_of_memory_are_said(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def scene(cluster: FakeCluster) -> None:
            cluster.brokers[1].script.append(Conduct(throttle_ms=500))
            async with running(cluster, buffer_memory=1000) as producer:
                await producer.warm_up(["orders"])
                await outcomes([producer.send("orders", b"." * 700) for _ in range(2)])

        records = {r.__dict__["event"]: r for r in self.said(scene, caplog)}
        assert fields(records["broker.throttles"])["milliseconds"] == 500
        assert fields(records["memory.short"])["buffer_memory"] == 1000

    def test_every_event_is_in_the_manual(self) -> None:
        """The table in docs/observability.md is complete, and nothing in it is made up."""
        source = "\n".join(path.read_text() for path in (ROOT / "aioproducer").rglob("*.py"))
        calls = re.findall(
            r"(?:\bevent|\._?say|\.repeat)\(\s*(?:logging\.\w+,\s*)?\"([a-z_]+(?:\.[a-z_]+)?)\"",
            source,
        )
        table = (ROOT / "docs" / "observability.md").read_text().partition("## Log events")[2]
        calls += [f"circuit.{state.name.lower()}" for state in CircuitState]
        named = re.findall(r"^\| (`[a-z_.]+`(?:, `[a-z_.]+`)*) \|", table, re.MULTILINE)
        assert set(calls) == {name for cell in named for name in re.findall(r"[a-z_.]+", cell)}
        assert len(set(calls)) > 15
