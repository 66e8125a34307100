"""Letters onto the disk without the loop's waiting: in groups, bounded, each told its outcome."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from aioproducer import BufferExhaustedError, Record
from aioproducer.patterns import spool
from aioproducer.patterns.letters import DeadLetter
from aioproducer.patterns.spool_format import SpoolFormatError
from aioproducer.patterns.spool_writer import SpoolWriter


def letter(value: bytes) -> DeadLetter:
    return DeadLetter(Record("orders", value), None, 1, "reason", "Class")


def values_in(path: Path) -> list[bytes | None]:
    return [each.letter.record.value for each in spool.read(path) if each.letter is not None]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "letters.spool"


async def test_what_gathers_while_the_disk_works_goes_at_once(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = SpoolWriter(path)
    groups: list[int] = []
    append = writer._append

    def count(letters: Sequence[DeadLetter]) -> None:
        groups.append(len(letters))
        append(letters)

    monkeypatch.setattr(writer, "_append", count)
    kept = [writer.write(letter(b"%d" % n)) for n in range(2500)]
    await writer.flush()
    assert all(each.done() and each.exception() is None for each in kept)
    assert groups == [1, 1000, 1000, 499]
    assert values_in(path) == [b"%d" % n for n in range(2500)]
    assert writer._held == 0
    writer.close()


async def test_what_the_disk_refuses_is_told_to_each_and_the_next_are_tried(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = SpoolWriter(path)

    def full(payloads: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(writer._file, "append", full)
        first = [writer.write(letter(b"%d" % n)) for n in range(3)]
        await writer.flush()
    assert [type(each.exception()) for each in first] == [OSError] * 3
    later = writer.write(letter(b"later"))
    await writer.flush()
    assert later.exception() is None
    assert values_in(path) == [b"later"]
    writer.close()


async def test_what_waits_for_the_disk_is_bounded(path: Path) -> None:
    writer = SpoolWriter(path, most_waiting_bytes=5_000)
    kept = [writer.write(letter(b"x" * 2_000)) for _ in range(3)]
    assert isinstance(kept[2].exception(), BufferExhaustedError)
    await writer.flush()
    # One is always taken, however large.
    large = writer.write(letter(b"x" * 9_000))
    await writer.flush()
    assert [each.exception() for each in (*kept[:2], large)] == [None] * 3
    writer.close()


async def test_what_no_file_can_hold_is_refused(path: Path) -> None:
    class Long(bytes):
        def __len__(self) -> int:
            return 1 << 31

    writer = SpoolWriter(path)
    assert isinstance(writer.write(letter(Long())).exception(), SpoolFormatError)
    writer.close()


async def test_whoever_does_not_wait_any_more_harms_nobody(path: Path) -> None:
    writer = SpoolWriter(path)
    given_up, kept = writer.write(letter(b"1")), writer.write(letter(b"2"))
    given_up.cancel()
    await writer.flush()
    assert kept.exception() is None
    # It was taken: it is there all the same.
    assert values_in(path) == [b"1", b"2"]
    writer.close()


def test_the_loop_goes_on_while_the_disk_works_and_the_thread_ends(path: Path) -> None:
    """On a real loop with a real thread, and a disk that takes its time."""
    release = threading.Event()
    turned = threading.Event()

    async def main() -> None:
        writer = SpoolWriter(path)
        append: Callable[[Any], None] = writer._append

        def slow(letters: Any) -> None:
            # Ends only if the loop turns meanwhile.
            assert release.wait(60)
            append(letters)

        writer._append = slow  # type: ignore[method-assign]
        kept = writer.write(letter(b"1"))
        asyncio.get_running_loop().call_soon(turned.set)
        await asyncio.sleep(0)
        assert not kept.done()
        assert turned.is_set()
        release.set()
        await kept
        await writer.flush()
        writer.close()
        names = [thread.name for thread in threading.enumerate()]
        assert not [name for name in names if name.startswith("aioproducer-spool")]

    asyncio.run(main())
    assert values_in(path) == [b"1"]
