"""When OAuth tokens end and are replaced."""

from __future__ import annotations

import base64
import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioproducer.core.sasl.token import RefreshPolicy, expiry_of

DEFAULTS = RefreshPolicy(0.8, 0.05, 60_000, 300_000)
MINUTE = 60_000


def jwt(claims: Any) -> str:
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{body}.c2ln"


def test_the_end_of_a_jwt_is_read() -> None:
    assert expiry_of(jwt({"exp": 1_700_000_000})) == 1_700_000_000_000
    assert expiry_of(jwt({"exp": 1.5})) == 1500


@pytest.mark.parametrize(
    "token",
    ["opaque", "a.b", "a.b.c", "a.!!.c", jwt({}), jwt([]), jwt({"exp": "1"}), jwt({"exp": True}),
     jwt({"exp": float("inf")}), jwt({"exp": float("nan")}), "a.\u00e9.c"],
)  # fmt: skip
def test_a_token_that_does_not_tell_has_no_known_end(token: str) -> None:
    assert expiry_of(token) is None


@given(st.text())
def test_no_text_makes_it_fail(text: str) -> None:
    expiry_of(text)
    expiry_of(f"a.{text}.c")


def test_an_hour_is_replaced_in_its_last_part() -> None:
    at = DEFAULTS.refresh_at_ms(0, 60 * MINUTE, random.Random(1))
    assert 48 * MINUTE <= at <= 51 * MINUTE


def test_the_reserve_counts_when_it_is_larger() -> None:
    assert DEFAULTS.refresh_at_ms(0, 10 * MINUTE, random.Random(1)) == 5 * MINUTE


def test_a_token_is_kept_for_the_least_period() -> None:
    policy = RefreshPolicy(0.5, 0.0, 600_000, 0)
    assert policy.refresh_at_ms(0, 15 * MINUTE, random.Random(1)) == 10 * MINUTE


def test_a_short_token_is_replaced_after_its_window_alone() -> None:
    at = DEFAULTS.refresh_at_ms(0, 10_000, random.Random(1))
    assert 8_000 <= at <= 8_500


@given(st.integers(1, 10**9), st.integers(0, 10**12), st.randoms())
def test_it_is_replaced_before_its_end(life: int, now: int, rng: random.Random) -> None:
    at = DEFAULTS.refresh_at_ms(now, now + life, rng)
    assert now <= at <= now + life
