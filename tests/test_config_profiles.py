from __future__ import annotations

import itertools
import pickle
import re
from pathlib import Path
from typing import Any, get_args

import pytest

from aioproducer import AsyncProducer, ConfigurationError
from aioproducer.cli.settings import read_settings
from aioproducer.config import ProducerConfig
from aioproducer.config_profiles import PROFILES, ProfileName
from aioproducer.config_table import BY_NAME, INT_MAX
from tools.generate_reference import profile_chapter

PAGE = Path(__file__).parent.parent.joinpath("docs", "profiles.md").read_text("utf-8")
SERVER = "localhost:9092"
KIB = 1024
MIB = 1024 * KIB


def create(**options: object) -> ProducerConfig:
    return ProducerConfig.create(SERVER, **options)


def origins(config: ProducerConfig) -> dict[str, str]:
    """Return from explain() who set each key."""
    lines = (line.split(maxsplit=2) for line in config.explain().splitlines())
    return {name: origin for name, _value, origin in lines}


# What the profiles promise, written out a second time so that a slip in one place shows.
PROMISED: dict[str, dict[str, Any]] = {
    "throughput": {
        "batch_size": 64 * KIB,
        "linger_ms": 20,
        "compression_type": "lz4",
        "acks": 1,
        "enable_idempotence": False,
        "buffer_memory": 128 * MIB,
        "max_in_flight_requests_per_connection": 5,
    },
    "latency": {
        "batch_size": 16 * KIB,
        "linger_ms": 0,
        "compression_type": "none",
        "acks": 1,
        "enable_idempotence": False,
        "buffer_memory": 32 * MIB,
        "max_in_flight_requests_per_connection": 1,
    },
    "balanced": {
        "batch_size": 32 * KIB,
        "linger_ms": 5,
        "compression_type": "snappy",
        "acks": -1,
        "enable_idempotence": True,
        "buffer_memory": 64 * MIB,
        "max_in_flight_requests_per_connection": 5,
    },
    "reliability": {
        "batch_size": 16 * KIB,
        "linger_ms": 1,
        "compression_type": "zstd",
        "acks": -1,
        "enable_idempotence": True,
        "max_in_flight_requests_per_connection": 1,
        "retries": INT_MAX,
        "delivery_timeout_ms": 300_000,
    },
}


@pytest.mark.parametrize("name", PROMISED)
def test_a_profile_sets_what_it_promises_and_leaves_the_rest_alone(name):
    plain, profiled = create(), create(profile=name)

    changed = {
        key: getattr(profiled, key)
        for key in PROMISED[name]
        if getattr(profiled, key) != getattr(plain, key)
    }
    assert {key: getattr(profiled, key) for key in PROMISED[name]} == PROMISED[name]
    assert profiled == create(**{**changed, "enable_idempotence": None}).replace(profile=name)


def test_the_profiles_are_those_of_the_table_and_of_the_type():
    assert tuple(PROFILES) == tuple(PROMISED) == BY_NAME["profile"].choices
    assert get_args(ProfileName) == tuple(PROMISED)


@pytest.mark.parametrize("name", PROMISED)
def test_a_profile_may_stand_in_a_mapping_and_in_capitals(name):
    from_file = ProducerConfig.create(config={"bootstrap.servers": SERVER, "profile": name.upper()})

    assert from_file == create(profile=name)
    assert from_file.profile == name


def test_a_profile_may_come_from_a_properties_file_and_from_the_command_line(tmp_path):
    file = tmp_path / "producer.properties"
    file.write_text("bootstrap.servers=a:1\nprofile=throughput\nlinger.ms=3\n")

    config = ProducerConfig.create(config=read_settings(file, None, ["acks=all"]))
    assert (config.batch_size, config.linger_ms, config.acks) == (64 * KIB, 3, -1)
    other = ProducerConfig.create(config=read_settings(file, None, ["profile=latency"]))
    assert other.profile == "latency"


def test_an_unknown_profile_is_refused_with_those_that_exist():
    with pytest.raises(ConfigurationError) as refusal:
        create(profile="fast")

    assert "profile: must be one of 'throughput', 'latency', 'balanced'" in str(refusal.value)


def test_a_profile_given_twice_is_refused():
    with pytest.raises(ConfigurationError, match="profile: given twice"):
        create(profile="latency", config={"profile": "latency"})


def test_explain_tells_user_profile_default_and_what_was_worked_out():
    said = origins(create(profile="throughput", linger_ms=7))

    assert said["linger.ms"] == "user"
    assert said["profile"] == "user"
    assert said["batch.size"] == "profile throughput"
    assert said["acks"] == "profile throughput"
    assert said["retries"] == "default"
    assert said["enable.idempotence"] == "adjusted: acks is 1 (profile throughput)"


@pytest.mark.parametrize("name", ["throughput", "latency"])
def test_profiles_with_acks_1_say_in_one_line_that_they_are_not_idempotent(name):
    config = create(profile=name)

    assert config.notices == (
        f"enable.idempotence is off because acks is 1 (profile {name}): "
        "a retry may put a record into the log twice",
    )
    assert create(profile=name, enable_idempotence=False).notices == ()
    assert create(profile=name, acks="all").enable_idempotence is True


def test_the_user_s_acks_beat_the_profile_s_and_switch_idempotence_off():
    config = create(profile="reliability", acks=1)

    assert config.acks == 1
    assert config.enable_idempotence is False
    assert config.notices == (
        "enable.idempotence is off because acks is 1: a retry may put a record into the log twice",
    )


