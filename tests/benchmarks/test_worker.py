"""The records that every client gets alike."""

from __future__ import annotations

from itertools import islice

from benchmarks.job import KEY_SIZE
from benchmarks.worker import make_pairs


def test_keys_come_round_and_sizes_are_as_asked() -> None:
    pairs = list(islice(make_pairs(101, 5), 20))
    assert len({key for key, _ in pairs}) == 5
    assert [key for key, _ in pairs[:5]] == [key for key, _ in pairs[5:10]]
    assert {(len(key), len(value)) for key, value in pairs} == {(KEY_SIZE, 101)}


def test_every_client_gets_the_same() -> None:
    assert list(islice(make_pairs(10, 50), 100)) == list(islice(make_pairs(10, 50), 100))


def test_without_a_number_of_keys_each_is_new() -> None:
    keys = [key for key, _ in islice(make_pairs(10, 0), 1000)]
    assert len(set(keys)) == 1000
    assert {len(key) for key in keys} == {KEY_SIZE}
