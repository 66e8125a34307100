"""Properties of everything that reads bytes, searched for counter-examples by hypothesis."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aioproducer.core.broker_protocol import BrokerProtocol, PendingRequest
from aioproducer.errors import MalformedResponseError
from aioproducer.wire.framing import FrameDecoder
from aioproducer.wire.primitives import Reader, Writer
from tests.fuzz import corpus
from tests.fuzz.engine import attempt
from tests.fuzz.targets import all_targets

# None: as many as the profile says, which is the default's hundred or make fuzz's thousands.
more = settings(deadline=None)

frames = st.lists(st.binary(max_size=60), max_size=6)


def framed(bodies: list[bytes]) -> bytes:
    return b"".join(len(body).to_bytes(4, "big") + body for body in bodies)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted(cut % (len(data) + 1) for cut in cuts)
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


@given(st.sampled_from(all_targets()), st.binary(max_size=300))
@more
def test_noise_is_read_or_refused(target: object, noise: bytes) -> None:
    assert attempt(target, noise, measured=False)[1] == ""  # type: ignore[arg-type]


@given(st.sampled_from(all_targets()), st.data())
@more
def test_a_sound_answer_with_any_bytes_changed_is_read_or_refused(
    target: object, data: st.DataObject
) -> None:
    changed = bytearray(data.draw(st.sampled_from(target.seeds)))  # type: ignore[attr-defined]
    changes = st.tuples(st.integers(0, max(0, len(changed) - 1)), st.binary(min_size=1, max_size=5))
    for at, new in data.draw(st.lists(changes, min_size=1, max_size=4)):
        changed[at : at + len(new)] = new
    assert attempt(target, bytes(changed), measured=False)[1] == ""  # type: ignore[arg-type]


@given(frames, st.lists(st.integers(0, 10**6), max_size=8))
@more
def test_frames_come_out_alike_however_the_bytes_arrive(
    bodies: list[bytes], cuts: list[int]
) -> None:
    decoder = FrameDecoder()
    found = [f for piece in pieces(framed(bodies), cuts) for f in decoder.feed(piece)]
    assert found == bodies


@given(st.sampled_from(corpus.answers()), st.lists(st.integers(0, 10**6), max_size=8))
@more
def test_answers_are_paired_with_their_requests_however_the_bytes_arrive(
    answer: corpus.Answer, cuts: list[int]
) -> None:
    protocol = BrokerProtocol("fuzz")
    request = corpus.request_classes()[answer.api]
    found = []
    for tag in range(3):
        pending = PendingRequest(corpus.CORRELATION_ID, request, answer.version, 0.0, tag)
        protocol.in_flight.append(pending)
    for piece in pieces(framed([answer.frame] * 3), cuts):
        found += [pending.tag for pending, _ in protocol.receive(piece)]
    assert found == [0, 1, 2]


@given(st.sampled_from(corpus.answers()), st.integers(-(2**31), 2**31 - 1))
@more
def test_an_answer_with_another_correlation_id_is_refused(
    answer: corpus.Answer, correlation_id: int
) -> None:
    protocol = BrokerProtocol("fuzz")
    request = corpus.request_classes()[answer.api]
    pending = PendingRequest(corpus.CORRELATION_ID, request, answer.version, 0.0, None)
    protocol.in_flight.append(pending)
    frame = correlation_id.to_bytes(4, "big", signed=True) + answer.frame[4:]
    if correlation_id == corpus.CORRELATION_ID:
        assert len(list(protocol.receive(framed([frame])))) == 1
        return
    if 0 <= correlation_id < corpus.CORRELATION_ID:
        # As if to a request before it that expected no answer (acks=0).
        assert list(protocol.receive(framed([frame]))) == []
    else:
        with pytest.raises(MalformedResponseError):
            list(protocol.receive(framed([frame])))
    # The request is still unanswered: whoever closes the connection has to tell it.
    assert list(protocol.in_flight) == [pending]


@given(
    st.integers(0, 2**32 - 1), st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63), 2**63 - 1)
)
@more
def test_varints_are_read_as_they_were_written(unsigned: int, signed: int, long: int) -> None:
    writer = Writer()
    writer.uvarint(unsigned)
    writer.varint(signed)
    writer.varlong(long)
    reader = Reader(writer.getvalue())
    assert (reader.uvarint(), reader.varint(), reader.varlong()) == (unsigned, signed, long)
    reader.finish()
