"""Spool files on disk: appended to by several processes, emptied by one replay at a time.

Every change of the file is made under an exclusive lock on it (``flock``), by blocking calls that
belong on a worker thread. What is appended is on the disk when ``append()`` returns.
"""

from __future__ import annotations

import errno
import os
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Self

from aioproducer import ConfigurationError
from aioproducer.patterns.spool_format import (
    HEADER_SIZE,
    ID_SIZE,
    MAGIC,
    Frame,
    SpoolFormatError,
    frame,
    frames,
)

LOCK_SECONDS = 30.0
"""How long to wait for other processes that append, or for one that compacts."""

_POLL_SECONDS = 0.0005
# Between two appends: whoever polls for the lock would else never find it free.
_GAP_SECONDS = 0.002
_JOURNAL_ENTRY = 9
_DONE, _MAYBE = b"D", b"M"
_COPY_AT_ONCE = 1 << 20


class SpoolBusyError(RuntimeError):
    """Another replay of the same spool file is under way."""


def check_spool(path: str | os.PathLike[str]) -> None:
    """Raise :exc:`ConfigurationError` if letters could not be kept there, before the first has to.

    A disk that is full by then is another matter.
    """
    _fcntl()
    place = Path(path)
    if place.is_dir():
        raise ConfigurationError(f"spool={str(place)!r} is a folder; give a file in it")
    if not place.parent.is_dir():
        raise ConfigurationError(f"spool={str(place)!r}: there is no folder {place.parent}")
    if not os.access(place if place.exists() else place.parent, os.R_OK | os.W_OK):
        raise ConfigurationError(f"spool={str(place)!r} may not be written")
    if place.exists():
        try:
            _id_at(place)
        except SpoolFormatError as error:
            raise ConfigurationError(f"spool={str(place)!r}: {error}") from error


class SpoolFile:
    """A spool file that is appended to. Blocking; not for several threads at once."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        _fcntl()
        self.path = Path(path)
        self._fd = -1

    def append(self, payloads: Iterable[bytes]) -> None:
        """Append a frame for each payload, all or none, and have them written to the disk.

        Raises :exc:`OSError` when that fails, as on a full disk; the file is as it was then.
        :exc:`SpoolFormatError` if the file is something else.
        """
        data = b"".join(frame(payload) for payload in payloads)
        with self._locked() as fd:
            size = os.fstat(fd).st_size
            if size < HEADER_SIZE:
                # New, emptied by a replay, or torn by a crash at its first write.
                os.ftruncate(fd, 0)
                size, data = 0, MAGIC + uuid.uuid4().bytes + data
            else:
                spool_id(fd)
            try:
                _write_all(fd, data)
                os.fsync(fd)
            except OSError:
                # Nothing of it counts: whoever called is told that it was not kept.
                with suppress(OSError):
                    os.ftruncate(fd, size)
                raise

    def close(self) -> None:
        """Close the file; appending opens it again."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """Hold the lock of the file that has the name now: a replay may have replaced it."""
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            if self._fd < 0:
                self._fd = _open(self.path)
            with _lock(self._fd, deadline):
                is_there = _is_at(self._fd, self.path)
                if is_there:
                    yield self._fd
            if is_there:
                time.sleep(_GAP_SECONDS)
                return
            self.close()


class Replaying:
    """A spool file that is being replayed: what is in it, and what of that is done.

    Confirmed letters are noted in a journal beside the file, so that a replay that is ended begins
    where it was; :meth:`finish` takes them out of the file.
    """

    def __init__(self, path: Path) -> None:
        _fcntl()
        self._path = path
        # Before there is a journal beside something that is no spool.
        _id_at(path)
        self._journal = _open_journal(self._journal_path)
        try:
            # Only now: the replay that had the journal before may have put a new file here.
            self._id = _id_at(path)
            self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except BaseException:
            os.close(self._journal)
            raise
        try:
            self._noted = self._begin_journal()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file and of the right to replay it."""
        os.close(self._journal)
        os.close(self._fd)

    def frames(self) -> Iterator[Frame]:
        """Yield what is in the file now, done or not."""
        return contents(self._fd)

    def is_done(self, offset: int) -> bool:
        """Whether the letter at ``offset`` was replayed and confirmed."""
        return self._noted.get(offset) == _DONE

    def is_in_doubt(self, offset: int) -> bool:
        """Whether an earlier replay of the letter at ``offset`` was not answered."""
        return self._noted.get(offset) == _MAYBE

    def note(self, done: Iterable[int], in_doubt: Iterable[int]) -> None:
        """Note on the disk what became of letters, by their offsets."""
        news = dict.fromkeys(done, _DONE) | dict.fromkeys(in_doubt, _MAYBE)
        if news:
            entries = (kind + offset.to_bytes(8) for offset, kind in news.items())
            _write_all(self._journal, b"".join(entries))
            os.fsync(self._journal)
            self._noted |= news

    def finish(self, doubted: Callable[[bytes], bytes]) -> int:
        """Take what is done out of the file; return the number of letters that stay.

        ``doubted`` makes the payload that takes the place of one in doubt. Damaged bytes are moved
        to a file ``.damaged`` beside it.
        """
        with _lock(self._fd, time.monotonic() + LOCK_SECONDS):
            kept = [each for each in self.frames() if not self.is_done(each.offset)]
            letters = sum(each.payload is not None for each in kept)
            if len(kept) > letters:
                self._set_aside([each for each in kept if each.payload is None])
            if not letters:
                os.ftruncate(self._fd, 0)
                os.fsync(self._fd)
            elif self._noted or len(kept) > letters:
                payloads = (
                    doubted(each.payload) if self.is_in_doubt(each.offset) else each.payload
                    for each in kept
                    if each.payload is not None
                )
                self._replace(payloads)
        # Only now: a journal without its file says nothing, a file without its journal repeats.
        os.unlink(self._journal_path)
        return letters

    @property
    def _journal_path(self) -> Path:
        return self._path.with_name(self._path.name + ".done")

    def _begin_journal(self) -> dict[int, bytes]:
        held = _read_all(self._journal)
        if self._id is not None and held[:ID_SIZE] == self._id:
            entries = held[ID_SIZE:]
            whole = len(entries) - len(entries) % _JOURNAL_ENTRY
            # What a crash tore would shift all that comes behind.
            os.ftruncate(self._journal, ID_SIZE + whole)
            return {
                int.from_bytes(entries[at + 1 : at + _JOURNAL_ENTRY]): entries[at : at + 1]
                for at in range(0, whole, _JOURNAL_ENTRY)
            }
        os.ftruncate(self._journal, 0)
        _write_all(self._journal, self._id or b"")
        return {}

    def _set_aside(self, damaged: Iterable[Frame]) -> None:
        fd = _open(self._path.with_name(self._path.name + ".damaged"))
        try:
            for each in damaged:
                for at in range(each.offset, each.end, _COPY_AT_ONCE):
                    _write_all(fd, os.pread(self._fd, min(_COPY_AT_ONCE, each.end - at), at))
            os.fsync(fd)
        finally:
            os.close(fd)

    def _replace(self, payloads: Iterable[bytes]) -> None:
        new = self._path.with_name(self._path.name + ".new")
        with suppress(FileNotFoundError):
            new.unlink()
        fd = _open(new)
        try:
            _write_all(fd, MAGIC + uuid.uuid4().bytes)
            for payload in payloads:
                _write_all(fd, frame(payload))
            os.fsync(fd)
            new.replace(self._path)
            _sync_folder(self._path)
        except BaseException:
            with suppress(OSError):
                new.unlink()
            raise
        finally:
            os.close(fd)


