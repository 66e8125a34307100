"""Compression: here when it is quick, on a thread when it would hold the loop."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aioproducer.core.batch import Batch
from aioproducer.core.partition_queue import PartitionQueue
from aioproducer.errors import ProducerError, SerializationError
from aioproducer.runtime.batch_preparer import BatchPreparer
from aioproducer.wire.compression import get
from aioproducer.wire.record_batch import decode_batches
from tests.core.makers import make_queue, ready_batch
from tests.fake_broker import FakeCluster
from tests.runtime.world import engine_of, outcomes, running


class Slow:
    """A codec that says it is slow, and may fall over."""

    codec_id = 1
    cost_ns_per_byte = 1e9

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.calls = 0

    def compress(self, body: Any) -> bytes:
        self.calls += 1
        if self.error is not None:
            raise self.error
        return get("gzip", 1).compress(body)


class Quick(Slow):
    cost_ns_per_byte = 0.0


def prepare(codec: Any) -> tuple[BatchPreparer, PartitionQueue, Batch, list[Any], bool]:
    queue = make_queue()
    batch = ready_batch(queue, [b"." * 500])
    batch.payload = None
    done: list[Any] = []
    preparer = BatchPreparer(codec, "me")
    ready = preparer.prepare(queue, batch, lambda *call: done.append(call))
    return preparer, queue, batch, done, ready


async def test_without_a_codec_the_body_is_the_payload() -> None:
    _, _, batch, done, ready = prepare(None)
    assert ready
    assert batch.payload is batch.body
    assert (batch.codec_id, done) == (0, [])


async def test_a_quick_codec_works_at_once_and_its_ratio_is_learnt() -> None:
    _, queue, batch, done, ready = prepare(Quick())
    assert ready
    assert batch.codec_id == 1
    assert done == []
    assert queue.topic.ratio.estimate < 1
    (decoded,) = decode_batches(batch.header() + bytes(batch.payload or b""))
    assert decoded.records[0].value == b"." * 500


async def test_a_slow_one_works_elsewhere_and_once() -> None:
    codec = Slow()
    preparer, queue, batch, done, ready = prepare(codec)
    assert not ready
    assert batch.preparing
    assert not preparer.prepare(queue, batch, lambda *call: done.append(call))
    await asyncio.sleep(1)
    assert done == [(queue, batch, None)]
    assert not batch.preparing
    assert (batch.codec_id, codec.calls) == (1, 1)
    await preparer.close()


@pytest.mark.parametrize("codec", [Quick, Slow])
async def test_one_that_falls_over_fails_its_batch(codec: type[Slow]) -> None:
    cause = MemoryError("no room")
    preparer, queue, batch, done, ready = prepare(codec(cause))
    assert not ready
    await asyncio.sleep(1)
    ((failed_queue, failed_batch, error),) = done
    assert (failed_queue, failed_batch) == (queue, batch)
    assert isinstance(error, SerializationError)
    assert error.__cause__ is cause
    assert batch.payload is None
    await preparer.close()


@pytest.mark.parametrize("codec", [Quick, Slow])
async def test_only_the_records_of_that_batch_fail(codec: type[Slow]) -> None:
    cluster = FakeCluster(latency=lambda: 0.01)
    cluster.add_topic("orders")
    async with running(cluster, compression_type="gzip") as producer:
        broken = codec()
        engine_of(producer)._preparer._compressor = broken  # type: ignore[assignment]
        await producer.send("orders", b"0")
        broken.error = MemoryError("no room")
        (error,) = await outcomes([producer.send("orders", b"1")])
        assert isinstance(error, ProducerError)
        assert error.persisted == "no"
        broken.error = None
        assert (await producer.send("orders", b"2")).offset == 1


async def test_order_is_kept_while_a_batch_is_compressed_elsewhere() -> None:
    cluster = FakeCluster(latency=lambda: 0.01)
    cluster.add_topic("orders")
    async with running(cluster, compression_type="gzip", batch_size=100) as producer:
        engine_of(producer)._preparer._compressor = Slow()  # type: ignore[assignment]
        sent = [producer.send("orders", b"%02d" % n + b"." * 40) for n in range(20)]
        metadata = await asyncio.gather(*sent)
        assert [m.offset for m in metadata] == list(range(20))


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_every_codec_arrives_whole(codec: str) -> None:
    cluster = FakeCluster(latency=lambda: 0.01)
    cluster.add_topic("orders")
    values = [b"value %d " % n * 20 for n in range(100)]
    async with running(cluster, compression_type=codec, linger_ms=5) as producer:
        await asyncio.gather(*[producer.send("orders", value) for value in values])
        assert producer.metrics().compression_rate_avg < 0.5
    assert cluster.topics["orders"].partitions[0].values == values


async def test_when_the_interpreter_ends_and_gives_no_thread_it_compresses_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*arguments: Any) -> Any:
        raise RuntimeError("cannot schedule new futures after interpreter shutdown")

    monkeypatch.setattr(asyncio.get_running_loop(), "run_in_executor", refuse)
    codec = Slow()
    preparer, _, batch, done, ready = prepare(codec)

    assert (ready, codec.calls, done) == (True, 1, [])
    assert batch.codec_id == 1
    assert not batch.preparing
    await preparer.close()
