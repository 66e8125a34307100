from __future__ import annotations

import itertools
import struct
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aioproducer.errors import MalformedResponseError
from aioproducer.wire.framing import FrameDecoder

TLS_ALERT = bytes.fromhex("15 03 03 00 02 02 50")


def framed(*frames: bytes) -> bytes:
    return b"".join(struct.pack(">i", len(frame)) + frame for frame in frames)


@settings(deadline=None)
@given(
    frames=st.lists(st.binary(max_size=40), max_size=6),
    cuts=st.lists(st.integers(0, 260), max_size=12),
)
def test_frames_come_out_whole_however_the_bytes_are_split(
    frames: list[bytes], cuts: list[int]
) -> None:
    stream = framed(*frames)
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    decoder = FrameDecoder()
    received = []
    for start, end in itertools.pairwise(edges):
        received += decoder.feed(stream[start:end])
    assert received == frames


def test_frames_come_out_whole_when_bytes_arrive_one_by_one() -> None:
    frames = [b"one", b"", b"three" * 20]
    decoder = FrameDecoder()
    received = []
    for byte in framed(*frames):
        received += decoder.feed(bytes([byte]))
    assert received == frames


@pytest.mark.parametrize("split", range(1, 11))
def test_a_buffer_may_be_reused_after_it_was_fed(split: int) -> None:
    """A BufferedProtocol receives into the same memory again and again."""
    stream = framed(b"first", b"second")
    buffer = bytearray(64)
    decoder = FrameDecoder()
    received = []
    for part in (stream[:split], stream[split:]):
        buffer[: len(part)] = part
        received += decoder.feed(memoryview(buffer)[: len(part)])
        buffer[:] = b"\xff" * 64
    assert received == [b"first", b"second"]


@pytest.mark.parametrize("size", [-1, -(2**31), 1001, 2**31 - 1])
@pytest.mark.parametrize("before", [b"", b"fine"])
def test_a_size_that_no_broker_would_send_is_refused(size: int, before: bytes) -> None:
    decoder = FrameDecoder(max_frame=1000)
    decoder.feed(framed(before))
    with pytest.raises(MalformedResponseError, match=f"a frame size of {size} bytes"):
        decoder.feed(struct.pack(">i", size))


def test_a_refused_size_is_refused_however_it_arrives() -> None:
    decoder = FrameDecoder()
    decoder.feed(b"\xff\xff")
    with pytest.raises(MalformedResponseError, match="is negative"):
        decoder.feed(b"\xff\xff")


def test_a_frame_of_just_the_limit_is_taken() -> None:
    assert FrameDecoder(max_frame=1000).feed(framed(bytes(1000))) == [bytes(1000)]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (TLS_ALERT, "looks like TLS"),
        (b"\x16\x03\x01\x02\x00\x01", "looks like TLS"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "looks like HTTP"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "looks like SSH"),
    ],
)
def test_the_answer_of_another_protocol_is_named(answer: bytes, words: str) -> None:
    with pytest.raises(MalformedResponseError, match=words):
        FrameDecoder().feed(answer)
    slow = FrameDecoder()
    slow.feed(answer[:3])
    with pytest.raises(MalformedResponseError, match=words):
        slow.feed(answer[3:])


def test_another_protocol_is_not_suspected_after_kafka_was_spoken() -> None:
    decoder = FrameDecoder()
    assert decoder.feed(framed(b"kafka")) == [b"kafka"]
    with pytest.raises(MalformedResponseError, match="exceeds the limit"):
        decoder.feed(TLS_ALERT)


def test_memory_is_taken_for_what_has_arrived_and_not_for_what_was_promised() -> None:
    decoder = FrameDecoder()
    tracemalloc.start()
    try:
        decoder.feed(struct.pack(">i", 100 * 1024 * 1024) + bytes(1000))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100_000


def test_a_big_frame_in_many_small_reads_is_not_copied_again_and_again() -> None:
    """Copying what is there for every read would move 64 GB here; no clock is needed to notice."""
    frame = bytes(8 * 1024 * 1024)
    stream = memoryview(framed(frame))
    decoder = FrameDecoder()
    received = []
    for start in range(0, len(stream), 512):
        received += decoder.feed(stream[start : start + 512])
    assert received == [frame]


def test_many_small_frames_in_one_big_read_come_out_at_once() -> None:
    frames = [b"%d" % number for number in range(20_000)]
    assert FrameDecoder().feed(framed(*frames)) == frames
