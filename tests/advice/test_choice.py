"""The advice follows from the figures: what saves most of what can be afforded."""

from __future__ import annotations

import random
from typing import Any

import pytest

from aioproducer.advice.choice import NoSampleError, choose, recommend_compression
from aioproducer.advice.lab import Measured, Trial
from aioproducer.cli.orders import order_events
from aioproducer.config import ProducerConfig

FAST = Measured(Trial("lz4", 9), 16384, 3000, 1000, 1000e6)
DENSE = Measured(Trial("zstd", 3), 16384, 5000, 1000, 400e6)
DENSEST = Measured(Trial("zstd", 22), 16384, 6000, 1000, 3e6)
NEARLY = Measured(Trial("zstd", 1), 16384, 4900, 1000, 600e6)
LARGER = Measured(Trial("zstd", 3), 262144, 8000, 1000, 400e6)
NOISE = Measured(Trial("lz4", 9), 16384, 1001, 1000, 1000e6)


def test_what_saves_most_of_what_can_be_afforded_is_chosen() -> None:
    advice = choose([FAST, DENSE, DENSEST], rate=10e6, cpu=0.25)
    assert advice.chosen is DENSE
    assert advice.settings == {
        "compression.type": "zstd", "compression.zstd.level": 3,
        "batch.size": 16384, "linger.ms": 5,
    }  # fmt: skip
    assert advice.cpu_share == pytest.approx(0.025)
    assert advice.ratio == 5.0
    assert advice.saved_per_tb == pytest.approx(800)
    assert "nothing that fits saves more" in advice.reason


def test_with_more_cpu_the_denser_level_is_chosen() -> None:
    assert choose([FAST, DENSE, DENSEST], rate=0.5e6, cpu=0.25).chosen is DENSEST


def test_with_less_cpu_the_faster_codec_is_chosen() -> None:
    assert choose([FAST, DENSE, DENSEST], rate=200e6, cpu=0.25).chosen is FAST


def test_what_saves_nearly_as_much_for_less_is_taken() -> None:
    advice = choose([DENSE, NEARLY], rate=10e6, cpu=0.25)
    assert advice.chosen is NEARLY
    assert "zstd 3" in advice.reason


def test_no_compression_is_advised_when_it_costs_too_much() -> None:
    advice = choose([FAST, DENSE], rate=1000e6, cpu=0.25)
    assert advice.chosen is None
    assert advice.settings == {"compression.type": "none"}
    assert "even lz4 9 takes 100% of a core, and 25% is allowed" in advice.reason
    assert (advice.ratio, advice.saved_per_tb, advice.cpu_share) == (1.0, 0.0, 0.0)


def test_no_compression_is_advised_for_data_that_does_not_shrink() -> None:
    advice = choose([NOISE], rate=1e6, cpu=0.25)
    assert advice.settings == {"compression.type": "none"}
    assert "compressed or encrypted already" in advice.reason


@pytest.mark.parametrize(
    ("rate", "partitions", "expected"),
    [(10e6, 1, LARGER), (10e6, 10, DENSE), (1e6, 1, DENSE)],
)
def test_a_batch_that_does_not_fill_in_time_is_no_advice(
    rate: float, partitions: int, expected: Measured
) -> None:
    advice = choose([DENSE, LARGER], rate, 0.25, partitions=partitions)
    assert advice.chosen is expected


@pytest.mark.parametrize(
    ("rate", "partitions", "linger"), [(10e6, 1, 5), (1e6, 1, 17), (1e6, 10, 100)]
)
def test_lingering_lasts_as_long_as_a_batch_takes_to_fill(
    rate: float, partitions: int, linger: int
) -> None:
    advice = choose([DENSE], rate, 0.25, partitions=partitions)
    assert advice.settings["linger.ms"] == linger


def test_a_codec_without_levels_sets_none() -> None:
    advice = choose([Measured(Trial("snappy"), 16384, 3000, 1000, 1e9)], 1e6, 0.25)
    assert "compression.snappy.level" not in advice.settings


def test_nothing_tried_is_no_advice_to_compress() -> None:
    assert choose([], 1e6, 0.25).reason == "no codec could be tried."


def test_orders_are_worth_compressing() -> None:
    """With real codecs; the producer takes the settings as they are."""
    sample = [event.value for event in order_events(1500)]
    advice = recommend_compression(sample, rate=1e6, cpu=1.0, batch_sizes=[4096, 16384])
    assert advice.ratio > 3
    assert advice.settings["compression.type"] in ("gzip", "zstd", "lz4")
    config = ProducerConfig.create("kafka:9092", config=advice.settings)
    assert config.compression_type == advice.settings["compression.type"]


def test_noise_is_not() -> None:
    noise = [random.Random(n).randbytes(300) for n in range(300)]
    advice = recommend_compression(noise, rate=1e6, codecs=["gzip"], batch_sizes=[4096])
    assert advice.settings == {"compression.type": "none"}


@pytest.mark.parametrize("bad", [{"rate": 0}, {"rate": -1}, {"cpu": 0}, {"partitions": 0}])
def test_figures_that_make_no_sense_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        recommend_compression([b"v"], **{"rate": 1e6, **bad})


def test_an_empty_sample_is_refused() -> None:
    with pytest.raises(NoSampleError, match="empty"):
        recommend_compression([], rate=1e6)
