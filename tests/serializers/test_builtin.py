"""Buffers and text, and the short names."""

from __future__ import annotations

import pytest

from aioproducer.config_table import SERIALIZERS
from aioproducer.serializers import (
    BytesSerializer,
    StringDeserializer,
    StringSerializer,
    UnfitBytesError,
    UnfitValueError,
)
from aioproducer.serializers.builtin import BY_NAME, make_named


def test_the_names_are_those_of_the_configuration() -> None:
    assert tuple(BY_NAME) == SERIALIZERS


def test_a_name_that_nobody_knows_means_nothing() -> None:
    assert make_named("avro") is None


def test_bytes_are_taken_as_they_are() -> None:
    serialize = BytesSerializer()
    buffer = bytearray(b"v")
    assert serialize(buffer) is buffer
    assert serialize(b"v") == b"v"
    with pytest.raises(UnfitValueError, match="bytes expected, not str"):
        serialize("v")  # type: ignore[arg-type]


def test_strings_are_encoded() -> None:
    assert StringSerializer()("größe") == "größe".encode()
    assert StringSerializer("latin-1")("größe") == b"gr\xf6\xdfe"
    assert StringSerializer()("") == b""
    with pytest.raises(UnfitValueError, match="str expected, not bytes"):
        StringSerializer()(b"v")  # type: ignore[arg-type]


def test_an_encoding_that_nobody_knows_is_told_at_once() -> None:
    with pytest.raises(LookupError):
        StringSerializer("utf-9")


def test_text_that_cannot_be_encoded_is_not_quoted() -> None:
    with pytest.raises(UnfitValueError, match="character 1 cannot be written in ascii") as caught:
        StringSerializer("ascii")("xö")
    assert "ö" not in str(caught.value)
    with pytest.raises(UnfitValueError):
        StringSerializer()("\ud800")


def test_strings_are_read_back() -> None:
    assert StringDeserializer()("größe".encode()) == "größe"
    assert StringDeserializer("latin-1")(b"gr\xf6\xdfe") == "größe"
    assert StringDeserializer()(None) is None
    with pytest.raises(UnfitBytesError, match="byte 2 is no text"):
        StringDeserializer()(b"gr\xf6\xdfe")
