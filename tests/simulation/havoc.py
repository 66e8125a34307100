"""What happens to brokers, partitions, topics and the application's loop in a simulation."""

from __future__ import annotations

import asyncio

from tests.fake_log import FakePartition
from tests.simulation.faults import Faults
from tests.simulation.plan import FEWEST_FAULTS
from tests.virtual_clock import VirtualClockLoop

_ALWAYS = ("move", "move", "restart", "hang up", "partition", "topic", "leaderless", "replicas")
_LAPSES = ("forget", "forget", "unclean", "anew")


class Havoc:
    """Wreaks havoc now and then, at certain records, and until there was enough of it."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.plan = faults.plan
        self.rng = faults.rng
        self.cluster = faults.cluster
        self._busy: set[asyncio.Task[None]] = set()
        kinds = [*_ALWAYS, "limit"]
        if self.plan.lapses:
            kinds += _LAPSES
        if self.plan.blocks:
            kinds += ["block", "block"]
        self._kinds = kinds

    async def now_and_then(self) -> None:
        """Let something happen from time to time, until all is healed."""
        while not self.faults.is_sound:
            await asyncio.sleep(self.rng.expovariate(1 / self.plan.chaos))
            if not self.faults.is_sound:
                self.strike()
                if self._busy:
                    await asyncio.wait(self._busy)

    def strike(self) -> None:
        """Let one thing happen at once."""
        for _ in range(10):
            kind = self.rng.choice(self._kinds)
            happened = getattr(self, "_" + kind.replace(" ", "_"))()
            if happened:
                self.faults.counts[kind] += 1
                return

    async def finish(self) -> None:
        """Let happen what is still missing, and wait for what goes on."""
        while not self.faults.is_sound and self.faults.counts.total() < FEWEST_FAULTS:
            self.strike()
        if self._busy:
            await asyncio.wait(self._busy)

    def heal(self) -> None:
        """Have everything work again."""
        self.faults.healed = True
        for name, count in self.plan.topics.items():
            if name not in self.cluster.topics and any(
                old.name == name for old in self.cluster.deleted
            ):
                self.cluster.add_topic(name, count)
        for broker in self.cluster.brokers.values():
            broker.start()
        for partition in self.faults.partitions():
            partition.error_code = partition.refusal = 0
            partition.max_message_bytes = max(partition.max_message_bytes, 250)
            if partition.leader not in self.cluster.brokers:
                self.cluster.move_leader(partition, 1)

    # What can happen; each says whether it did

    def _go_on(self, coroutine: object) -> bool:
        task: asyncio.Task[None] = asyncio.ensure_future(coroutine)  # type: ignore[arg-type]
        self._busy.add(task)
        task.add_done_callback(self._busy.discard)
        return True

    def _partition_there(self) -> FakePartition | None:
        partitions = self.faults.partitions()
        return self.rng.choice(partitions) if partitions else None

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _move(self) -> bool:
        partition = self._partition_there()
        others = [n for n in self.cluster.brokers if partition and n != partition.leader]
        if partition is None or not others:
            return False
        self.cluster.move_leader(partition, self.rng.choice(others))
        if self.plan.truncates and partition.truncate_unacknowledged(self._now()):
            self.faults.counts["truncated"] += 1
        return True

    def _restart(self) -> bool:
        up = [broker for broker in self.cluster.brokers.values() if broker.up]
        return bool(up) and self._go_on(self._restart_broker(self.rng.choice(up).node_id))

    async def _restart_broker(self, node_id: int) -> None:
        rng = self.rng
        broker = self.cluster.brokers[node_id]
        broker.when_down = rng.choice(["refuse", "hang"])
        broker.stop()
        if self.plan.lapses and rng.random() < 0.3:
            # It comes back without the snapshot of its producers.
            self.faults.counts["restart without snapshot"] += 1
            for partition in self.faults.partitions():
                if partition.leader == node_id:
                    partition.forget_producers(self._now(), "restart without snapshot")
        await asyncio.sleep(rng.choice([0.01, 0.2, 1.0]))
        others = [n for n in self.cluster.brokers if n != node_id]
        if others and rng.random() < 0.7:
            for partition in self.faults.partitions():
                if partition.leader == node_id:
                    self.cluster.move_leader(partition, rng.choice(others))
            await asyncio.sleep(rng.choice([0.05, 1.0]))
        broker.start()

    def _hang_up(self) -> bool:
        talking = [broker for broker in self.cluster.brokers.values() if broker.sessions]
        if talking:
            self.rng.choice(talking).hang_up()
        return bool(talking)

    def _topic(self) -> bool:
        missing = [name for name in self.plan.topics if name not in self.cluster.topics]
        for name in missing:
            self.cluster.add_topic(name, self.plan.topics[name])
        return bool(missing)

    def _partition(self) -> bool:
        if not self.cluster.topics:
            return False
        name = self.rng.choice(sorted(self.cluster.topics))
        if len(self.cluster.topics[name].partitions) >= 8:
            return False
        self.cluster.add_partition(name)
        return True

    def _leaderless(self) -> bool:
        partition = self._partition_there()
        if partition is None or partition.leader < 0:
            return False
        return self._go_on(self.depose(partition, self.rng.choice([0.05, 0.5])))

    async def depose(self, partition: FakePartition, seconds: float) -> None:
        """Leave ``partition`` without a leader for a while."""
        leader = partition.leader
        self.cluster.move_leader(partition, -1)
        partition.error_code = 5
        await asyncio.sleep(seconds)
        partition.error_code = 0
        if partition.leader < 0:
            self.cluster.move_leader(partition, leader)

    def _replicas(self) -> bool:
        """Too few replicas are in sync for a while: min.insync.replicas is not met."""
        partition = self._partition_there()
        if partition is None or partition.refusal or self.plan.acks != "all":
            return False
        partition.refusal = 19
        seconds = self.rng.choice([0.05, 0.5])

        async def regain() -> None:
            await asyncio.sleep(seconds)
            partition.refusal = 0

        return self._go_on(regain())

    def _limit(self) -> bool:
        """A broker's limit is lowered while records are on their way, or raised again."""
        partition = self._partition_there()
        if partition is None:
            return False
        before = partition.max_message_bytes
        partition.max_message_bytes = self.rng.choice([150, 250, 1_000_000])
        return partition.max_message_bytes < before

    def _forget(self) -> bool:
        partition = self._partition_there()
        if partition is None or not partition.stored:
            return False
        partition.forget_producers(self._now())
        return True

    def _unclean(self) -> bool:
        partition = self._partition_there()
        if partition is None or not partition.lose_end(self.rng.randint(1, 4), self._now()):
            return False
        self.cluster.move_leader(partition, self.rng.choice(list(self.cluster.brokers)))
        return True

    def _anew(self) -> bool:
        """A topic is deleted and, sooner or later, made again."""
        # Without ids nobody can tell the new topic's low leader epochs from old news.
        if not self.cluster.topics or not self.plan.tells_topic_ids:
            return False
        name = self.rng.choice(sorted(self.cluster.topics))
        self.cluster.delete_topic(name)
        count = self.rng.choice([self.plan.topics[name], self.rng.randint(1, 4)])
        if self.rng.random() < 0.5:
            self.cluster.add_topic(name, count)
            return True
        pause = self.rng.choice([0.05, 0.5])

        async def make_again() -> None:
            await asyncio.sleep(pause)
            if name not in self.cluster.topics:
                self.cluster.add_topic(name, count)

        return self._go_on(make_again())

    def _block(self) -> bool:
        """The application computes, and nothing else runs."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualClockLoop)
        loop.block(self.rng.choice([0.02, 0.3, 2.0, 8.0]), timers_first=self.rng.random() < 0.5)
        return True
