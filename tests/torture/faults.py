"""The faults. Each returns when the cluster is whole again, with words on what it did.

Only one at a time, and none before all replicas are in sync: with three replicas, two in sync and
no unclean election Kafka itself loses nothing then, so what is missing is the producer's doing.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

from aioproducer.testing.proxy import Cut, Drop, Frame, Hook
from tests.torture import moves
from tests.torture.plan import FaultKind
from tests.torture.site import PARTITIONS, Site, SiteError, make_topic, retried, topic_ids

_KILLED_SECONDS = (0.0, 6.0)  # on both sides of the 3 s after which the others notice
_FROZEN_SECONDS = (0.5, 6.0)
_TROUBLED_SECONDS = (2.0, 4.0)
_QUOTA_SECONDS = 5.0
_LOW_LIMIT, _USUAL_LIMIT = 3000, 1_048_588
_GREATEST_DELAY = 0.4
_KNOWN_SECONDS = 240.0

Fault = Callable[[Site, random.Random], Awaitable[str]]


async def inject(kind: FaultKind, site: Site, rng: random.Random) -> str:
    """Do it, undo it, and wait until all is whole.

    Returns:
        what was done; empty if the cluster would not do it, which says nothing of the producer.
    """
    try:
        words = await FAULTS[kind](site, rng)
    except SiteError as error:
        words = ""
        site.evidence[f"did not come about: {error}"] += 1
    await site.whole()
    return words


async def _kill(site: Site, rng: random.Random) -> str:
    node_id = site.cluster.node_ids[site.kills % len(site.cluster.node_ids)]
    site.kills += 1
    down = rng.uniform(*_KILLED_SECONDS)
    await asyncio.to_thread(site.cluster.kill, node_id)
    await asyncio.sleep(down)
    await asyncio.to_thread(site.cluster.restart, node_id)
    # Restarted before it was missed, others list it as its former self for a moment.
    await asyncio.to_thread(site.cluster.wait_in_sync)
    return f"node {node_id} down for {down:.1f} s"


async def _freeze(site: Site, rng: random.Random) -> str:
    node_id = await site.leader_of(rng.choice(site.recipe.steady), rng.randrange(PARTITIONS))
    frozen = rng.uniform(*_FROZEN_SECONDS)
    site.cluster.pause(node_id)
    try:
        await asyncio.sleep(frozen)
    finally:
        site.cluster.resume(node_id)
    await asyncio.sleep(1)
    return f"node {node_id} frozen for {frozen:.1f} s"


# Between producer and brokers


async def _troubled(site: Site, rng: random.Random, request: Hook, answer: Hook) -> float:
    """Let the hooks have their way for some seconds."""
    seconds = rng.uniform(*_TROUBLED_SECONDS)
    site.proxy.on_request, site.proxy.on_answer = request, answer
    try:
        await asyncio.sleep(seconds)
    finally:
        site.proxy.on_request = site.proxy.on_answer = _let_pass
    return seconds


def _let_pass(frame: Frame) -> None:
    return None


async def _cut(site: Site, rng: random.Random) -> str:
    before = site.evidence["frames cut inside"]

    def cut(frame: Frame) -> None:
        if rng.random() < 0.1:
            site.evidence["frames cut inside"] += 1
            raise Cut(rng.uniform(0.05, 0.95))

    seconds = await _troubled(site, rng, cut, cut)
    return f"{site.evidence['frames cut inside'] - before} frames in {seconds:.1f} s"


async def _delay(site: Site, rng: random.Random) -> str:
    before = site.evidence["frames delayed"]

    def delay(frame: Frame) -> float:
        site.evidence["frames delayed"] += 1
        return rng.uniform(0.0, _GREATEST_DELAY)

    seconds = await _troubled(site, rng, delay, delay)
    return f"{site.evidence['frames delayed'] - before} frames in {seconds:.1f} s"


async def _swallow(site: Site, rng: random.Random) -> str:
    """Answers to produce requests get lost: all of them, or some of those in a row."""
    before = site.evidence["answers swallowed"]
    share = rng.choice((0.2, 1.0))

    def swallow(frame: Frame) -> None:
        if frame.is_produce and rng.random() < share:
            site.evidence["answers swallowed"] += 1
            raise Drop

    seconds = await _troubled(site, rng, _let_pass, swallow)
    return f"{site.evidence['answers swallowed'] - before} answers in {seconds:.1f} s"


# Topics and their leaders


async def _reassign(site: Site, rng: random.Random) -> str:
    topic = rng.choice(site.recipe.steady)
    await retried(moves.drop_leaders, site.bootstrap, topic)
    await site.until(lambda: moves.has_replicas(site.bootstrap, topic, 2), "replicas moved away")
    await asyncio.sleep(rng.uniform(0, 1))
    await retried(moves.fill_up, site.bootstrap, topic, site.cluster.node_ids)
    await site.until(lambda: moves.has_replicas(site.bootstrap, topic, 3), "replicas moved back")
    return f"{topic}: {PARTITIONS} partitions left their leader's disk and came back"


async def _move_leaders(site: Site, rng: random.Random) -> str:
    topic = rng.choice(site.recipe.steady)
    times = rng.randint(1, 3)
    for _ in range(times):
        try:
            await asyncio.to_thread(moves.lead_elsewhere, site.bootstrap, topic)
        except TimeoutError as error:
            raise SiteError(str(error)) from None
        site.evidence["leaders moved"] += PARTITIONS
        await site.whole()
    return f"{topic}: {times} times"


async def _remake(site: Site, rng: random.Random) -> str:
    name = site.recipe.remade
    async with asyncio.timeout(_KNOWN_SECONDS):
        while len(ids := await topic_ids(site.bootstrap, name)) > 1 or bytes(16) in ids:
            await asyncio.sleep(0.1)
    [old] = ids
    gone = rng.uniform(0, 1.5)
    await retried(site.cluster.delete_topic, name)
    await asyncio.sleep(gone)
    await make_topic(site.cluster, name)
    async with asyncio.timeout(_KNOWN_SECONDS):
        # Until each broker by itself knows the new one: no request can meet the old one then.
        while len(ids := await topic_ids(site.bootstrap, name)) > 1 or ids & {old, bytes(16)}:
            await asyncio.sleep(0.1)
    site.excused_below[:] = [len(lane.journal) for lane in site.load.lanes]
    return f"gone for {gone:.1f} s"


# Limits


async def _lose_min_isr(site: Site, rng: random.Random) -> str:
    """Three replicas in sync are asked for while one broker is dead."""
    topic = rng.choice(site.recipe.steady)
    node_id = await site.leader_of(topic, rng.randrange(PARTITIONS))
    await site.set_topic(topic, {"min.insync.replicas": "3"})
    await asyncio.sleep(0.5)
    await asyncio.to_thread(site.cluster.kill, node_id)
    await asyncio.sleep(rng.uniform(4, 6))
    await asyncio.to_thread(site.cluster.restart, node_id)
    await asyncio.to_thread(site.cluster.wait_in_sync)
    await site.whole()
    await site.set_topic(topic, {"min.insync.replicas": "2"})
    return f"{topic} wanted 3 of 3 while node {node_id} was dead"


async def _set_quota(site: Site, rng: random.Random) -> str:
    lane = rng.choice(site.load.lanes)
    rate = rng.choice((2_000, 5_000))
    before = lane.producer.metrics().throttle_time_total_ms
    await _alter_quota(site, lane.producer.client_id, "--add-config", f"producer_byte_rate={rate}")
    try:
        await asyncio.sleep(_QUOTA_SECONDS)
    finally:
        name = "producer_byte_rate"
        await _alter_quota(site, lane.producer.client_id, "--delete-config", name)
    throttled = lane.producer.metrics().throttle_time_total_ms - before
    site.evidence["milliseconds of throttling"] += throttled
    return f"{rate} B/s for {lane.producer.client_id}: throttled by {throttled / 1000:.1f} s"


async def _alter_quota(site: Site, client_id: str, action: str, config: str) -> None:
    await retried(
        site.cluster.run_tool,
        "kafka.admin.ConfigCommand",
        *("--bootstrap-server", site.bootstrap, "--alter"),
        *("--entity-type", "clients", "--entity-name", client_id),
        *(action, config),
    )


async def _lower_limit(site: Site, rng: random.Random) -> str:
    topic = rng.choice(site.recipe.steady)
    await site.set_topic(topic, {"max.message.bytes": str(_LOW_LIMIT)})
    await asyncio.sleep(rng.uniform(3, 6))
    await site.set_topic(topic, {"max.message.bytes": str(_USUAL_LIMIT)})
    return f"{topic}: {_LOW_LIMIT} bytes"


FAULTS: dict[FaultKind, Fault] = {
    FaultKind.KILL: _kill,
    FaultKind.FREEZE: _freeze,
    FaultKind.CUT: _cut,
    FaultKind.DELAY: _delay,
    FaultKind.SWALLOW: _swallow,
    FaultKind.REASSIGN: _reassign,
    FaultKind.LEADERS: _move_leaders,
    FaultKind.REMAKE: _remake,
    FaultKind.MIN_ISR: _lose_min_isr,
    FaultKind.QUOTA: _set_quota,
    FaultKind.LIMIT: _lower_limit,
}
