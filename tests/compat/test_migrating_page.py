"""docs/migrating.md leaves nothing out: what the other clients have is asked of them."""

from __future__ import annotations

import ctypes
import inspect
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path

import aiokafka
import confluent_kafka
import pytest
from confluent_kafka.aio import AIOProducer

import aioproducer
from aioproducer import AsyncProducer
from aioproducer.config_table import BY_NAME, FOREIGN_NAMES
from tests.kafka_tables import kafka_keys

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "migrating.md").read_text("utf-8")
AIOKAFKA, CONFLUENT, JAVA = re.split(r"^## From .*$", PAGE, flags=re.MULTILINE)[1:]


def named_in(text: str) -> set[str]:
    """Return every name in the tables' first columns and in the lists."""
    names: set[str] = set()
    for line in text.splitlines():
        place = line.split("|")[1] if line.startswith("| ") else line
        for code in re.findall(r"`([^`]+)`", place):
            names.add(code.split("(")[0].rpartition("AIOProducer.")[2])
    return names


def public(cls: type) -> Iterable[str]:
    return (name for name in dir(cls) if not name.startswith("_"))


def test_every_option_and_method_of_aiokafka_has_its_row() -> None:
    options = set(inspect.signature(aiokafka.AIOKafkaProducer.__init__).parameters) - {"self"}

    assert options - named_in(AIOKAFKA) == set()
    # What an instance has beside its class's methods.
    assert {*public(aiokafka.AIOKafkaProducer), "client"} - named_in(AIOKAFKA) == set()


def test_every_method_of_confluent_kafka_has_its_row() -> None:
    classes = (confluent_kafka.Producer, confluent_kafka.SerializingProducer, AIOProducer)
    for cls in classes:
        assert set(public(cls)) - named_in(CONFLUENT) == set(), cls
    options = set(inspect.signature(AIOProducer.__init__).parameters) - {"self", "producer_conf"}
    assert options - named_in(CONFLUENT) == set()


def librdkafka_properties() -> set[str]:
    """Return what the library inside confluent-kafka says of its producer's configuration."""
    packages = Path(confluent_kafka.__file__).parent
    found = [
        *packages.parent.glob("confluent_kafka.libs/librdkafka*"),
        *packages.glob(".dylibs/librdkafka*"),
    ]
    if not found:
        pytest.skip("confluent-kafka was built here, with a library that it does not bring along")
    library, system = ctypes.CDLL(str(found[0])), ctypes.CDLL(None)
    system.fopen.restype = ctypes.c_void_p
    system.fopen.argtypes = [ctypes.c_char_p, ctypes.c_char_p]
    system.fclose.argtypes = library.rd_kafka_conf_properties_show.argtypes = [ctypes.c_void_p]
    with tempfile.NamedTemporaryFile() as file:
        stream = system.fopen(file.name.encode(), b"w")
        library.rd_kafka_conf_properties_show(stream)
        system.fclose(stream)
        rows = [line.split("|") for line in Path(file.name).read_text("utf-8").splitlines()]
    return {row[0].strip() for row in rows if len(row) > 4 and row[1].strip() in ("P", "*")}


def test_every_property_of_librdkafka_s_producer_has_its_place() -> None:
    properties = librdkafka_properties()

    assert len(properties) > 100
    assert properties - named_in(CONFLUENT) == set()


def test_properties_of_the_same_name_are_keys_here() -> None:
    listed = CONFLUENT.partition("Those of the same name and meaning:")[2].partition("| Property")[
        0
    ]
    names = re.findall(r"`([^`]+)`", listed)

    assert len(names) > 30
    for name in names:
        assert BY_NAME[name].works, name


def test_what_an_error_calls_a_property_here_is_what_the_page_calls_it() -> None:
    rows = [line.split("|") for line in CONFLUENT.splitlines() if line.startswith("| `")]
    here = {name: row[2] for row in rows for name in re.findall(r"`([^`]+)`", row[1])}
    told = {name: meant for name, meant in FOREIGN_NAMES.items() if "." in name}

    assert len(told) > 20
    assert [name for name, meant in told.items() if f"`{meant}`" not in here[name]] == []


def test_every_method_of_java_s_producer_has_its_row() -> None:
    """The list is what javap says of KafkaProducer of Kafka 4.3.1."""
    listed = (ROOT / "tests" / "data" / "kafka_4_3_producer_methods.txt").read_text("utf-8")

    assert set(listed.split()) - named_in(JAVA) == set()


def test_every_key_of_java_s_producer_has_its_row_in_the_reference() -> None:
    reference = (ROOT / "docs" / "reference" / "configuration.md").read_text("utf-8")

    assert [key.name for key in kafka_keys() if f"| `{key.name}`" not in reference] == []
    for anchor in ("Without a meaning here", "Kafka's class names", "Not supported yet"):
        assert f"## {anchor}" in reference


def test_what_the_page_names_of_this_producer_is_there() -> None:
    rows = [line.split("|")[2] for line in PAGE.splitlines() if line.startswith("| `")]
    called = {name for row in rows for name in re.findall(r"`(?:await )?([a-z_]+)\(", row)}
    classes = {name for row in rows for name in re.findall(r"`([A-Z]\w+Error)`", row)}

    methods = {*dir(AsyncProducer), *aioproducer.__all__}
    not_methods = {"partition", "serialize", "add_done_callback", "send_offsets"}
    not_methods.add("consumer_group_metadata")  # confluent-kafka's
    assert called - not_methods - methods == set()
    assert {name for name in classes if not hasattr(aioproducer, name)} <= {
        "RuntimeError",
        "AssertionError",
        "TimeoutError",
        "BufferError",
        "CancelledError",
    }
