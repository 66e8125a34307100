"""Transactional producers for tests, and what readers of either isolation level see."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Any

from aioproducer import AsyncProducer
from aioproducer.testing.java_cluster import JavaCluster
from aioproducer.testing.judge import Isolation, ReadRecord, end_offsets, read_topic_async

TOOL = "org.apache.kafka.tools.TransactionsCommand"
_MARKER_SECONDS = 120.0
_OPEN_MS = 300_000
"""Longer than a transaction of any test is open, however slow the machine."""


def new_id() -> str:
    return f"tx-{uuid.uuid4().hex[:12]}"


def new_producer(bootstrap: str, **options: Any) -> AsyncProducer[bytes, bytes]:
    """A producer with a transactional id that nobody else has, unless one is given."""
    options.setdefault("transactional_id", new_id())
    options.setdefault("linger_ms", 0)
    options.setdefault("transaction_timeout_ms", _OPEN_MS)
    return AsyncProducer(bootstrap, **options)


async def visible(bootstrap: str, topic: str) -> list[bytes | None]:
    """The values that a reader of committed records gets, once no transaction is open there."""
    await settled(bootstrap, topic)
    return values(await records(bootstrap, topic, "read_committed"))


async def written(bootstrap: str, topic: str) -> list[bytes | None]:
    """The values that a reader of everything gets, aborted ones too."""
    return values(await records(bootstrap, topic, "read_uncommitted"))


async def records(bootstrap: str, topic: str, isolation: Isolation) -> list[ReadRecord]:
    return await read_topic_async(bootstrap, topic, isolation=isolation)


def values(reads: list[ReadRecord]) -> list[bytes | None]:
    return [read.value for read in reads]


async def settled(bootstrap: str, topic: str, timeout: float = _MARKER_SECONDS) -> None:
    """Wait until the markers are written: EndTxn is answered a little before that."""
    await asyncio.to_thread(_wait_until_settled, bootstrap, topic, timeout)


def _wait_until_settled(bootstrap: str, topic: str, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while True:
        stable = end_offsets(bootstrap, topic, isolation="read_committed")
        ends = end_offsets(bootstrap, topic)
        if stable == ends:
            return
        assert time.monotonic() < deadline, f"{topic} stays open: {stable} of {ends}"
        time.sleep(0.02)


def hanging_transactions(cluster: JavaCluster, timeout: float = _MARKER_SECONDS) -> list[str]:
    """The lines in which Kafka's tool names transactions that no coordinator knows to be open.

    It asks brokers first and coordinators then, and takes one whose markers come in between for
    such a one. Those that hang do so for ever.
    """
    deadline = time.monotonic() + timeout
    while (found := _hanging_now(cluster)) and time.monotonic() < deadline:
        time.sleep(1)
    return found


def _hanging_now(cluster: JavaCluster) -> list[str]:
    found = []
    for node_id in cluster.node_ids:
        output = cluster.run_tool(
            TOOL, "--bootstrap-server", cluster.bootstrap_servers,
            "find-hanging", "--broker-id", str(node_id), "--max-transaction-timeout", "0",
        )  # fmt: skip
        found += output.splitlines()[1:]
    return found
