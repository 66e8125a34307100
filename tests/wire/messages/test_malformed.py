from __future__ import annotations

import struct
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aioproducer.errors import MalformedResponseError
from aioproducer.wire.primitives import Reader
from aioproducer.wire.versions import FLEXIBLE_FROM
from tests.wire.messages.samples import API_OF, SAMPLE_NAMES, SAMPLES, VALUES, Sample
from tests.wire.oracles import has_kafka_python, kafka_python_bytes, kio_bytes, schema_bytes

every_sample = pytest.mark.parametrize("sample", SAMPLES, ids=SAMPLE_NAMES)
flexible_samples = [s for s in SAMPLES if s.version >= FLEXIBLE_FROM[API_OF[s.response]]]

LYING_LENGTHS = (
    struct.pack(">i", 2**31 - 1),
    struct.pack(">i", -2),
    struct.pack(">i", -(2**31)),
    b"\xff\xff\xff\xff\x0f",
    b"\xfe\xff\xff\xff\x07",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
)


def decode_or_refuse(sample: Sample, data: bytes) -> None:
    """Any other exception than the one that hostile input may cause goes through to the test."""
    try:
        sample.response.decode(Reader(data), sample.version)
    except MalformedResponseError as error:
        assert str(error)


@every_sample
def test_the_samples_are_what_the_oracles_write(sample: Sample) -> None:
    """Otherwise the tests below would prove something about messages that no broker sends."""
    values = VALUES[sample.response]
    name = sample.response.__name__
    if has_kafka_python(name):
        assert kafka_python_bytes(name, sample.version, values) == sample.data
    assert kio_bytes(name, sample.version, values) == sample.data


@every_sample
def test_a_response_is_read_to_its_last_byte(sample: Sample) -> None:
    reader = Reader(sample.data)
    sample.response.decode(reader, sample.version)
    reader.finish()


@every_sample
def test_a_response_cut_anywhere_is_refused(sample: Sample) -> None:
    for end in range(len(sample.data)):
        with pytest.raises(MalformedResponseError):
            sample.response.decode(Reader(sample.data[:end]), sample.version)


@every_sample
def test_lying_lengths_are_refused_without_allocating_for_them(sample: Sample) -> None:
    tracemalloc.start()
    try:
        for start in range(len(sample.data)):
            for lie in LYING_LENGTHS:
                decode_or_refuse(sample, sample.data[:start] + lie + sample.data[start + 4 :])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000


@given(st.sampled_from(SAMPLES), st.data())
@settings(max_examples=500, deadline=None)
def test_bytes_changed_at_random_are_decoded_or_refused(
    sample: Sample, data: st.DataObject
) -> None:
    changed = bytearray(sample.data)
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(changed) - 1))
        changed[position] = data.draw(st.integers(0, 255))
    decode_or_refuse(sample, bytes(changed))


@given(st.sampled_from(SAMPLES), st.binary(max_size=200))
@settings(max_examples=500, deadline=None)
def test_noise_is_decoded_or_refused(sample: Sample, noise: bytes) -> None:
    decode_or_refuse(sample, noise)


@pytest.mark.parametrize("sample", flexible_samples, ids=[str(s[:2]) for s in flexible_samples])
@pytest.mark.parametrize("tag", [3, 99, 2**32 - 1])
def test_tagged_fields_of_a_newer_broker_are_skipped(sample: Sample, tag: int) -> None:
    """KIP-482 lets brokers add tags without a new version, wherever tags may be."""
    values = VALUES[sample.response]
    later = {tag: b"a field of later days" * 20}
    reader = Reader(schema_bytes(sample.response.__name__, sample.version, values, later))
    decoded = sample.response.decode(reader, sample.version)
    reader.finish()
    assert decoded == sample.response.decode(Reader(sample.data), sample.version)
