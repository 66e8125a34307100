"""Thresholds are data; what is out of range is refused."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from aioproducer import AsyncProducer, ConfigurationError, Thresholds

FIELDS = fields(Thresholds)


@pytest.mark.parametrize("each", FIELDS, ids=lambda each: each.name)
def test_each_has_a_range_and_its_default_is_in_it(each: Any) -> None:
    low, high = each.metadata["low"], each.metadata["high"]
    assert each.default is None or low <= each.default <= high
    assert each.metadata["doc"].endswith(".")


@pytest.mark.parametrize("each", FIELDS, ids=lambda each: each.name)
@pytest.mark.parametrize("value", ["low", "high", "nan", "text", True])
def test_what_is_out_of_range_is_refused_by_name(each: Any, value: object) -> None:
    wrong = {"low": each.metadata["low"] - 1, "high": each.metadata["high"] * 2 + 1,
             "nan": float("nan")}.get(str(value), value)  # fmt: skip
    with pytest.raises(ConfigurationError, match=each.name):
        Thresholds(**{each.name: wrong})


def test_everything_wrong_is_named_at_once() -> None:
    with pytest.raises(ConfigurationError, match=r"error_rate.*memory_used"):
        Thresholds(error_rate=2, memory_used=-1)


def test_the_critical_latency_is_not_below_the_other() -> None:
    with pytest.raises(ConfigurationError, match="is below request_latency_ms"):
        Thresholds(request_latency_ms=200)


def test_a_mapping_serves_and_its_unknown_names_are_refused() -> None:
    assert Thresholds.of({"error_rate": 0.5}).error_rate == 0.5
    assert Thresholds.of(None) == Thresholds()
    with pytest.raises(ConfigurationError, match="unknown: errors; known are"):
        AsyncProducer("localhost:9092").diagnose({"errors": 1})
