"""What a record takes in work that can be counted: the same in every run, on any machine.

    python -m benchmarks.work

prints the figures of this build as JSON; ``python -m benchmarks regression`` asks it. The real
producer runs in virtual time against brokers in memory, so that neither network nor clock nor
neighbours can change a count. Only what this package does is counted, not asyncio, not the brokers.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import sys
import tracemalloc
from pathlib import Path
from types import FrameType
from typing import Any

import aioproducer
from aioproducer import AsyncProducer, Delivery
from aioproducer.core import key_hash
from benchmarks.payload import make_keys, make_values

RECORDS = 1_000
_WARM = 400
_PARTITIONS = 4
_TOPIC = "work"
# By name: the tests' own files are typed less strictly than these.
_WORLD = "tests.runtime.world"
_BROKERS = frozenset({"fake_broker.py", "fake_log.py", "broker_wire.py"})
_PACKAGE = str(Path(aioproducer.__file__).parent)


class OpcodeCounter:
    """Counts the bytecode instructions that run in this package's own files.

    Compiled functions have none, and so show as what they save; one that falls back to Python
    shows as well.
    """

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> OpcodeCounter:
        self._before = sys.gettrace()
        sys.settrace(self._called)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._before)

    def _called(self, frame: FrameType, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.startswith(_PACKAGE) or _is_the_brokers(frame):
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        return self._traced

    def _traced(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "opcode":
            self.count += 1
        return self._traced


def _is_the_brokers(frame: FrameType | None) -> bool:
    """Whether a broker in memory called it: those decode what they get with this package."""
    while frame is not None:
        if Path(frame.f_code.co_filename).name in _BROKERS:
            return True
        frame = frame.f_back
    return False


async def count_work() -> dict[str, float]:
    """Return each figure, per record."""
    world = importlib.import_module(_WORLD)
    cluster = world.FakeCluster(3)
    cluster.add_topic(_TOPIC, _PARTITIONS)
    async with world.running(cluster, linger_ms=5) as producer:
        await _finish(_send(producer, _WARM))
        figures = await _instructions(producer)
        figures.update(await _held(producer))
        figures.update(await _left(producer))
    return figures


def _send(producer: AsyncProducer[Any, Any], count: int) -> list[Delivery]:
    keys, values = make_keys(50), make_values(100)
    send = producer.send
    return [
        send(_TOPIC, values[number % len(values)], key=keys[number % len(keys)])
        for number in range(count)
    ]


async def _finish(deliveries: list[Delivery]) -> None:
    for delivery in deliveries:
        await delivery


async def _instructions(producer: AsyncProducer[Any, Any]) -> dict[str, float]:
    with OpcodeCounter() as sending:
        deliveries = _send(producer, RECORDS)
    with OpcodeCounter() as delivering:
        await _finish(deliveries)
    return {
        "instructions to send": sending.count / RECORDS,
        "instructions to deliver": delivering.count / RECORDS,
    }


async def _held(producer: AsyncProducer[Any, Any]) -> dict[str, float]:
    """What is there for a record between send() and its acknowledgement, its Delivery included."""
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        blocks, tracked = sys.getallocatedblocks(), len(gc.get_objects())
        size, _ = tracemalloc.get_traced_memory()
        deliveries = _send(producer, RECORDS)
        blocks = sys.getallocatedblocks() - blocks
        tracked = len(gc.get_objects()) - tracked
        size = tracemalloc.get_traced_memory()[0] - size
    finally:
        tracemalloc.stop()
        gc.enable()
    await _finish(deliveries)
    return {
        "blocks held": blocks / RECORDS,
        "objects for the collector": tracked / RECORDS,
        "bytes held": size / RECORDS,
    }


async def _left(producer: AsyncProducer[Any, Any]) -> dict[str, float]:
    """What stays of a record when it is done: nothing may grow with them."""
    await _finish(_send(producer, RECORDS))
    await asyncio.sleep(1)
    gc.collect()
    before = _ours()
    for _ in range(5):
        await _finish(_send(producer, RECORDS))
    await asyncio.sleep(1)
    gc.collect()
    return {"objects left": (_ours() - before) / (5 * RECORDS)}


def _ours() -> int:
    """How many objects of our classes the collector knows; brokers keep those that are wire's."""
    modules = (getattr(type(each), "__module__", "") for each in gc.get_objects())
    return sum(
        isinstance(name, str)
        and name.startswith("aioproducer.")
        and not name.startswith("aioproducer.wire")
        for name in modules
    )


def run_in_virtual_time() -> dict[str, float]:
    # What an earlier run in this process has left: the hashes of its keys.
    key_hash.hash_of.cache_clear()
    world = importlib.import_module(_WORLD)
    with asyncio.Runner(loop_factory=world.VirtualClockLoop) as runner:
        return runner.run(count_work())


def measure() -> dict[str, Any]:
    figures = run_in_virtual_time()
    build = "compiled" if aioproducer.accelerated else "pure"
    return {"build": build, "figures": figures}


if __name__ == "__main__":
    print(json.dumps(measure()))
