"""What a serializer costs: both do the same work, and the table says what came of it."""

from __future__ import annotations

import json

from benchmarks.serializing import Row, measure, rows, table


def test_both_write_the_same() -> None:
    compared = {row.name: row for row in rows()}
    assert len(compared) == 9
    for name, row in compared.items():
        assert isinstance(row.ours(), bytes)
        if row.theirs is None:
            continue
        mine, others = row.ours(), row.theirs()
        if name.startswith("json"):
            assert mine[:1] == others[:1] == b"\0"
            assert json.loads(mine[5:]) == json.loads(others[5:])
        elif "registry" in name:
            # Each registry counts its own schemas.
            assert mine[5:] == others[5:]
        else:
            assert mine == others


def test_each_is_called_as_often_in_every_round() -> None:
    calls: list[str] = []

    def called(name: str) -> bytes:
        calls.append(name)
        return b""

    compared = [Row("a", lambda: called("ours"), lambda: called("theirs")), Row("b", lambda: b"")]
    figures = measure(compared, rounds=3, records=5)
    assert calls == (["ours"] * 5 + ["theirs"] * 5) * 3
    assert list(figures) == ["a", "b"]
    assert figures["b"][1] == 0


def test_the_table_shows_the_ratio() -> None:
    lines = table({"avro": (2.0, 5.0), "json": (1.0, 0.0)}).splitlines()
    assert lines[2:] == ["| avro | 2.00 | 5.00 | 2.5x |", "| json | 1.00 | - | |"]