@pytest.mark.parametrize("name", ["throughput", "latency"])
@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ({"transactional_id": "t"}, "transactional_id is set"),
        ({"enable_idempotence": True}, "enable_idempotence is on"),
    ],
)
def test_acks_of_a_profile_give_way_to_what_needs_all(name, setting, reason):
    config = create(profile=name, **setting)

    assert config.acks == -1
    assert config.enable_idempotence is True
    assert config.notices == (f"acks is all instead of 1 (profile {name}): {reason}",)
    assert origins(config)["acks"] == f"adjusted: {reason}"


@pytest.mark.parametrize("name", ["balanced", "reliability"])
def test_idempotence_of_a_profile_gives_way_to_more_requests_in_flight(name):
    config = create(profile=name, max_in_flight_requests_per_connection=6)

    assert config.max_in_flight_requests_per_connection == 6
    assert config.enable_idempotence is False
    assert len(config.notices) == 1


def test_a_delivery_timeout_of_a_profile_is_raised_to_fit():
    config = create(profile="reliability", request_timeout_ms=400_000)

    assert config.delivery_timeout_ms == 400_001
    assert "is raised from 300000 to 400001" in config.notices[0]


def test_a_linger_of_a_profile_gives_way_to_a_short_delivery_timeout():
    config = create(profile="throughput", delivery_timeout_ms=30_007)

    assert config.linger_ms == 7
    assert origins(config)["linger.ms"] == "adjusted: delivery_timeout_ms leaves no more"
    assert "linger.ms is 7 instead of 20 (profile throughput)" in config.notices[0]


def test_what_the_user_s_own_keys_contradict_stays_refused():
    for setting in (
        {"enable_idempotence": True, "acks": 1},
        {"transactional_id": "t", "retries": 0},
        {"delivery_timeout_ms": 1000},
    ):
        for name in PROFILES:
            with pytest.raises(ConfigurationError):
                create(profile=name, **setting)


# Every value of a key that some rule looks at, or that some profile sets.
SETTINGS: list[tuple[str, object]] = [
    ("acks", "all"),
    ("acks", 1),
    ("acks", 0),
    ("enable_idempotence", True),
    ("enable_idempotence", False),
    ("retries", 0),
    ("retries", 3),
    ("max_in_flight_requests_per_connection", 1),
    ("max_in_flight_requests_per_connection", 5),
    ("max_in_flight_requests_per_connection", 6),
    ("partition_ordering", False),
    ("transactional_id", "t"),
    ("transaction_timeout_ms", 1000),
    ("linger_ms", 0),
    ("linger_ms", 500_000),
    ("linger_ms", 2**40),
    ("linger_adaptive", True),
    ("batch_size", 0),
    ("batch_size", 2 * MIB),
    ("max_request_size", 1000),
    ("compression_type", "none"),
    ("compression_type", "gzip"),
    ("compression_gzip_level", 1),
    ("compression_lz4_level", 3),
    ("compression_zstd_level", 19),
    ("buffer_memory", 1000),
    ("max_block_ms", 0),
    ("delivery_timeout_ms", 10),
    ("delivery_timeout_ms", 30_005),
    ("delivery_timeout_ms", 900_000),
    ("request_timeout_ms", 0),
    ("request_timeout_ms", 30_005),
    ("request_timeout_ms", 600_000),
    ("retry_backoff_ms", 5000),
    ("reconnect_backoff_ms", 5000),
]
CHOSEN = [dict([each]) for each in SETTINGS] + [
    {one[0]: one[1], other[0]: other[1]}
    for one, other in itertools.combinations(SETTINGS, 2)
    if one[0] != other[0]
]


@pytest.mark.parametrize("name", PROFILES)
def test_no_key_or_pair_of_keys_that_is_right_alone_contradicts_a_profile(name):
    right = 0
    for chosen in CHOSEN:
        try:
            alone = create(**chosen)
        except ConfigurationError:
            continue
        right += 1
        config = create(profile=name, **chosen)
        for key in chosen:
            assert getattr(config, key) == getattr(alone, key), (chosen, key)
        assert config.delivery_timeout_ms >= min(
            config.linger_ms + config.request_timeout_ms, INT_MAX
        )
        if config.enable_idempotence:
            assert config.acks == -1
            assert config.retries > 0
            assert config.max_in_flight_requests_per_connection <= 5
        assert config.replace() == config
    assert right > len(SETTINGS)


def test_replace_changes_the_profile_and_takes_it_back():
    config = create(profile="throughput", retries=7)

    assert config.replace(profile="latency") == create(profile="latency", retries=7)
    assert config.replace(profile=None) == create(retries=7)
    assert config.replace(acks="all") == create(profile="throughput", retries=7, acks="all")


def test_a_profile_survives_pickling_with_its_explanation():
    config = create(profile="balanced", linger_ms=3)

    twin = pickle.loads(pickle.dumps(config))
    assert twin == config
    assert twin.explain() == config.explain()


@pytest.mark.parametrize("name", PROFILES)
def test_a_producer_takes_a_profile_and_explains_it(name):
    producer = AsyncProducer(SERVER, profile=name)

    assert producer.config.profile == name
    assert origins(producer.config)["batch.size"] == f"profile {name}"


def test_the_program_of_the_page_prints_what_stands_below_it(capsys):
    ((program, printed),) = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", PAGE, re.DOTALL)

    exec(compile(program, "docs/profiles.md", "exec"), {})
    assert capsys.readouterr().out == printed


def test_the_page_of_profiles_shows_the_generated_table():
    table = profile_chapter().partition("\n\n| Key ")[2]
    assert table.strip() in PAGE
