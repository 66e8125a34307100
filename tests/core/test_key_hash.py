"""What the intake asks for is murmur2, remembered or not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from aioproducer.core.key_hash import REMEMBERED, hash_of
from aioproducer.core.murmur2 import murmur2


@given(st.binary(max_size=100))
def test_it_is_the_hash_of_murmur2(key: bytes) -> None:
    assert hash_of(key) == murmur2(key) == hash_of(key)


def test_what_is_remembered_is_bounded() -> None:
    for number in range(REMEMBERED + 100):
        hash_of(b"%d" % number)
    assert hash_of.cache_info().currsize == REMEMBERED
