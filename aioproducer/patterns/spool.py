"""Reading and replaying spool files of dead letters.

async with AsyncProducer("localhost:9092") as producer:
    report = await spool.replay(producer, "dead-letters.spool")
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeVar

from aioproducer import (
    ConfigurationError,
    Delivery,
    ProducerError,
    ProducerTimeoutError,
    RecordMetadata,
)
from aioproducer.patterns.letter_delivery import LetterDelivery
from aioproducer.patterns.letters import DeadLetter
from aioproducer.patterns.spool_file import Replaying, SpoolBusyError, contents, noted_in, spool_id
from aioproducer.patterns.spool_format import (
    HEADER_SIZE,
    Frame,
    SpoolFormatError,
    decode,
    encode,
)

__all__ = [
    "DeadLetter",
    "ReplayReport",
    "SpoolBusyError",
    "SpoolEntry",
    "SpoolFormatError",
    "read",
    "replay",
]

P = ParamSpec("P")
T = TypeVar("T")

_AT_ONCE = 500
_BYTES_AT_ONCE = 1 << 22


class ReplayTarget(Protocol):
    """What a replay sends with: an :class:`AsyncProducer` of bytes, or what stands before one."""

    @property
    def config(self) -> Any: ...

    def send(
        self,
        topic: str,
        value: Any = None,
        *,
        key: Any = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        headers: Sequence[tuple[str, bytes | None]] = (),
    ) -> asyncio.Future[RecordMetadata]: ...

    def expedite(self) -> None: ...

    async def drain(self, timeout: float | None = None) -> None: ...


@dataclass(frozen=True, slots=True)
class SpoolEntry:
    """A stretch of a spool file: a dead letter, or ``None`` for damaged bytes.

    ``is_done`` says that an unfinished replay has had it confirmed.
    """

    offset: int
    size: int
    letter: DeadLetter | None
    is_done: bool = False


@dataclass(slots=True)
class ReplayReport:
    """What a replay did.

    ``in_doubt`` were left because their record may be in the log already, ``unsendable`` because
    they never had bytes; ``foreign`` are records of a topic that are no letters; ``failed`` were
    sent and failed, by the class and words of ``errors``. ``left`` are the letters that are still
    in the file, those that came meanwhile included. ``is_whole`` is false if the rest was not
    tried, because nothing went through any more.
    """

    replayed: int = 0
    in_doubt: int = 0
    unsendable: int = 0
    failed: int = 0
    damaged_bytes: int = 0
    foreign: int = 0
    left: int = 0
    is_whole: bool = True
    topics: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)

    def would_send(self, letter: DeadLetter, include_maybe: bool) -> bool:
        """Return whether ``letter`` is to be sent, or count why it is not."""
        if not letter.is_sendable:
            self.unsendable += 1
            return False
        if letter.persisted != "no" and not include_maybe:
            self.in_doubt += 1
            return False
        return True

    def see(self, letter: DeadLetter, *, include_maybe: bool) -> None:
        """Count ``letter`` as one that would be sent, or why it would not."""
        if self.would_send(letter, include_maybe):
            self.topics[letter.record.topic] += 1


def read(path: str | os.PathLike[str]) -> Iterator[SpoolEntry]:
    """Yield what is in a spool file, in the order it came. Blocking, and takes no lock.

    What a crash tore is an entry without a letter. Raises :exc:`FileNotFoundError`, other
    :exc:`OSError`, and :exc:`SpoolFormatError` for a file that is no spool.
    """
    place = Path(path)
    fd = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
    try:
        is_begun = os.fstat(fd).st_size >= HEADER_SIZE
        noted = noted_in(place, spool_id(fd)) if is_begun else {}
        for each in contents(fd):
            kind = noted.get(each.offset, b"")
            yield _entry(each, is_done=kind == b"D", is_in_doubt=kind == b"M")
    finally:
        os.close(fd)


async def replay(
    producer: ReplayTarget,
    path: str | os.PathLike[str],
    *,
    include_maybe: bool = False,
    to_topic: Callable[[DeadLetter], str] | None = None,
    progress: Callable[[ReplayReport], object] | None = None,
) -> ReplayReport:
    """Send the dead letters of a spool file to their topics again, and take them out of it.

    Args:
        producer: sends plain bytes: without serializers, and without transactions.
        path: the file; producers may append to it meanwhile.
        include_maybe: also those that may be in the log already, and would be there twice.
        to_topic: where to, instead of the original topic.
        progress: called with the report so far, after each few hundred letters.

    A letter leaves the file after its record was acknowledged, and not before; what was
    acknowledged is noted on the disk every few hundred letters, so that a replay that is ended,
    killed or cancelled goes on there. Only what was acknowledged and not noted yet is sent twice.
    One that was sent and not answered counts as "maybe" from then on. Letters of which only a
    picture could be kept (a serializer refused) stay. When a few hundred fail and none is
    acknowledged, the rest is not tried.

    Raises :exc:`FileNotFoundError`, other :exc:`OSError`, :exc:`SpoolFormatError`,
    :exc:`SpoolBusyError` if another replay has the file, and :exc:`ConfigurationError` for a
    producer that is unfit. Cancelling ends it after what was acknowledged has been noted.
    """
    config = producer.config
    if config.key_serializer is not None or config.value_serializer is not None:
        raise ConfigurationError("a replay sends bytes: use a producer without serializers")
    if config.transactional_id is not None:
        raise ConfigurationError("a replay begins no transaction: leave transactional_id out")
    replaying = Replaying(Path(path))
    run = _Run(producer, replaying, include_maybe, to_topic, ReplayReport())
    try:
        entries = replaying.frames()
        while group := await _on_thread(_group, entries):
            if not await run.send(group):
                run.report.is_whole = False
                break
            if progress is not None:
                progress(run.report)
        run.report.left = await _on_thread(replaying.finish, _in_doubt)
    finally:
        replaying.close()
    return run.report


@dataclass(slots=True)
class _Run:
    """One replay under way."""

    producer: ReplayTarget
    replaying: Replaying
    include_maybe: bool
    to_topic: Callable[[DeadLetter], str] | None
    report: ReplayReport

    async def send(self, group: list[Frame]) -> bool:
        """Send a group and wait for it; return whether it is worth while to go on."""
        sent: list[tuple[int, DeadLetter, asyncio.Future[RecordMetadata]]] = []
        try:
            for each in group:
                letter = self._chosen(each)
                if letter is not None:
                    sent.append((each.offset, letter, self._send(letter)))
                    await self._drain()
            self.producer.expedite()
            if sent:
                await asyncio.wait([delivery for *_, delivery in sent])
        except BaseException:
            # What is acknowledged by now must not be sent again.
            self.replaying.note(*self._settle(sent))
            raise
        done, in_doubt = self._settle(sent)
        await _on_thread(self.replaying.note, done, in_doubt)
        return bool(done) or not sent

    def _chosen(self, stretch: Frame) -> DeadLetter | None:
        """Return the letter to send, or count why there is none."""
        report, replaying = self.report, self.replaying
        if replaying.is_done(stretch.offset):
            return None
        letter = _entry(stretch, is_in_doubt=replaying.is_in_doubt(stretch.offset)).letter
        if letter is None:
            report.damaged_bytes += stretch.end - stretch.offset
            return None
        return letter if report.would_send(letter, self.include_maybe) else None

    def _send(self, letter: DeadLetter) -> asyncio.Future[RecordMetadata]:
        record = letter.record
        topic = record.topic if self.to_topic is None else self.to_topic(letter)
        return self.producer.send(
            topic, record.value, key=record.key,
            # Another topic may have other partitions.
            partition=record.partition if topic == record.topic else None,
            timestamp_ms=record.timestamp_ms, headers=record.headers,
        )  # fmt: skip

    async def _drain(self) -> None:
        # Those that wait for longer fail by themselves.
        with suppress(ProducerTimeoutError):
            await self.producer.drain()

    def _settle(
        self, sent: Sequence[tuple[int, DeadLetter, asyncio.Future[RecordMetadata]]]
    ) -> tuple[list[int], list[int]]:
        """Count what became of each; return the offsets of those confirmed and those in doubt."""
        done: list[int] = []
        in_doubt: list[int] = []
        for offset, letter, delivery in sent:
            error: BaseException | None
            if not delivery.done():
                error = _abandon(delivery)
            elif delivery.cancelled():
                error = ProducerError("abandoned", persisted="maybe")
            else:
                error = delivery.exception()
            if error is None:
                done.append(offset)
                self.report.topics[letter.record.topic] += 1
                continue
            self.report.failed += 1
            self.report.errors[f"{type(error).__name__}: {error}"] += 1
            if getattr(error, "persisted", "maybe") != "no" and letter.persisted == "no":
                in_doubt.append(offset)
        self.report.replayed += len(done)
        return done, in_doubt


def _abandon(delivery: asyncio.Future[RecordMetadata]) -> ProducerError:
    """Withdraw a record that still waits; one on its way may arrive."""
    is_withdrawn = isinstance(delivery, Delivery | LetterDelivery) and delivery.withdraw()
    if not is_withdrawn:
        delivery.cancel()
    return ProducerError("abandoned", persisted="no" if is_withdrawn else "maybe")


def _group(entries: Iterator[Frame]) -> list[Frame]:
    """Read the next few hundred, or fewer large ones."""
    group: list[Frame] = []
    size = 0
    for each in islice(entries, _AT_ONCE):
        group.append(each)
        size += each.end - each.offset
        if size >= _BYTES_AT_ONCE:
            break
    return group


async def _on_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do blocking work on a thread and wait for it, also when cancelled: it has files open."""
    doing = asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs))
    try:
        return await asyncio.shield(doing)
    except asyncio.CancelledError:
        await asyncio.wait([doing])
        raise


def _in_doubt(payload: bytes) -> bytes:
    return encode(replace(decode(payload), persisted="maybe"))


def _entry(stretch: Frame, *, is_done: bool = False, is_in_doubt: bool = False) -> SpoolEntry:
    letter: DeadLetter | None = None
    if stretch.payload is not None:
        try:
            letter = decode(stretch.payload)
        except SpoolFormatError:
            # Written by a later version: whole, and not for us.
            letter = None
    if letter is not None and is_in_doubt and letter.persisted == "no":
        letter = replace(letter, persisted="maybe")
    return SpoolEntry(stretch.offset, stretch.end - stretch.offset, letter, is_done)
