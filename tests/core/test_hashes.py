"""The hashes that other clients take keys by, against librdkafka."""

from __future__ import annotations

import pytest

from aioproducer.core.hashes import crc32, fnv1a
from tests.oracles.librdkafka.data import answers


def test_crc32_is_the_common_one() -> None:
    assert crc32(b"123456789") == 0xCBF43926
    assert crc32(b"") == 0


def test_fnv1a_loses_its_sign_instead_of_its_highest_bit() -> None:
    assert fnv1a(b"a") == 0x100000000 - 0xE40C292C
    assert fnv1a(b"") == 0x100000000 - 0x811C9DC5


@pytest.mark.parametrize(("name", "key_hash"), [("consistent", crc32), ("fnv1a", fnv1a)])
def test_keys_hash_as_in_librdkafka(name: str, key_hash: object) -> None:
    assert callable(key_hash)
    stored = answers()
    for key_hex, partitions in stored["computed"][name].items():
        value = key_hash(bytes.fromhex(key_hex))
        assert [value % count for count in stored["counts"]] == partitions, key_hex
