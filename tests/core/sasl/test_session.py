"""When a login is renewed."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioproducer.core.sasl.session import session_of


@given(st.integers(1, 2**40), st.integers(0, 10**6), st.randoms())
def test_it_is_renewed_before_it_ends_and_paused_in_between(
    lifetime: int, now: int, rng: random.Random
) -> None:
    session = session_of(lifetime, now, rng)
    assert session is not None
    life = lifetime / 1000
    slack = 1e-6 * (life + now)
    assert now + 0.85 * life - slack <= session.renew_at <= now + 0.95 * life + slack
    assert session.renew_at <= session.pause_at <= session.ends_at == now + life


@pytest.mark.parametrize("lifetime", [0, -1])
def test_one_without_an_end_is_never_renewed(lifetime: int) -> None:
    assert session_of(lifetime, 5.0, random.Random(1)) is None
