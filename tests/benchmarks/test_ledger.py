"""What the fallback checks of the records of a batch."""

from __future__ import annotations

import pytest

from benchmarks.standin.ledger import Ledger, walk


def body(*values: bytes) -> bytes:
    """Records with null keys and less than 32 bytes each, so every number is one byte."""
    out = bytearray()
    for index, value in enumerate(values):
        record = bytes([0, 0, index * 2, 1, len(value) * 2]) + value + b"\0"
        out += bytes([len(record) * 2]) + record
    return bytes(out)


def test_records_that_add_up_pass() -> None:
    assert walk(body(b"one", b"", b"x" * 20), 3)
    assert not walk(body(b"one") + b"\0", 1), "a byte is left"
    assert not walk(body(b"one") + body(b"two"), 2), "the same delta twice"


@pytest.mark.parametrize("count", [1, 2, 4])
def test_another_number_of_records_does_not(count: int) -> None:
    data = body(b"one", b"two", b"three")
    if count < 3:
        assert not walk(data, count)
    else:
        with pytest.raises(IndexError):
            walk(data, count)


def test_topics_belong_to_a_name_by_a_dot() -> None:
    ledger = Ledger()
    for name in ("a", "a.0", "a.1", "ab"):
        ledger.create(name, 1)
    ledger.delete("a")
    assert list(ledger.topics) == ["ab"]
    ledger.create("a.0", 1)
    assert len({topic.id for topic in ledger.topics.values()}) == 2
