"""The arithmetic of the probes."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path

import pytest

from benchmarks.job import Measurement
from benchmarks.probes.import_time import run_fresh
from benchmarks.probes.loop_hold import HoldMeter
from benchmarks.probes.memory import growth_per_million
from benchmarks.probes.serializers import NAMES, choose
from benchmarks.sections.codecs import add_choices, add_shares
from benchmarks.store import RowResults


def test_growth_is_the_slope_of_the_later_half() -> None:
    steady = [(n * 100_000, 50_000_000 + (5_000_000 if n < 5 else 6_000_000)) for n in range(10)]
    assert growth_per_million(steady) == 0
    leaking = [(n * 100_000, 50_000_000 + n * 2_000) for n in range(10)]
    assert growth_per_million(leaking) == pytest.approx(20_000)
    assert growth_per_million([(1, 1)]) == 0


def test_a_codecs_share_is_of_what_it_adds() -> None:
    def run(cpu: float, codec: float) -> Measurement:
        return Measurement(
            records=1_000_000,
            seconds=1.0,
            cpu_seconds=cpu,
            sent=1,
            extra={"codec s/M": codec},
        )

    results = {"none": RowResults([run(2.0, 0.0)]), "lz4": RowResults([run(6.0, 3.0)])}
    add_shares(results)
    assert results["lz4"].runs[0].extra["share %"] == 75
    assert "share %" not in results["none"].runs[0].extra


def test_what_was_chosen_is_held_to_the_better_of_the_others() -> None:
    def rows(records: int) -> RowResults:
        return RowResults([Measurement(records=records, seconds=1.0, cpu_seconds=1.0, sent=1)])

    results = {
        "lz4, as chosen": rows(90),
        "lz4, on the loop": rows(100),
        "lz4, on threads": rows(60),
        "zstd, as chosen": rows(5),
    }
    add_choices(results)
    assert results["lz4, as chosen"].runs[0].extra["of the better"] == 0.9
    assert "of the better" not in results["zstd, as chosen"].runs[0].extra


async def test_callbacks_are_timed_and_collections_taken_off() -> None:
    loop = asyncio.get_running_loop()
    meter = HoldMeter(asyncio.current_task())
    done = loop.create_future()
    # So that each collection has something to look through.
    ballast = [[number] for number in range(200_000)]

    def spin() -> None:
        for _ in range(3):
            gc.collect()
        loop.call_soon(done.set_result, None)

    meter.start()
    try:
        loop.call_soon(spin)
        await done
    finally:
        meter.stop()
    assert len(meter.held) >= 2
    assert len(meter.collections) >= 3
    assert max(meter.held) < sum(meter.collections)
    assert len(ballast) == 200_000


async def test_the_steps_of_the_load_are_its_own() -> None:
    meter = HoldMeter(asyncio.current_task())
    meter.start()
    try:
        for _ in range(5):
            await asyncio.sleep(0)
    finally:
        meter.stop()
    assert meter.held == []


@pytest.mark.parametrize("name", NAMES[:3])
def test_values_of_every_kind_are_about_as_large(name: str) -> None:
    serializer, values = choose(name, 1_000)
    encoded = serializer(values[0])
    assert encoded is not None
    assert 800 <= len(encoded) <= 1_100


def test_an_import_finds_the_bytecode_of_the_one_before(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    script = "import colorsys; print(colorsys.__cached__)"
    assert Path(run_fresh(script, str(tmp_path)).strip()).is_relative_to(tmp_path)
    (cached,) = tmp_path.rglob("colorsys.*.pyc")
    written = cached.stat().st_mtime_ns
    run_fresh(script, str(tmp_path))
    assert cached.stat().st_mtime_ns == written
