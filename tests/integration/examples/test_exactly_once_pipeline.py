"""The pipeline example: killed at any point, each input has its result exactly once."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from aioproducer import AsyncProducer, Record
from aioproducer.testing.admin import connect
from aioproducer.testing.judge import ReadRecord, read_topic
from tests.conftest import TopicFactory
from tests.integration.committed import read_settled
from tests.integration.examples.processes import KILLED, PATIENCE, Example, wait_until

pytestmark = pytest.mark.timeout(900)

PARTITIONS = 4

# A session outlives what the brokers allow a transaction, and the 10 s after which they look:
# with aiokafka a member that a slow machine holds up for longer could do its batch beside another.
LONG = {"session_timeout_ms": 75_000, "transaction_timeout_ms": 60_000}
# Where somebody has to be given up.
SHORT = {"session_timeout_ms": 35_000, "transaction_timeout_ms": 20_000}


class Pipeline(NamedTuple):
    example: Example
    bootstrap: str
    input: str
    output: str

    def fill(self, count: int) -> None:
        asyncio.run(self._fill(count))

    async def _fill(self, count: int) -> None:
        async with AsyncProducer(self.bootstrap) as producer:
            result = await producer.send_many(
                _record(self.input, number) for number in range(count)
            )
            result.raise_for_failures()

    def arguments(self, instance: str, timeouts: Mapping[str, int] = LONG) -> list[str]:
        options = {"instance": instance, "batch_size": 20, **timeouts}
        return [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]

    @contextmanager
    def instance(
        self, name: str, timeouts: Mapping[str, int] = LONG, **environment: str
    ) -> Iterator[object]:
        with self.example.running(*self.arguments(name, timeouts), **environment) as process:
            yield process

    def committed(self) -> list[ReadRecord]:
        return read_topic(self.bootstrap, self.output, isolation="read_committed")

    def wait_for(self, count: int) -> None:
        def is_complete() -> bool:
            return len({record.value for record in self.committed()}) >= count

        try:
            wait_until(is_complete, PATIENCE, f"{count} results")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.example.output()}") from None


def _record(topic: str, number: int) -> Record[bytes, bytes]:
    return Record(topic, b"value-%d" % number, key=b"key-%d" % (number % 13))


@pytest.fixture(params=["aiokafka", "confluent"])
def pipeline(
    request: pytest.FixtureRequest, tmp_path: Path, bootstrap: str, topic: TopicFactory
) -> Pipeline:
    source, output = topic(PARTITIONS), topic(PARTITIONS)
    fixed = [f"--bootstrap={bootstrap}", f"--consumer={request.param}"]
    fixed += [f"--input={source}", f"--output={output}", f"--group={source}-group"]
    example = Example("exactly_once_pipeline", tmp_path, arguments=fixed)
    return Pipeline(example, bootstrap, source, output)


def _assert_exactly_once(pipeline: Pipeline, count: int) -> None:
    records = read_settled(pipeline.bootstrap, pipeline.output)
    values = [record.value or b"" for record in records]
    assert Counter(values) == Counter(b"VALUE-%d" % n for n in range(count)), (
        pipeline.example.output()
    )
    last: dict[bytes | None, int] = {}
    for record in records:
        number = int((record.value or b"").split(b"-")[1])
        assert number > last.get(record.key, -1), f"{record.key!r} is out of order"
        last[record.key] = number


POINTS = [
    "examples.exactly_once_pipeline:transform:after:30",
    "aioproducer.transaction:Transaction.send:after:30",
    "aioproducer.transaction:Transaction.send_offsets:before:2",
    "aioproducer.transaction:Transaction.send_offsets:amid:2",
    "aioproducer.transaction:Transaction.send_offsets:after:2",
    "aioproducer.runtime.coordinator_client:CoordinatorClient.end:before:2",
    "aioproducer.runtime.coordinator_client:CoordinatorClient.end:amid:2",
    "aioproducer.runtime.coordinator_client:CoordinatorClient.end:after:2",
    "aioproducer.producer:AsyncProducer.commit_transaction:after:2",
]


@pytest.mark.parametrize(
    ("pipeline", "point"),
    # The producer's part is the same with both consumers.
    [("aiokafka", point) for point in POINTS] + [("confluent", point) for point in POINTS[::3]],
    indirect=["pipeline"],
)
def test_a_crash_at_any_point_neither_loses_nor_doubles_a_result(
    pipeline: Pipeline, point: str
) -> None:
    pipeline.fill(100)
    assert pipeline.example.run(*pipeline.arguments("pod-0"), CRASH=point) == KILLED, (
        pipeline.example.output()
    )
    assert len(pipeline.committed()) < 100
    with pipeline.instance("pod-0"):
        pipeline.wait_for(100)
    _assert_exactly_once(pipeline, 100)


def test_kills_at_random_of_two_instances_neither_lose_nor_double_a_result(
    pipeline: Pipeline,
) -> None:
    rng = random.Random(7)
    count = 1500
    pipeline.fill(count)
    slow = {"SLOW": "examples.exactly_once_pipeline:transform:0.005"}
    for _ in range(5):
        with ExitStack() as stack:
            for name in ("pod-0", "pod-1"):
                stack.enter_context(pipeline.instance(name, **slow))
                time.sleep(rng.uniform(0.2, 2.0))
            time.sleep(rng.uniform(0.5, 2.0))
    with pipeline.instance("pod-0"), pipeline.instance("pod-1"):
        pipeline.wait_for(count)
    _assert_exactly_once(pipeline, count)


def test_a_rebalance_waits_for_the_open_transaction_and_nothing_is_done_twice(
    pipeline: Pipeline,
) -> None:
    """The second instance comes and goes for good while each transaction takes a second."""
    count = 400
    pipeline.fill(count)
    slow = {"SLOW": "examples.exactly_once_pipeline:transform:0.05"}
    with pipeline.instance("pod-0", SHORT, **slow):
        pipeline.wait_for(1)
        with pipeline.instance("pod-1", SHORT, **slow):
            _both_have_partitions(pipeline)
        # Killed, as a rule within a transaction: what it had is taken over when its session ends.
        with pipeline.instance("pod-2", SHORT):
            pipeline.wait_for(count)
    _assert_exactly_once(pipeline, count)


def _both_have_partitions(pipeline: Pipeline) -> None:
    from confluent_kafka import KafkaException

    admin = connect(pipeline.bootstrap)

    def is_shared() -> bool:
        (future,) = admin.describe_consumer_groups([f"{pipeline.input}-group"]).values()
        try:
            members = future.result().members
        except KafkaException:
            # The group's coordinator moves, or does not answer in time.
            return False
        return len(members) == 2 and all(each.assignment.topic_partitions for each in members)

    wait_until(is_shared, PATIENCE, "two members with partitions")
    time.sleep(1)


def test_one_that_freezes_before_its_commit_is_refused_when_it_wakes(pipeline: Pipeline) -> None:
    """Its partitions were given to another meanwhile, its offsets had not been committed."""
    pipeline.fill(100)
    point = "aioproducer.runtime.coordinator_client:CoordinatorClient.end:before:2"
    with ExitStack() as stack:
        # For aiokafka its session has to outlive what the brokers allow the transaction.
        timeouts = {"session_timeout_ms": 25_000, "transaction_timeout_ms": 10_000}
        frozen = stack.enter_context(
            pipeline.example.running(
                *pipeline.arguments("pod-0", timeouts), CRASH=point, END="SIGSTOP"
            )
        )
        wait_until(lambda: _is_stopped(frozen.pid), PATIENCE, "it freezes")
        stack.enter_context(pipeline.instance("pod-1"))
        pipeline.wait_for(100)
        frozen.send_signal(signal.SIGCONT)
        time.sleep(3)
    _assert_exactly_once(pipeline, 100)


def _is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T"
