"""One run: fill the input, keep copiers alive, kill them and the brokers, judge the output."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from aioproducer import AsyncProducer, RecordMetadata
from aioproducer.testing.judge import read_topic
from aioproducer.testing.kraft import KraftCluster
from aioproducer.testing.supervision import Supervisor, tail
from tests.bounce.copier import Job
from tests.bounce.verdict import Tally, complaints, counted
from tests.integration.committed import read_settled
from tests.integration.transactions.helpers import TOOL, hanging_transactions

ROOT = Path(__file__).parents[2]
_ENDING_SECONDS = 120.0
"""Well above the transaction timeout of a copier."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How much is copied, and how hard it is made."""

    records: int = 100_000
    seconds: float = 300.0
    """How long the input grows; the faults last until it is copied."""
    partitions: int = 6
    copiers: int = 2
    largest: int = 500
    seed: int = 1
    patience: float = 1800.0
    """How long the rest may take once the input is whole."""


@dataclass(slots=True)
class Outcome:
    """What came of a run."""

    rows: list[tuple[str, object]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class Copiers:
    """The copying processes; each is started again when it ends."""

    def __init__(self, settings: Settings, jobs: list[Job]) -> None:
        self.kills = 0
        self.starts = 0
        self._rng = random.Random(settings.seed + 1)
        self._jobs = jobs
        # They end with this process, whatever ends it.
        self._supervisor = Supervisor()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def see_to(self) -> None:
        """Start whoever does not run."""
        for job in self._jobs:
            process = self._processes.get(job.name)
            if process is not None and process.poll() is None:
                continue
            self.starts += 1
            job = Job(**{**asdict(job), "seed": self._rng.randrange(2**31)})
            self._processes[job.name] = self._supervisor.spawn(
                [sys.executable, "-m", "tests.bounce.copier", json.dumps(asdict(job))],
                self._log(job.name),
                cwd=ROOT,
                environment={**os.environ, "PYTHONPATH": str(ROOT)},
            )

    def choose(self) -> str:
        """Return the name of one."""
        return self._rng.choice(list(self._processes))

    def progress(self, name: str | None = None) -> int:
        """Return a number that grows with every transaction, of one or of all together."""
        names = [job.name for job in self._jobs] if name is None else [name]
        logs = [self._log(each) for each in names]
        return sum(log.stat().st_size for log in logs if log.exists())

    def _log(self, name: str) -> Path:
        return self._supervisor.directory / f"{name}.log"

    def kill(self, name: str) -> None:
        """kill -9 a copier, wherever it is."""
        process = self._processes[name]
        if process.poll() is None:
            process.kill()
            process.wait()
            self.kills += 1

    def end(self) -> None:
        """Let all end by themselves, and make those that do not."""
        for process in self._processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self._processes.values():
            try:
                process.wait(timeout=120)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def tally(self) -> Tally:
        tally = Tally()
        for job in self._jobs:
            tally.read(self._log(job.name).read_text().splitlines())
        return tally

    def last_words(self) -> str:
        return "\n".join(tail(self._log(job.name)) for job in self._jobs)

    def close(self) -> None:
        """Kill whoever is left, remove the logs."""
        self._supervisor.close()


async def run(settings: Settings, progress: Callable[[str], None]) -> Outcome:
    """Run once; what is wrong stands in the outcome."""
    configs = {
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
        "group.min.session.timeout.ms": "1000",
    }
    async with KraftCluster(3, configs=configs) as cluster:
        return await _run(settings, cluster, progress)


async def _run(
    settings: Settings, cluster: KraftCluster, progress: Callable[[str], None]
) -> Outcome:
    bootstrap, group = cluster.bootstrap_servers, "bounce"
    for name in ("input", "output"):
        await asyncio.to_thread(cluster.create_topic, name, settings.partitions)
    jobs = [
        Job(bootstrap, "input", "output", group, f"copier-{n}", 0, settings.largest)
        for n in range(settings.copiers)
    ]
    copiers = Copiers(settings, jobs)
    started = time.monotonic()
    bounces: Counter[int] = Counter()
    done = asyncio.Event()
    filling = asyncio.create_task(_fill(bootstrap, settings))
    tasks = [
        asyncio.create_task(_bounce_copiers(copiers, settings, done)),
        asyncio.create_task(_bounce_brokers(cluster, copiers, settings, bounces, done)),
    ]
    try:
        await filling
        progress(f"input whole after {time.monotonic() - started:.0f} s")
        finished = await _wait_until_copied(bootstrap, group, settings, progress)
        # A fault that breaks while it is at work must not pass for none.
        done.set()
        await asyncio.gather(*tasks)
    finally:
        for task in (filling, *tasks):
            task.cancel()
        await asyncio.wait((filling, *tasks))
        await asyncio.to_thread(copiers.end)
    tally, last_words = copiers.tally(), copiers.last_words()
    copiers.close()
    await asyncio.to_thread(cluster.restore)
    seconds = time.monotonic() - started
    outcome = await asyncio.to_thread(_judge, settings, cluster)
    if not finished:
        outcome.problems.insert(0, f"not copied in time\n{last_words}")
    outcome.rows[:0] = [
        ("cluster", cluster.describe()),
        ("seed", settings.seed),
        ("seconds of faults", f"{seconds:.0f}"),
        ("copiers killed -9", f"{copiers.kills} times, {copiers.starts} starts of {len(jobs)}"),
        ("brokers killed -9", f"{bounces.total()} times, in turn"),
        ("transactions committed (that were reported)", tally.transactions),
        ("transactions aborted", counted(tally.aborted)),
        ("copiers that ended by themselves", counted(tally.ended)),
    ]
    return outcome


async def _fill(bootstrap: str, settings: Settings) -> None:
    """Write the numbers at a steady pace; the brokers die under this producer too."""
    async with AsyncProducer(bootstrap, linger_ms=20, delivery_timeout_ms=600_000) as producer:
        loop = asyncio.get_running_loop()
        started, deliveries = loop.time(), []
        for number in range(settings.records):
            due = started + settings.seconds * number / settings.records
            if due - loop.time() > 0.02:
                await asyncio.sleep(due - loop.time())
            partition = number % settings.partitions
            deliveries.append(producer.send("input", b"%d" % number, partition=partition))
            await producer.drain()
        await producer.flush()
        assert all(isinstance(delivery.result(), RecordMetadata) for delivery in deliveries)


async def _bounce_copiers(copiers: Copiers, settings: Settings, done: asyncio.Event) -> None:
    rng = random.Random(settings.seed + 2)
    while not done.is_set():
        copiers.see_to()
        victim = copiers.choose()
        # As a rule it has done something; now and then it is hit while it starts.
        if rng.random() < 0.8:
            await _until_progress(done, lambda name=victim: copiers.progress(name))
        await _pause(done, rng.uniform(0.0, 6.0))
        if not done.is_set():
            await asyncio.to_thread(copiers.kill, victim)


async def _until_progress(done: asyncio.Event, measure: Callable[[], int]) -> None:
    """Wait until something was copied, however slow the machine; not for ever."""
    before = measure()
    for _ in range(100):
        await _pause(done, 0.2)
        if done.is_set() or measure() > before:
            return


async def _bounce_brokers(
    cluster: KraftCluster,
    copiers: Copiers,
    settings: Settings,
    bounces: Counter[int],
    done: asyncio.Event,
) -> None:
    rng = random.Random(settings.seed + 3)
    while True:
        for node_id in cluster.node_ids:
            await _until_progress(done, copiers.progress)
            await _pause(done, rng.uniform(1.0, 4.0))
            if done.is_set():
                return
            await asyncio.to_thread(cluster.kill, node_id)
            bounces[node_id] += 1
            await _pause(done, rng.uniform(0.0, 4.0))
            await asyncio.to_thread(cluster.restart, node_id)
            await asyncio.to_thread(cluster.wait_in_sync)


async def _pause(done: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await done.wait()
    except TimeoutError:
        pass


async def _wait_until_copied(
    bootstrap: str, group: str, settings: Settings, progress: Callable[[str], None]
) -> bool:
    """Wait until the group has committed the end of the input; returns whether it came to that."""
    deadline = time.monotonic() + settings.patience
    reported = time.monotonic()
    while time.monotonic() < deadline:
        left = await _left(bootstrap, group, settings)
        if left == 0:
            return True
        if left is not None and time.monotonic() - reported > 10:
            reported = time.monotonic()
            progress(f"{left} records left")
        await asyncio.sleep(1)
    return False


async def _left(bootstrap: str, group: str, settings: Settings) -> int | None:
    """Return how many records the group has not committed; `None` while nobody can tell."""
    from aiokafka.admin import AIOKafkaAdminClient
    from aiokafka.errors import KafkaError

    # Not librdkafka's: its admin client does not survive brokers that die under a request.
    client = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=5000)
    try:
        async with asyncio.timeout(15):
            await client.start()
            found = await client.list_consumer_group_offsets(group)
    except (KafkaError, OSError):
        return None
    finally:
        await client.close()
    return settings.records - sum(max(0, place.offset) for place in found.values())


def _judge(settings: Settings, cluster: KraftCluster) -> Outcome:
    """Compare input and output with what was sent, and look for transactions that hang."""
    outcome = Outcome()
    bootstrap = cluster.bootstrap_servers
    for name in ("input", "output"):
        numbers: dict[int, list[int]] = {}
        # What a killed copier left open is aborted in its time, and hides what is behind it.
        for record in read_settled(bootstrap, name):
            numbers.setdefault(record.partition, []).append(int(record.value or b"-1"))
        outcome.rows.append((f"{name}, read committed", sum(map(len, numbers.values()))))
        lines = complaints(numbers, settings.records, settings.partitions)
        outcome.problems += [f"{name}: {line}" for line in lines]
    written = len(read_topic(bootstrap, "output", timeout=120))
    outcome.rows.append(("output, aborted ones too", written))
    hanging = hanging_transactions(cluster)
    states = Counter(_states(cluster))
    deadline = time.monotonic() + _ENDING_SECONDS
    while not _are_over(states) and time.monotonic() < deadline:
        time.sleep(1)
        states = Counter(_states(cluster))
    outcome.rows += [
        ("hanging transactions", len(hanging)),
        ("transactional ids by state", counted(states)),
        ("lost, repeated, reordered", "none" if not outcome.problems else "see below"),
    ]
    outcome.problems += [f"hanging: {line}" for line in hanging]
    outcome.problems += [f"a transaction is {s}" for s in states if not _are_over([s])]
    return outcome


def _are_over(states: Iterable[str]) -> bool:
    return all(state.startswith("Complete") for state in states)


def _states(cluster: KraftCluster) -> list[str]:
    """Return the state of each transactional id, as its coordinator has it."""
    output = cluster.run_tool(TOOL, "--bootstrap-server", cluster.bootstrap_servers, "list")
    rows = [line.split() for line in output.splitlines()[1:] if line.strip()]
    return [row[3] for row in rows if len(row) >= 4 and row[3] != "Empty"]
