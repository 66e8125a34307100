"""Frames and payloads of spool files: what is whole is found, what is torn is passed over."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioproducer import Record
from aioproducer.patterns.letters import DeadLetter
from aioproducer.patterns.spool_format import (
    Frame,
    SpoolFormatError,
    decode,
    encode,
    frame,
    frames,
)

PAYLOADS = [b"one", b"", b"x" * 100_000, b"four"]


def found_in(data: bytes) -> list[Frame]:
    return list(frames(lambda size, at: data[at : at + size], 0, len(data)))


def payloads_in(data: bytes) -> list[bytes]:
    return [each.payload for each in found_in(data) if each.payload is not None]


def test_frames_are_read_back() -> None:
    data = b"".join(map(frame, PAYLOADS))
    assert payloads_in(data) == PAYLOADS
    ends = [each.end for each in found_in(data)]
    assert [each.offset for each in found_in(data)] == [0, *ends[:-1]]
    assert ends[-1] == len(data)


@pytest.mark.parametrize("cut", range(1, len(frame(b"four")) + 1))
def test_a_torn_tail_costs_only_itself(cut: int) -> None:
    data = b"".join(map(frame, PAYLOADS))[:-cut]
    assert payloads_in(data) == PAYLOADS[:-1]
    assert sum(each.end - each.offset for each in found_in(data)) == len(data)


@pytest.mark.parametrize("cut", range(1, len(frame(b"torn"))))
def test_what_was_appended_behind_a_torn_frame_is_found(cut: int) -> None:
    data = frame(b"before") + frame(b"torn")[:cut] + frame(b"behind") + frame(b"last")
    assert payloads_in(data) == [b"before", b"behind", b"last"]
    damaged = [each for each in found_in(data) if each.payload is None]
    assert [each.end - each.offset for each in damaged] == [cut]


def test_a_flipped_bit_costs_its_frame_alone() -> None:
    whole = b"".join(map(frame, PAYLOADS))
    for at in (*range(15), 15 + 12, len(whole) - 3):
        data = bytearray(whole)
        data[at] ^= 1
        kept = payloads_in(bytes(data))
        assert len(kept) == len(PAYLOADS) - 1
        assert set(kept) < set(PAYLOADS)


def test_a_marker_across_two_pieces_is_found() -> None:
    for junk in range(65_536 - 6, 65_536 + 6):
        assert payloads_in(b"\x00" * junk + frame(b"behind")) == [b"behind"]


@given(st.lists(st.binary(max_size=40)), st.data())
def test_whatever_is_damaged_nothing_is_invented(
    payloads: list[bytes], data: st.DataObject
) -> None:
    whole = bytearray(b"".join(map(frame, payloads)))
    for _ in range(data.draw(st.integers(0, 3))):
        if whole:
            at = data.draw(st.integers(0, len(whole) - 1))
            whole[at] = data.draw(st.integers(0, 255))
    kept: Iterator[bytes] = iter(payloads)
    # In order, and each is one of those that were written.
    assert all(payload in kept for payload in payloads_in(bytes(whole)))


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
maybe_bytes = st.none() | st.binary(max_size=50)
maybe_numbers = st.none() | st.integers(0, 2**62)


@given(
    st.builds(
        DeadLetter,
        st.builds(
            Record,
            texts,
            maybe_bytes,
            maybe_bytes,
            maybe_numbers,
            maybe_numbers,
            st.lists(st.tuples(texts, maybe_bytes)).map(tuple),
        ),
        maybe_numbers,
        st.integers(0, 2**62),
        texts,
        texts,
        st.sampled_from(["no", "maybe", "yes"]),
        st.sampled_from(["", "json"]),
        st.sampled_from(["", "repr"]),
    )
)
def test_a_letter_is_read_back_as_it_was(letter: DeadLetter) -> None:
    assert decode(encode(letter)) == letter


@pytest.mark.parametrize(
    "payload", [b"", b"\0\0\0\2{}", b"\0\0\0\2[]", b"\xff\xff\xff\xff", b"\0\0\0\1x", b"\0\0\0\0"]
)
def test_what_is_no_letter_is_refused(payload: bytes) -> None:
    with pytest.raises(SpoolFormatError):
        decode(payload)


def test_a_payload_that_is_too_short_is_refused() -> None:
    whole = encode(DeadLetter(Record("t", b"value", b"key"), None, 1, "r", "X"))
    with pytest.raises(SpoolFormatError, match="shorter"):
        decode(whole[:-1])


def test_what_no_frame_can_hold_is_refused() -> None:
    class Long(bytes):
        def __len__(self) -> int:
            return (1 << 30) + 1

    with pytest.raises(SpoolFormatError, match="too long"):
        frame(Long())
