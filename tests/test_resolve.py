"""From settings to the objects they name."""

from __future__ import annotations

import random
from typing import Any

import pytest

from aioproducer import AsyncProducer
from aioproducer.config import ProducerConfig
from aioproducer.core.partitioner import PARTITIONER_NAMES
from aioproducer.errors import ConfigurationError
from aioproducer.resolve import resolve_compressor, resolve_partitioner


def config(**options: Any) -> ProducerConfig:
    return ProducerConfig.create("localhost:9092", **options)


def test_no_partitioner_means_the_built_in_one() -> None:
    assert resolve_partitioner(config(), random.Random()) is None
    assert resolve_partitioner(config(partitioner="default"), random.Random()) is None


@pytest.mark.parametrize("name", [name for name in PARTITIONER_NAMES if name != "default"])
def test_each_name_has_a_partitioner(name: str) -> None:
    made = resolve_partitioner(config(partitioner=name), random.Random())
    assert made is not None
    assert callable(made.partition)


def test_kafka_s_own_name_for_round_robin_is_known() -> None:
    name = "org.apache.kafka.clients.producer.RoundRobinPartitioner"
    by_key = config(config={"partitioner.class": name})
    assert type(resolve_partitioner(by_key, random.Random())) is type(
        resolve_partitioner(config(partitioner="round_robin"), random.Random())
    )


def test_an_own_one_is_taken_as_it_is() -> None:
    class Own:
        def partition(self, record: Any, partitions: Any) -> int:
            return 0

    own = Own()
    assert resolve_partitioner(config(partitioner=own), random.Random()) is own


@pytest.mark.parametrize("nonsense", ["nobody", 5, object(), lambda record: 0])
def test_anything_else_is_refused(nonsense: object) -> None:
    with pytest.raises(ConfigurationError, match="partitioner"):
        resolve_partitioner(config(partitioner=nonsense), random.Random())


def test_no_codec() -> None:
    assert resolve_compressor(config()) is None


@pytest.mark.parametrize(
    ("name", "codec_id"), [("gzip", 1), ("snappy", 2), ("lz4", 3), ("zstd", 4)]
)
def test_each_codec_by_name(name: str, codec_id: int) -> None:
    codec = resolve_compressor(config(compression_type=name))
    assert codec is not None
    assert codec.codec_id == codec_id


def test_levels_are_passed_on() -> None:
    body = bytes(range(256)) * 200
    sizes = {}
    for level in (1, 9):
        codec = resolve_compressor(config(compression_type="gzip", compression_gzip_level=level))
        assert codec is not None
        sizes[level] = len(codec.compress(body))
    assert sizes[9] < sizes[1]


@pytest.mark.parametrize(
    ("profile", "package"), [("throughput", "lz4"), ("balanced", "snappy"), ("reliability", "zstd")]
)
def test_a_profile_whose_codec_is_not_installed_is_refused_with_the_extra_and_the_way_around(
    profile: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aioproducer.wire.compression.importable", lambda package: False)

    with pytest.raises(ConfigurationError) as refusal:
        AsyncProducer("localhost:9092", config={"profile": profile})

    words = str(refusal.value)
    assert words.startswith(f"profile={profile} sets compression.type={package} ")
    assert f'pip install "aioproducer[{package}]"' in words
    assert words.endswith("or set compression_type yourself")
    assert AsyncProducer("localhost:9092", config={"profile": profile}, compression_type="none")


def test_a_codec_that_the_user_chose_is_not_blamed_on_the_profile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("aioproducer.wire.compression.importable", lambda package: False)

    with pytest.raises(ConfigurationError, match=r"^compression\.type=zstd needs a package"):
        resolve_compressor(config(profile="balanced", compression_type="zstd"))
