"""The records that every client gets alike."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from benchmarks.job import KEY_SIZE, NULL_KEYS
from benchmarks.payload import make_pairs, payload_files


def test_keys_come_round_and_sizes_are_as_asked() -> None:
    pairs = list(islice(make_pairs(101, 5), 20))
    assert len({key for key, _ in pairs}) == 5
    assert [key for key, _ in pairs[:5]] == [key for key, _ in pairs[5:10]]
    assert {(len(key or b""), len(value)) for key, value in pairs} == {(KEY_SIZE, 101)}


def test_every_client_gets_the_same() -> None:
    assert list(islice(make_pairs(10, 50), 100)) == list(islice(make_pairs(10, 50), 100))


def test_without_a_number_of_keys_each_is_new() -> None:
    keys = [key or b"" for key, _ in islice(make_pairs(10, 0), 1000)]
    assert len(set(keys)) == 1000
    assert {len(key) for key in keys} == {KEY_SIZE}


def test_keys_can_be_null() -> None:
    assert {key for key, _ in islice(make_pairs(10, NULL_KEYS), 100)} == {None}


def test_foreign_clients_read_the_same_from_files(tmp_path: Path) -> None:
    words = dict(word.split("=", 1) for word in payload_files(10, 5, tmp_path))
    keys, values = (Path(words[name]).read_bytes() for name in ("keys_file", "values_file"))
    for index, (key, value) in enumerate(islice(make_pairs(10, 5), 20)):
        place = index % 5 * KEY_SIZE
        assert key == keys[place : place + KEY_SIZE]
        assert value == values[index * 10 : index * 10 + 10]


def test_without_keys_there_is_no_file_of_them(tmp_path: Path) -> None:
    for keys in (0, NULL_KEYS):
        (word,) = payload_files(10, keys, tmp_path)
        assert word.startswith("values_file=")
