"""Lines from files and pipes: whole, numbered, and none lost when the user ends it."""

from __future__ import annotations

import asyncio
import errno
import io
import os
from pathlib import Path
from typing import BinaryIO

import pytest

from aioproducer.cli import line_reader
from aioproducer.cli.line_reader import LineReader, Source
from aioproducer.cli.settings import SettingsError


async def read_files(*files: BinaryIO) -> list[bytes]:
    sources = [Source(str(number), file) for number, file in enumerate(files)]
    reader = LineReader(sources, asyncio.Event())
    return [line async for lines in reader for line in lines.lines]


async def read(*sources: bytes) -> list[bytes]:
    return await read_files(*(io.BytesIO(source) for source in sources))


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (b"", []),
        (b"\n\r\n\n", [b"", b"", b""]),
        (b"one\ntwo\r\n\nthree", [b"one", b"two", b"", b"three"]),
        (b"one\r", [b"one"]),
        (b"\xff\x00\n caf\xc3\xa9 \n", [b"\xff\x00", b" caf\xc3\xa9 "]),
    ],
)
async def test_a_line_ends_with_one_character_or_two(text: bytes, lines: list[bytes]) -> None:
    assert await read(text) == lines


async def test_lines_longer_than_a_piece_stay_whole() -> None:
    long = b"x" * 200_000
    assert await read(long + b"\n" + long) == [long, long]


class Counted(bytes):
    """A piece that notes how many bytes are copied to put something in front of it."""

    copied = 0

    def __radd__(self, other: bytes) -> bytes:
        Counted.copied += len(other) + len(self)
        return bytes(other).__add__(self)


async def test_a_long_line_is_not_copied_for_each_of_its_pieces() -> None:
    class Counting(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return Counted(super().read(size))

    long = b"x" * 4_000_000
    assert await read_files(Counting(long + b"\n")) == [long]
    assert Counted.copied <= 2 * len(long)


async def test_files_are_read_one_after_the_other() -> None:
    """The last line of one and the first of the next are two records."""
    assert await read(b"a\nb", b"c\n") == [b"a", b"b", b"c"]


async def test_lines_know_where_they_stand() -> None:
    long = b"x\n" * 50_000
    reader = LineReader(
        [Source("one", io.BytesIO(long)), Source("two", io.BytesIO(b"a\nb"))], asyncio.Event()
    )
    places = [(each.source, each.first, len(each.lines)) async for each in reader]
    assert places == [
        ("one", 1, 32_768), ("one", 32_769, 17_232), ("two", 1, 1), ("two", 2, 1),
    ]  # fmt: skip


async def test_what_was_read_before_a_stop_comes_whole_and_nothing_else() -> None:
    stop = asyncio.Event()
    sources = [Source("one", io.BytesIO(b"a\nb\nc\nunfin")), Source("two", io.BytesIO(b"d\n"))]
    reader = LineReader(sources, stop)
    found = []
    async for lines in reader:
        stop.set()
        found += lines.lines
    assert found == [b"a", b"b", b"c"]
    assert reader.unfinished == 5


async def test_a_stop_does_not_wait_for_somebody_who_types_nothing() -> None:
    """And what is typed afterwards stays in the pipe, for whoever reads it next."""
    reading, writing = os.pipe()
    stop = asyncio.Event()
    asyncio.get_running_loop().call_soon(stop.set)
    with os.fdopen(reading, "rb") as silent, os.fdopen(writing, "wb") as typed:
        reader = LineReader([Source("silent", silent)], stop)
        assert [lines async for lines in reader] == []
        typed.write(b"later")
        typed.flush()
        assert os.read(reading, 100) == b"later"


async def test_a_file_is_opened_when_its_turn_comes(tmp_path: Path) -> None:
    """So there may be more of them than can be open."""
    first, second = tmp_path / "one", tmp_path / "two"
    first.write_bytes(b"a\nb")
    reader = LineReader([Source("one", first), Source("two", second)], asyncio.Event())
    found = []
    with pytest.raises(SettingsError, match="cannot read two: No such file"):
        async for lines in reader:
            found += lines.lines
    assert found == [b"a", b"b"]


async def test_a_line_without_an_end_does_not_fill_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(line_reader, "LONGEST_LINE", 200_000)
    assert len(await read(b"x" * 199_999 + b"\n" + b"y" * 199_999)) == 2
    with pytest.raises(SettingsError, match="0:2: a line of more than 200000 bytes"):
        await read(b"x\n" + b"y" * 300_000)


async def test_what_cannot_be_read_is_named() -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError(errno.EIO, "Input/output error")

    reader = LineReader([Source("a file", Broken())], asyncio.Event())
    with pytest.raises(SettingsError, match="cannot read a file: Input/output error"):
        [lines async for lines in reader]
