"""Spool files on a real disk: whole after crashes and full disks, shared by processes."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from aioproducer import ConfigurationError
from aioproducer.patterns import spool_file
from aioproducer.patterns.spool_file import (
    Replaying,
    SpoolBusyError,
    SpoolFile,
    check_spool,
    contents,
)
from aioproducer.patterns.spool_format import HEADER_SIZE, SpoolFormatError, frame

ROOT = Path(__file__).parents[2]


def payloads(path: Path) -> list[bytes]:
    fd = os.open(path, os.O_RDONLY)
    try:
        return [each.payload for each in contents(fd) if each.payload is not None]
    finally:
        os.close(fd)


def append(path: Path, *given: bytes) -> None:
    file = SpoolFile(path)
    try:
        file.append(given)
    finally:
        file.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "letters.spool"


def keep(payload: bytes) -> bytes:
    return payload


def offsets(replaying: Replaying) -> list[int]:
    return [each.offset for each in replaying.frames()]


# Appending


def test_what_is_appended_is_there(path: Path) -> None:
    append(path, b"1", b"2")
    append(path, b"3")
    assert payloads(path) == [b"1", b"2", b"3"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_empty_file_has_nothing(path: Path) -> None:
    path.touch()
    assert payloads(path) == []


def test_another_file_is_left_alone(path: Path) -> None:
    path.write_bytes(b"something else entirely, and longer than a header")
    with pytest.raises(SpoolFormatError, match="no spool file"):
        append(path, b"1")
    with pytest.raises(SpoolFormatError), Replaying(path):
        raise AssertionError
    assert path.read_bytes().startswith(b"something else")


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        append(tmp_path / "nowhere" / "letters.spool", b"1")


def test_what_a_crash_tore_costs_nothing_that_was_confirmed(path: Path) -> None:
    append(path, b"1", b"2")
    with path.open("ab") as file:
        file.write(frame(b"torn")[:-2])
    append(path, b"3")
    assert payloads(path) == [b"1", b"2", b"3"]


def test_a_header_that_a_crash_tore_is_begun_anew(path: Path) -> None:
    path.write_bytes(b"AIOPS")
    append(path, b"1")
    assert payloads(path) == [b"1"]


def test_a_file_that_may_not_grow_further_is_told_and_stays_whole(path: Path) -> None:
    """A limit of the kernel's, as a quota or a full disk."""
    append(path, b"1")
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 100, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            append(path, b"2", b"x" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    # Half of it was written, and taken back.
    assert path.read_bytes() == before
    append(path, b"3")
    assert payloads(path) == [b"1", b"3"]


def test_what_the_disk_refuses_at_the_very_end_does_not_count(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(path, b"1")

    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(spool_file.os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            append(path, b"2")
    append(path, b"3")
    assert payloads(path) == [b"1", b"3"]


def test_processes_and_threads_do_not_write_into_each_other(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_file, "LOCK_SECONDS", 300)
    program = textwrap.dedent("""
        import sys
        from aioproducer.patterns import spool_file
        from aioproducer.patterns.spool_file import SpoolFile
        spool_file.LOCK_SECONDS = 300
        file = SpoolFile(sys.argv[1])
        for number in range(40):
            file.append([b"%s %d " % (sys.argv[2].encode(), number) + b"x" * 5000])
    """)

    def write() -> None:
        for number in range(40):
            append(path, b"thread %d " % number + b"x" * 5000)

    others = [
        subprocess.Popen([sys.executable, "-c", program, str(path), name], cwd=ROOT)
        for name in ("a", "b")
    ]
    thread = threading.Thread(target=write)
    thread.start()
    thread.join()
    assert [other.wait(250) for other in others] == [0, 0]
    found = [payload.split()[:2] for payload in payloads(path)]
    assert len(found) == 120
    for name in (b"thread", b"a", b"b"):
        assert [int(n) for who, n in found if who == name] == list(range(40))


def test_a_process_that_holds_the_file_is_not_waited_for_without_end(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(path, b"1")
    monkeypatch.setattr(spool_file, "LOCK_SECONDS", 0.0)
    fd = os.open(path, os.O_RDWR)
    try:
        with spool_file._lock(fd, 0), pytest.raises(TimeoutError, match="another process"):
            append(path, b"2")
    finally:
        os.close(fd)


def test_a_place_that_cannot_serve_is_told_before_it_has_to(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_spool(path)
    append(path, b"1")
    check_spool(path)
    with pytest.raises(ConfigurationError, match="a folder"):
        check_spool(path.parent)
    with pytest.raises(ConfigurationError, match="no folder"):
        check_spool(path.parent / "nowhere" / "letters.spool")
    other = path.parent / "other"
    other.write_bytes(b"x" * 100)
    with pytest.raises(ConfigurationError, match="no spool file"):
        check_spool(other)
    # As root everything may be written.
    monkeypatch.setattr(spool_file.os, "access", lambda *_: False)
    with pytest.raises(ConfigurationError, match="may not be written"):
        check_spool(path)


# Replaying


def test_confirmed_letters_leave_and_the_others_stay(path: Path) -> None:
    append(path, b"1", b"2", b"3")
    with Replaying(path) as replaying:
        first, _, third = offsets(replaying)
        replaying.note([third, first], [])
        assert replaying.finish(keep) == 1
    assert payloads(path) == [b"2"]
    assert sorted(each.name for each in path.parent.iterdir()) == [path.name]


def test_an_empty_spool_keeps_its_place_for_those_who_append(path: Path) -> None:
    appender = SpoolFile(path)
    appender.append([b"1"])
    inode = path.stat().st_ino
    with Replaying(path) as replaying:
        replaying.note(offsets(replaying), [])
        assert replaying.finish(keep) == 0
    assert path.stat().st_size == 0
    appender.append([b"2"])
    appender.close()
    assert path.stat().st_ino == inode
    assert payloads(path) == [b"2"]


def test_whoever_has_the_old_file_open_appends_to_the_new_one(path: Path) -> None:
    appender = SpoolFile(path)
    appender.append([b"1", b"2"])
    with Replaying(path) as replaying:
        replaying.note(offsets(replaying)[:1], [])
        appender.append([b"meanwhile"])
        assert replaying.finish(keep) == 2
    appender.append([b"3"])
    appender.close()
    assert payloads(path) == [b"2", b"meanwhile", b"3"]


def test_a_replay_that_was_ended_goes_on_where_it_was(path: Path) -> None:
    append(path, b"1", b"2", b"3")
    with Replaying(path) as replaying:
        first, second, _ = offsets(replaying)
        replaying.note([first], [second])
    journal = path.with_name(path.name + ".done")
    # A crash in the middle of a note.
    with journal.open("ab") as file:
        file.write(b"D\0\0\0")
    with Replaying(path) as replaying:
        assert [replaying.is_done(offset) for offset in offsets(replaying)] == [True, False, False]
        assert [replaying.is_in_doubt(at) for at in offsets(replaying)] == [False, True, False]
        replaying.note([second], [])
        assert not replaying.is_in_doubt(second)
    with Replaying(path) as replaying:
        assert replaying.is_done(second)
        assert replaying.finish(keep) == 1
    assert payloads(path) == [b"3"]


def test_the_journal_of_another_file_says_nothing(path: Path) -> None:
    """A crash between the new file and the removal of the journal."""
    append(path, b"1", b"2")
    with Replaying(path) as replaying:
        replaying.note(offsets(replaying)[:1], [])
        journal = path.with_name(path.name + ".done").read_bytes()
        replaying.finish(keep)
    path.with_name(path.name + ".done").write_bytes(journal)
    with Replaying(path) as replaying:
        assert [replaying.is_done(offset) for offset in offsets(replaying)] == [False]
        replaying.finish(keep)
    assert payloads(path) == [b"2"]


def test_a_letter_in_doubt_is_written_anew(path: Path) -> None:
    append(path, b"1", b"2")
    with Replaying(path) as replaying:
        replaying.note([], offsets(replaying)[1:])
    with Replaying(path) as replaying:
        assert replaying.finish(lambda payload: payload + b"?") == 2
    assert payloads(path) == [b"1", b"2?"]


def test_damaged_bytes_are_set_aside(path: Path) -> None:
    append(path, b"1")
    with path.open("ab") as file:
        file.write(b"garbage")
    append(path, b"2")
    with Replaying(path) as replaying:
        assert replaying.finish(keep) == 2
    assert payloads(path) == [b"1", b"2"]
    assert path.with_name(path.name + ".damaged").read_bytes() == b"garbage"
    with Replaying(path) as replaying:
        assert [each.payload for each in replaying.frames()] == [b"1", b"2"]


def test_a_file_of_nothing_but_damage_is_emptied(path: Path) -> None:
    append(path)
    with path.open("ab") as file:
        file.write(b"garbage")
    with Replaying(path) as replaying:
        assert replaying.finish(keep) == 0
    assert path.stat().st_size == 0
    assert path.with_name(path.name + ".damaged").read_bytes() == b"garbage"


def test_two_replays_at_once_are_refused(path: Path) -> None:
    append(path, b"1")
    with (
        Replaying(path),
        pytest.raises(SpoolBusyError, match="another replay"),
        Replaying(path),
    ):
        raise AssertionError
    with Replaying(path) as replaying:
        assert len(offsets(replaying)) == 1
        replaying.finish(keep)


def test_a_new_file_that_does_not_fit_leaves_the_old_one(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(path, b"1", b"2")
    write = os.write

    def full(fd: int, data: bytes) -> int:
        if bytes(data).startswith(b"AIOPSPL1"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(fd, data)

    with Replaying(path) as replaying:
        replaying.note(offsets(replaying)[:1], [])
        with monkeypatch.context() as patch:
            patch.setattr(spool_file.os, "write", full)
            with pytest.raises(OSError, match="No space"):
                replaying.finish(keep)
    assert payloads(path) == [b"1", b"2"]
    with Replaying(path) as replaying:
        assert [replaying.is_done(offset) for offset in offsets(replaying)] == [True, False]


def test_the_first_letter_begins_behind_the_header(path: Path) -> None:
    append(path, b"1")
    with Replaying(path) as replaying:
        assert offsets(replaying) == [HEADER_SIZE]
