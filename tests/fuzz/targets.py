"""What hostile bytes are given to. Each target raises nothing but what is documented of it."""

from __future__ import annotations

import functools
import itertools
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from crc32c import crc32c

from aioproducer.core.broker_protocol import BrokerProtocol, PendingRequest
from aioproducer.core.cluster_view import ClusterView
from aioproducer.errors import (
    BrokerError,
    ClusterConnectionError,
    MalformedResponseError,
)
from aioproducer.runtime.handshake import negotiate_versions
from aioproducer.wire.compression import CODECS
from aioproducer.wire.decompression import decompress
from aioproducer.wire.framing import FrameDecoder
from aioproducer.wire.primitives import Reader
from aioproducer.wire.record_batch import HEADER_SIZE, decode_batches
from aioproducer.wire.versions import ApiKey, negotiate, response_header_version
from tests.fuzz import corpus

LIMIT = 64 * 1024
"""What may come out of compressed records here."""

_SIZE = struct.Struct(">i")
_CRC_AT, _CRC_FROM = 17, 21
_SMALL_FRAME = 4096


@dataclass(frozen=True)
class Target:
    """One thing that reads what a broker sends.

    Args:
        seeds: sound inputs, from real brokers where there are any.
        documented: what it may raise; anything else is a finding.
    """

    name: str
    seeds: Sequence[bytes]
    read: Callable[[bytes], None]
    documented: tuple[type[Exception], ...] = (MalformedResponseError,)


@functools.cache
def all_targets() -> tuple[Target, ...]:
    """Every target."""
    return (
        *(_decoder(api, version) for api, version in corpus.spoken()),
        *(_conversation(api, version) for api, version in corpus.spoken()),
        Target("handshake", _bodies(ApiKey.API_VERSIONS, 4), _shake_hands, _REFUSALS),
        Target("frames", _framed_pairs(), _read_frames),
        Target("record batches", _batches(), _read_batches),
        Target("record batches, checksum mended", _batches(), _read_mended_batches),
        *(_decompressor(codec_id) for codec_id in range(len(CODECS))),
    )


# Answers


def _bodies(api: ApiKey, version: int) -> list[bytes]:
    recorded = [a.body for a in corpus.answers() if (a.api, a.version) == (api, version)]
    from tests.wire.messages.samples import API_OF, SAMPLES

    rich = [s.data for s in SAMPLES if (API_OF[s.response], s.version) == (api, version)]
    return [*recorded, *rich] or [bytes(64)]


def _decoder(api: ApiKey, version: int) -> Target:
    response = corpus.request_classes()[api].Response
    use = _USES.get(api, _no_use)

    def read(data: bytes) -> None:
        use(response.decode(Reader(data), version))

    return Target(f"{api.kafka_name} v{version}", _bodies(api, version), read)


def _use_metadata(response: Any) -> None:
    """What the producer makes of it, without and with an earlier picture."""
    view = ClusterView().updated_by(response)
    fewer = replace(response, topics=response.topics[:1], brokers=response.brokers[:1])
    view.updated_by(fewer).updated_by(response)


def _use_versions(response: Any) -> None:
    for api in corpus.request_classes():
        try:
            negotiate(api, response.api_versions)
        except BrokerError as error:
            assert error.code == 35


def _no_use(response: Any) -> None:
    repr(response)


_USES: dict[ApiKey, Callable[[Any], None]] = {
    ApiKey.METADATA: _use_metadata,
    ApiKey.API_VERSIONS: _use_versions,
}


def _conversation(api: ApiKey, version: int) -> Target:
    """Two requests in flight; their answers arrive in pieces."""
    request = corpus.request_classes()[api]
    header = corpus.CORRELATION_ID.to_bytes(4, "big")
    tags = b"\x00" * response_header_version(api, version)
    frames = [header + tags + body for body in _bodies(api, version)]

    def read(data: bytes) -> None:
        protocol = BrokerProtocol("fuzz")
        for _ in range(2):
            pending = PendingRequest(corpus.CORRELATION_ID, request, version, 0.0, None)
            protocol.in_flight.append(pending)
        for piece in _pieces(data):
            for _ in protocol.receive(piece):
                pass

    seeds = [_SIZE.pack(len(frame)) + frame for frame in frames]
    return Target(f"conversation: {api.kafka_name} v{version}", seeds, read)


def _pieces(data: bytes) -> list[bytes]:
    """Cut the bytes somewhere, but always alike."""
    dice = zlib.crc32(data)
    if not data or dice % 3 == 0:
        return [data]
    first, second = sorted((dice % len(data), (dice >> 8) % len(data)))
    return [data[:first], data[first:second], data[second:]]


# The handshake


_REFUSALS: tuple[type[Exception], ...] = (MalformedResponseError, ClusterConnectionError)


class _Listener:
    """As much of a connection as the handshake uses: whatever is asked, it says the same."""

    address = "fuzz:9092"

    def __init__(self, answer: bytes) -> None:
        self.protocol = BrokerProtocol("fuzz")
        self._answer = answer

    async def ask(self, request: Any, version: int) -> Any:
        return request.Response.decode(Reader(self._answer), version)


def _shake_hands(data: bytes) -> None:
    connection: Any = _Listener(data)
    coroutine = negotiate_versions(connection)
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise AssertionError("the handshake waits for something")


# Frames


def _framed_pairs() -> list[bytes]:
    frames = [_SIZE.pack(len(a.frame)) + a.frame for a in corpus.answers()[::7]]
    return [one + other for one, other in itertools.pairwise(frames)]


def _read_frames(data: bytes) -> None:
    """The same frames come out however the bytes are cut, and nothing is kept but what came."""
    whole = _outcome([data])
    assert whole == _outcome(_pieces(data))
    assert whole == _outcome([data[i : i + 1] for i in range(len(data))])


def _outcome(pieces: list[bytes]) -> tuple[list[bytes], bool]:
    decoder = FrameDecoder(_SMALL_FRAME)
    frames: list[bytes] = []
    try:
        for piece in pieces:
            frames += decoder.feed(piece)
    except MalformedResponseError:
        # How many sound frames came out before it depends on the pieces; that it came does not.
        return [], False
    return frames, True


# Record batches


def _batches() -> list[bytes]:
    return list(corpus.recorded_batches().values())


def _read_batches(data: bytes) -> None:
    for batch in decode_batches(data, limit=LIMIT):
        repr(batch)


def _read_mended_batches(data: bytes) -> None:
    """A broker can put a right checksum on anything: what is behind it has to hold as well."""
    mended = bytearray(data)
    if len(mended) >= HEADER_SIZE:
        length = len(mended) - 12
        mended[8:12] = length.to_bytes(4, "big")
        mended[_CRC_AT:_CRC_FROM] = crc32c(bytes(mended[_CRC_FROM:])).to_bytes(4, "big")
    _read_batches(bytes(mended))


def _decompressor(codec_id: int) -> Target:
    name = CODECS[codec_id].name
    batch = corpus.recorded_batches()[name]

    def read(data: bytes) -> None:
        assert len(decompress(codec_id, data, LIMIT)) <= LIMIT

    return Target(f"decompress {name}", [batch[HEADER_SIZE:]], read)
