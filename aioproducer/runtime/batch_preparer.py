"""Turns a closed batch's body into what goes on the wire: compressed here or on a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from aioproducer.core.batch import Batch
from aioproducer.core.partition_queue import PartitionQueue
from aioproducer.errors import ProducerError, SerializationError
from aioproducer.wire.compression import Compressor

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

Prepared = Callable[[PartitionQueue, Batch, ProducerError | None], None]

THREAD_PAYS_FROM_NS = 200_000
"""Above this a codec would hold the loop for longer than a hop to a worker thread costs."""


class BatchPreparer:
    """Compresses small batches at once, large ones on a thread: codecs release the GIL."""

    def __init__(self, compressor: Compressor | None, client_id: str) -> None:
        self._compressor = compressor
        self._client_id = client_id
        self._loop = asyncio.get_running_loop()
        self._executor: ThreadPoolExecutor | None = None
        self._work: set[asyncio.Future[bytes]] = set()

    def prepare(self, queue: PartitionQueue, batch: Batch, done: Prepared) -> bool:
        """Return ``True`` if ``batch`` has its payload now, else ``done`` is called when it has."""
        compressor = self._compressor
        if compressor is None:
            batch.payload = batch.body
            return True
        if batch.preparing:
            return False
        if batch.size * compressor.cost_ns_per_byte < THREAD_PAYS_FROM_NS:
            return self._compress_here(compressor, queue, batch, done)
        if self._executor is None:
            from concurrent.futures import ThreadPoolExecutor

            self._executor = ThreadPoolExecutor(2, f"{self._client_id}:compress")
        try:
            work = self._loop.run_in_executor(self._executor, compressor.compress, batch.body)
        except RuntimeError:
            # The interpreter is ending: it takes no more work for threads.
            return self._compress_here(compressor, queue, batch, done)
        batch.preparing = True
        self._work.add(work)
        work.add_done_callback(self._work.discard)
        work.add_done_callback(lambda future: self._finished(future, queue, batch, done))
        return False

    def _compress_here(
        self, compressor: Compressor, queue: PartitionQueue, batch: Batch, done: Prepared
    ) -> bool:
        try:
            self._adopt(queue, batch, compressor.compress(batch.body))
        except Exception as error:  # noqa: BLE001 - a codec's fault is this batch's alone
            done(queue, batch, _failure(error))
            return False
        return True

    def _finished(
        self, future: asyncio.Future[bytes], queue: PartitionQueue, batch: Batch, done: Prepared
    ) -> None:
        batch.preparing = False
        if future.cancelled():
            return
        error = future.exception()
        if error is None:
            self._adopt(queue, batch, future.result())
            done(queue, batch, None)
            return
        done(queue, batch, _failure(error))

    def _adopt(self, queue: PartitionQueue, batch: Batch, payload: bytes) -> None:
        assert self._compressor is not None
        batch.payload = payload
        batch.codec_id = self._compressor.codec_id
        if batch.size:
            queue.topic.ratio.observe(len(payload) / batch.size)

    async def close(self) -> None:
        """End the worker threads; a batch that one is compressing is waited for, off the loop."""
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
            await asyncio.gather(*self._work, return_exceptions=True)
            self._executor.shutdown(wait=True)


def _failure(error: BaseException) -> SerializationError:
    failure = SerializationError(f"the batch could not be compressed: {error}")
    failure.__cause__ = error
    return failure
