"""The lab measures what Kafka would get: real batches, real codecs, nothing invented."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

import pytest

from aioproducer.advice.lab import ALL_LEVELS, Trial, batches_of, measure, trials
from aioproducer.cli.orders import order_events
from aioproducer.errors import ConfigurationError
from aioproducer.records import Record
from aioproducer.wire import compression
from aioproducer.wire.compression import CODECS
from aioproducer.wire.record_batch import HEADER_SIZE, batch_header, decode_batches

ORDERS = [event.value for event in order_events(2000)]


def ticking(step: float = 0.001) -> Callable[[], float]:
    """Return a clock on which everything takes the same time."""
    ticks = itertools.count()
    return lambda: next(ticks) * step


def test_batches_hold_all_records_in_their_order() -> None:
    sample = [Record("", b"v%d" % n, key=b"k", headers=[("h", b"x")]) for n in range(500)]
    read = []
    for body in batches_of(sample, 2000):
        count = body.count(b"\x02k")
        header = batch_header(
            codec_id=0, record_count=count, base_timestamp=0, max_timestamp=count, records=body
        )
        for batch in decode_batches(header + body):
            read += [(record.key, record.value) for record in batch.records]
    assert read == [(b"k", b"v%d" % n) for n in range(500)]


def test_batches_are_as_large_as_batch_size_allows() -> None:
    sizes = [len(body) + HEADER_SIZE for body in batches_of(ORDERS, 16384)]
    assert max(sizes) <= 16384
    assert min(sizes[:-1]) > 16384 - 300


def test_a_record_larger_than_the_batch_is_one_by_itself() -> None:
    assert [len(body) > 5000 for body in batches_of([b"x" * 5000, b"y"], 1000)] == [True, False]
    assert list(batches_of([], 1000)) == []


def test_each_codec_is_tried_at_each_level() -> None:
    found, missing = trials()
    assert not missing
    assert {trial.codec for trial in found} == {codec.name for codec in CODECS} - {"none"}
    assert Trial("gzip", 9) in found
    assert Trial("snappy") in found
    quick, _ = trials(every_level=False)
    assert len(quick) < len(found) / 3
    assert set(quick) <= set(found)


def test_levels_are_ones_that_the_codecs_have() -> None:
    for codec in CODECS:
        if codec.levels is not None:
            low, high = codec.levels
            assert all(low <= level <= high for level in ALL_LEVELS[codec.name])


def test_a_codec_without_its_package_is_named_and_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compression, "importable", lambda package: False)
    found, missing = trials(["gzip", "lz4"])
    assert {trial.codec for trial in found} == {"gzip"}
    assert 'pip install "aioproducer[lz4]"' in missing["lz4"]


def test_a_codec_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="brotli"):
        trials(["brotli"])


def test_ratio_and_speed_are_of_whole_batches() -> None:
    [row] = measure(ORDERS, [Trial("gzip", 6)], [16384], clock=ticking())
    assert 4 < row.ratio < 6
    assert row.saved_per_tb == pytest.approx(1000 * (1 - 1 / row.ratio))
    assert row.bytes_per_second == pytest.approx(row.bytes_before / 0.001)
    assert row.cpu_share(row.bytes_per_second / 4) == pytest.approx(0.25)


def test_larger_batches_compress_better() -> None:
    rows = list(measure(ORDERS, [Trial("gzip", 6)], [1024, 4096, 16384], clock=ticking()))
    ratios = [row.ratio for row in rows]
    assert ratios == sorted(ratios)
    assert ratios[-1] > 1.5 * ratios[0]


def test_noise_does_not_shrink() -> None:
    noise = [random.Random(n).randbytes(200) for n in range(200)]
    for row in measure(noise, trials(every_level=False)[0], [16384], clock=ticking()):
        assert 0.95 < row.ratio < 1.05, row.trial


def test_sizes_that_the_sample_does_not_fill_are_left_out() -> None:
    """Repeating the sample would invent repetitions."""
    rows = list(measure(ORDERS[:100], [Trial("gzip", 1)], [4096, 1_000_000], clock=ticking()))
    assert [row.batch_size for row in rows] == [4096]
    tiny = list(measure(ORDERS[:2], [Trial("gzip", 1)], [4096, 16384], clock=ticking()))
    assert [row.batch_size for row in tiny] == [4096], "something is better than nothing"


def test_of_a_slow_codec_only_some_batches_are_taken() -> None:
    [slow] = measure(ORDERS, [Trial("gzip", 1)], [4096], clock=ticking(0.01))
    [quick] = measure(ORDERS, [Trial("gzip", 1)], [4096], clock=ticking(0.000001))
    assert slow.bytes_before < quick.bytes_before / 10
    assert slow.ratio == pytest.approx(quick.ratio, rel=0.1)
