"""A whole cluster is replaced by another one behind the bootstrap name."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

import pytest

from aioproducer import AsyncProducer
from aioproducer.testing import KraftCluster
from aioproducer.testing.java import REQUIRED_JAVA, java_release
from aioproducer.testing.judge import read_topic_async

pytestmark = pytest.mark.own_cluster


class Name:
    """What a DNS name or a load balancer is to bootstrap: it leads to a cluster, or to another."""

    def __init__(self) -> None:
        self.target = ""
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> str:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return f"127.0.0.1:{port}"

    async def stop(self) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        host, port = self.target.rsplit(":", 1)
        onward = None
        try:
            back, onward = await asyncio.open_connection(host, int(port))
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, onward))
                group.create_task(self._pump(back, writer))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            for each in (writer, onward):
                if each is not None:
                    each.close()
                    with suppress(OSError):
                        await each.wait_closed()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()


async def test_a_cluster_that_replaces_another_behind_its_addresses_is_found(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Other topic ids, other producer ids, empty logs: what comes then is there once, in order."""
    if (java_release() or 0) < REQUIRED_JAVA:
        pytest.skip("real brokers need Java")
    caplog.set_level(logging.WARNING, logger="aioproducer")
    name = Name()
    bootstrap = await name.start()
    try:
        async with KraftCluster(nodes=1) as old, KraftCluster(nodes=1) as new:
            for cluster in (old, new):
                cluster.create_topic("orders", 2)
            name.target = old.bootstrap_servers
            async with AsyncProducer(bootstrap, linger_ms=0, metadata_max_age_ms=1000) as producer:
                for number in range(10):
                    await producer.send("orders", b"old %d" % number, partition=number % 2)
                await asyncio.to_thread(old.stop)
                name.target = new.bootstrap_servers
                sent = [
                    producer.send("orders", b"new %d" % number, partition=number % 2)
                    for number in range(100)
                ]
                found = await asyncio.wait_for(asyncio.gather(*sent), 120)
            assert [m.offset for m in found] == [number // 2 for number in range(100)]
            reads = await read_topic_async(new.bootstrap_servers, "orders")
    finally:
        await name.stop()
    for partition in (0, 1):
        values = [read.value for read in reads if read.partition == partition]
        assert values == [b"new %d" % number for number in range(partition, 100, 2)]
    assert caplog.text.count("has been replaced by") == 1
