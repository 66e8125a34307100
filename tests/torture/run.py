"""One run from the start of the cluster to the verdict."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aioproducer.testing import KraftCluster
from aioproducer.testing.judge import read_topic_async
from aioproducer.testing.proxy import FaultProxy
from tests.torture.dump import dump_topic
from tests.torture.faults import inject
from tests.torture.journal import Outcome
from tests.torture.judge import Judge, Verdict
from tests.torture.load import Load, open_lanes
from tests.torture.plan import FaultKind
from tests.torture.recipe import Recipe
from tests.torture.site import Site, make_topics
from tests.torture.summary import Summary

_SETTLE_SECONDS = 240.0
_READ_SECONDS = 600.0
_PEACE_SECONDS = (0.3, 1.5)
_TICK_SECONDS = 5.0

Show = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Settings:
    """What is asked for; the load goes on until both records and faults are through."""

    records: int
    faults: list[FaultKind]
    seed: int
    minutes: float
    rate: float
    is_idempotent: bool = True


@dataclass(slots=True)
class Run:
    """What is known while it runs."""

    settings: Settings
    show: Show
    recipe: Recipe
    faults: Counter[FaultKind] = field(default_factory=Counter)
    now: str = ""
    started: float = field(default_factory=time.monotonic)
    surprises: list[str] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    @property
    def is_out_of_time(self) -> bool:
        return self.seconds > self.settings.minutes * 60

    def progress(self, load: Load) -> str:
        minutes, seconds = divmod(int(self.seconds), 60)
        return (
            f"{minutes:3}:{seconds:02}  {load.sent:,} sent"
            f"  {load.count(Outcome.ACKNOWLEDGED):,} acknowledged"
            f"  {load.failed:,} failed  {load.open:,} open"
            f"  fault {self.faults.total()}/{len(self.settings.faults)}  {self.now}"
        )


async def torture(settings: Settings, show: Show) -> Summary:
    """Run it on the running loop.

    Args:
        show: is given a line whenever something happens, and every few seconds.

    Raises:
        SiteError, ClusterStartError: the cluster itself did not do what it should.
    """
    steady = [f"steady-{index}" for index in range(3)]
    run = Run(settings, show, Recipe(settings.seed, steady, "remade"))
    asyncio.get_running_loop().set_exception_handler(_collector(run.surprises))
    cluster = KraftCluster(3, configs={"auto.create.topics.enable": "false"})
    async with cluster, FaultProxy(cluster.bootstrap_servers, remember=0) as proxy:
        show(cluster.describe())
        await make_topics(cluster, run.recipe)
        direct, proxied = cluster.bootstrap_servers, proxy.bootstrap_servers
        lanes = open_lanes(
            run.recipe, direct, proxied, settings.rate, is_idempotent=settings.is_idempotent
        )
        async with lanes as load:
            site = Site(cluster, proxy, run.recipe, load, excused_below=[0] * len(load.lanes))
            cpu, started = time.thread_time(), time.monotonic()
            await _load_and_faults(run, site)
            summary = _summarize(run, site, time.monotonic() - started, time.thread_time() - cpu)
        await site.whole()
        summary.verdict = await _judge(run, site)
    summary.surprises = run.surprises
    summary.total_seconds = run.seconds
    return summary


async def _load_and_faults(run: Run, site: Site) -> None:
    load = site.load
    async with asyncio.TaskGroup() as group:
        for lane in load.lanes:
            group.create_task(lane.run(load), name=f"lane {lane.index}")
        async with _progress_shown(run, load):
            await _inject_all(run, site)
            run.now = "no more faults"
            load.rate_per_lane *= 2
            while load.sent < run.settings.records and not run.is_out_of_time:
                await asyncio.sleep(0.2)
            load.is_stopped = True
            run.now = "the last answers"
            async with asyncio.timeout(_SETTLE_SECONDS):
                while load.open:
                    await asyncio.sleep(0.1)


async def _inject_all(run: Run, site: Site) -> None:
    for number, kind in enumerate(run.settings.faults):
        if run.is_out_of_time:
            return
        # Of its own, so that a fault does the same whatever those before it took of the dice.
        rng = random.Random(f"{run.settings.seed} {number}")
        run.now = ""
        await asyncio.sleep(rng.uniform(*_PEACE_SECONDS))
        run.now = kind.value
        started = run.seconds
        words = await inject(kind, site, rng)
        run.faults[kind] += bool(words)
        run.show(f"{run.progress(site.load)}: {words} ({run.seconds - started:.1f} s)")


async def _judge(run: Run, site: Site) -> Verdict:
    judge = Judge(run.recipe, [lane.journal for lane in site.load.lanes], site.excused_below)
    for topic in (*run.recipe.steady, run.recipe.remade):
        run.show(f"reading {topic}")
        records = await read_topic_async(site.bootstrap, topic, timeout=_READ_SECONDS)
        await asyncio.to_thread(judge.read, topic, records)
        dumps = await asyncio.to_thread(dump_topic, site.cluster, topic)
        for partition, batches in dumps.items():
            judge.dumped(topic, partition, batches)
        judge.count(topic, len(records), sum(b.count for each in dumps.values() for b in each))
    return await asyncio.to_thread(judge.finish)


def _summarize(run: Run, site: Site, seconds: float, cpu_seconds: float) -> Summary:
    load = site.load
    errors: Counter[str] = Counter()
    for lane in load.lanes:
        errors.update(lane.journal.errors)
    return Summary(
        title=f"seed {run.settings.seed}, {site.cluster.describe()}",
        sent=load.sent,
        acknowledged=load.count(Outcome.ACKNOWLEDGED),
        failed=load.count(Outcome.NOT_PERSISTED),
        maybe=load.count(Outcome.MAYBE),
        retried=sum(lane.producer.metrics().record_retry_total for lane in load.lanes),
        errors=errors,
        faults=run.faults,
        evidence=site.evidence,
        verdict=Verdict(),
        load_seconds=seconds,
        loop_cpu_seconds=cpu_seconds,
    )


@asynccontextmanager
async def _progress_shown(run: Run, load: Load) -> AsyncIterator[None]:
    async def keep_showing() -> None:
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            run.show(run.progress(load))

    task = asyncio.create_task(keep_showing(), name="progress")
    try:
        yield
    finally:
        task.cancel()


def _collector(
    surprises: list[str],
) -> Callable[[asyncio.AbstractEventLoop, dict[str, Any]], None]:
    """Nothing may reach the loop's exception handler: each Delivery is looked at."""

    def collect(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        surprises.append(f"{context.get('message')}: {context.get('exception')!r}")

    return collect
