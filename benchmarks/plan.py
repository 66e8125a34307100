"""What is measured, and in which order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.arguments import Settings
from benchmarks.job import Job, Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One table: a load that every client gets alike."""

    kind: Kind
    value_size: int
    linger_ms: int
    seconds: float

    def title(self, settings: Settings) -> str:
        """Return the heading of the table."""
        codec = "" if settings.compression == "none" else f", {settings.compression}"
        keys = "16 B keys" if settings.keys else "16 B keys never seen before"
        load = f"{self.value_size} B values, {keys}{codec}, linger {self.linger_ms} ms"
        if self.kind == "throughput":
            return f"Throughput: {load}, at most {settings.window} un-awaited"
        return f"Latency: {load}, {settings.rate} records/s"

    def job(self, settings: Settings, peer: str, bootstrap_servers: str, topic: str) -> Job:
        """Return what ``peer`` has to do."""
        return Job(
            peer=peer,
            kind=self.kind,
            bootstrap_servers=bootstrap_servers,
            topic=topic,
            value_size=self.value_size,
            linger_ms=self.linger_ms,
            seconds=self.seconds,
            warm_up=settings.warm_up,
            window=settings.window,
            rate=settings.rate,
            keys=settings.keys,
            batch_size=settings.batch_size,
            compression=settings.compression,
            loop=settings.loop,
        )


def scenarios(settings: Settings) -> list[Scenario]:
    """Return the tables that were asked for, in their order."""
    wanted: list[Scenario] = []
    if "throughput" in settings.measure:
        wanted += [
            Scenario(
                kind="throughput",
                value_size=size,
                linger_ms=settings.linger_ms,
                seconds=settings.seconds,
            )
            for size in settings.sizes
        ]
    if "latency" in settings.measure:
        wanted += [
            Scenario(
                kind="latency",
                value_size=settings.latency_size,
                linger_ms=linger_ms,
                seconds=settings.latency_seconds,
            )
            for linger_ms in settings.latency_linger_ms
        ]
    return wanted


def turns(peers: Sequence[str], rounds: int) -> Iterator[tuple[int, str]]:
    """Yield (round, client): A B C A B C, so that a disturbance hits all of them alike."""
    for number in range(1, rounds + 1):
        for peer in peers:
            yield number, peer
