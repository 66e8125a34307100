"""What every cluster for tests can do, wherever it comes from."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import ClassVar, Protocol, Self, runtime_checkable

from aioproducer.testing import admin


class KafkaUnavailableError(RuntimeError):
    """No cluster of the wanted kind can be had here; the message says what is missing."""


class ClusterStartError(RuntimeError):
    """A cluster was started and did not become usable; the message carries its last log lines."""


class KafkaCluster(ABC):
    """A cluster that lives as long as its `with` or `async with` block.

    Starting and stopping block, for seconds where Java is involved; the asynchronous form does
    both in a worker thread. Cancelling its entry ends what was started before it propagates.
    """

    kind: ClassVar[str]
    """Where it comes from: "named", "docker", "kraft", "zookeeper" or "embedded"."""

    version: str
    """The release of Kafka, as far as it is known."""

    _bootstrap_servers = ""

    @property
    def bootstrap_servers(self) -> str:
        """Comma-separated addresses, empty before the start."""
        return self._bootstrap_servers

    @property
    def is_real(self) -> bool:
        """Whether these are Apache Kafka's own brokers."""
        return self.kind != "embedded"

    @abstractmethod
    def start(self) -> None:
        """Start and wait until every node can be used.

        Raises:
            KafkaUnavailableError: something that is needed is not installed or does not answer.
            ClusterStartError: a node did not come up in time. Nothing is left running.
        """

    @abstractmethod
    def stop(self) -> None:
        """End everything that was started. Harmless when called twice or before the start."""

    @abstractmethod
    def describe(self) -> str:
        """One line for people: what this cluster is."""

    def create_topic(
        self,
        name: str,
        partitions: int = 1,
        replication: int | None = None,
        configs: Mapping[str, str] | None = None,
    ) -> None:
        """Create a topic and wait until each partition has a leader.

        Args:
            replication: as many replicas as there are nodes, at most 3, when not given.
        """
        admin.create_topic(self.bootstrap_servers, name, partitions, replication, configs)

    def delete_topic(self, name: str) -> None:
        admin.delete_topic(self.bootstrap_servers, name)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        starting = asyncio.ensure_future(asyncio.to_thread(self.start))
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            # A thread cannot be cancelled: what it starts has to be waited for and ended.
            await asyncio.wait([starting])
            if not starting.cancelled() and starting.exception() is None:
                await asyncio.to_thread(self.stop)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.stop)


@runtime_checkable
class NodeControl(Protocol):
    """A cluster whose nodes can be ended and started one by one; nodes are named by broker id."""

    @property
    def node_ids(self) -> tuple[int, ...]: ...

    def kill(self, node_id: int) -> None:
        """End the node without warning, as `kill -9` does."""

    def terminate(self, node_id: int) -> None:
        """End the node with a controlled shutdown."""

    def restart(self, node_id: int) -> None:
        """Start an ended node on its old port and wait until the cluster lists it."""

    def pause(self, node_id: int) -> None:
        """Freeze the node: its sockets stay open and nothing answers."""

    def resume(self, node_id: int) -> None:
        """Let a frozen node go on."""

    def restore(self) -> None:
        """Bring every node back and wait until all replicas are in sync."""


def wait_until(
    condition: Callable[[], bool], timeout: float, what: str, *, every: float = 0.05
) -> None:
    """Poll until the condition holds.

    Raises:
        ClusterStartError: it did not hold within `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() >= deadline:
            raise ClusterStartError(f"{what}: not within {timeout:g} s")
        time.sleep(every)