def contents(fd: int) -> Iterator[Frame]:
    """Yield the frames of an open spool file, and its damaged stretches."""
    size = os.fstat(fd).st_size
    if size < HEADER_SIZE:
        return
    spool_id(fd)
    yield from frames(lambda count, offset: os.pread(fd, count, offset), HEADER_SIZE, size)


def noted_in(path: Path, spool: bytes) -> dict[int, bytes]:
    """Return what a journal beside ``path`` says of the spool file with that id, without a lock."""
    try:
        held = path.with_name(path.name + ".done").read_bytes()
    except FileNotFoundError:
        return {}
    if held[:ID_SIZE] != spool:
        return {}
    entries = held[ID_SIZE:]
    return {
        int.from_bytes(entries[at + 1 : at + _JOURNAL_ENTRY]): entries[at : at + 1]
        for at in range(0, len(entries) - _JOURNAL_ENTRY + 1, _JOURNAL_ENTRY)
    }


def spool_id(fd: int) -> bytes:
    """Return the id of an open spool file; raises :exc:`SpoolFormatError` if it is none."""
    head = os.pread(fd, HEADER_SIZE, 0)
    if not head.startswith(MAGIC):
        raise SpoolFormatError("this is no spool file of dead letters")
    return head[len(MAGIC) :]


def _id_at(path: Path) -> bytes | None:
    """Return the id of a spool file, ``None`` for one without any letter yet."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return spool_id(fd) if os.fstat(fd).st_size >= HEADER_SIZE else None
    finally:
        os.close(fd)


def _open(path: Path) -> int:
    is_new = not path.exists()
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    if is_new:
        # Else the file itself could be gone after a crash, with all that was written to it.
        _sync_folder(path)
    return fd


def _open_journal(path: Path) -> int:
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            _fcntl().flock(fd, _fcntl().LOCK_EX | _fcntl().LOCK_NB)
        except OSError as error:
            os.close(fd)
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            raise SpoolBusyError(f"another replay has {path.name}") from error
        if _is_at(fd, path):
            return fd
        # The replay that had it has just finished, and removed it.
        os.close(fd)


@contextmanager
def _lock(fd: int, deadline: float) -> Iterator[None]:
    module = _fcntl()
    while True:
        try:
            module.flock(fd, module.LOCK_EX | module.LOCK_NB)
            break
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            if time.monotonic() >= deadline:
                words = f"another process has held the spool file for {LOCK_SECONDS:g} s"
                raise TimeoutError(errno.ETIMEDOUT, words) from error
        time.sleep(_POLL_SECONDS)
    try:
        yield
    finally:
        module.flock(fd, module.LOCK_UN)


def _is_at(fd: int, path: Path) -> bool:
    """Whether the open file is still the one that has the name."""
    try:
        named = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(named, os.fstat(fd))


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _read_all(fd: int) -> bytes:
    return os.pread(fd, os.fstat(fd).st_size, 0)


def _sync_folder(path: Path) -> None:
    fd = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _fcntl() -> ModuleType:
    if sys.platform == "win32":
        raise ConfigurationError("spool files need flock(), which Windows has not")
    import fcntl

    return fcntl
