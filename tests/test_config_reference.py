from __future__ import annotations

import re

import pytest

from aioproducer.config_table import (
    BY_NAME,
    KEYS,
    PARTITIONERS,
    WORKING_KEYS,
    Kind,
    Refused,
)
from aioproducer.core.partitioner import PARTITIONER_NAMES
from aioproducer.options import ProducerOptions
from tests.kafka_tables import kafka_keys
from tools import generate_reference

# Here the user sees what Kafka has and we have not: none instead of JMX.
OTHER_DEFAULTS = {"metric.reporters"}
KAFKA_4_4 = {
    "bootstrap.resolve.timeout.ms",
    "buffer.memory.allocation.strategy",
    "client.rack",
    "metadata.cluster.check.enable",
    "partitioner.rack.aware",
}
WORKING_IN_KAFKA = [key for key in kafka_keys() if BY_NAME[key.name].works]
REMOVED_IN_KAFKA_4_0 = {"auto.include.jmx.reporter"}


def test_the_generated_files_are_not_stale(capsys):
    status = generate_reference.main(["--check"])

    assert status == 0, capsys.readouterr().err


def test_a_stale_file_is_told_by_status_and_name(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(generate_reference, "ROOT", tmp_path)

    assert generate_reference.main(["--check"]) == 1
    assert "options.py is stale" in capsys.readouterr().err
    assert generate_reference.main([]) == 0
    assert generate_reference.main(["--check"]) == 0


def test_the_table_holds_every_key_of_kafkas_producer_and_marks_its_own():
    ours = {key.kafka for key in KEYS if not key.own}

    assert ours - KAFKA_4_4 - REMOVED_IN_KAFKA_4_0 == {key.name for key in kafka_keys()}


@pytest.mark.parametrize(
    "kafka",
    [
        key
        for key in kafka_keys()
        if key.name not in OTHER_DEFAULTS and not isinstance(BY_NAME[key.name].status, Refused)
    ],
    ids=lambda key: key.name,
)
def test_defaults_are_those_of_kafka(kafka):
    key = BY_NAME[kafka.name]
    if kafka.default == "<required>":
        assert key.default in ((), None)
    elif kafka.name == "acks":
        assert (kafka.default, key.default) == ("all", -1)
    elif kafka.type == "LIST":
        assert list(key.default) == [item for item in kafka.default[1:-1].split(", ") if item]
    elif kafka.type == "BOOLEAN":
        assert str(key.default).lower() == kafka.default
    else:
        assert ("null" if key.default is None else str(key.default)) == kafka.default


@pytest.mark.parametrize("kafka", WORKING_IN_KAFKA, ids=lambda key: key.name)
def test_ranges_and_choices_are_those_of_kafka(kafka):
    key = BY_NAME[kafka.name]
    span = re.search(r"\[(-?\d+),\.\.\.,?(-?\d+)?\]", kafka.validator)
    listed = re.search(r"\[([A-Za-z][^\]]*)\]", kafka.validator)
    if span:
        least = -1 if "or -1" in kafka.validator else int(span[1])
        assert key.minimum == least
        assert span[2] is None or key.maximum == int(span[2])
    elif listed:
        assert {choice.lower() for choice in key.choices} == {
            choice.lower() for choice in listed[1].split(", ")
        }


@pytest.mark.parametrize("kafka", WORKING_IN_KAFKA, ids=lambda key: key.name)
def test_numbers_are_as_wide_as_in_kafka(kafka):
    assert (BY_NAME[kafka.name].kind is Kind.LONG) == (kafka.type == "LONG")


def test_no_name_stands_for_two_keys():
    for attribute in ("kafka", "python"):
        names = [getattr(key, attribute) for key in KEYS]
        assert len(names) == len(set(names))


@pytest.mark.parametrize("key", WORKING_KEYS, ids=lambda key: key.kafka)
def test_every_working_key_is_explained(key):
    assert key.doc.endswith(".")
    if key.kafka.endswith(".ms"):
        assert "millisecond" in key.doc or "`linger.ms`" in key.doc
    if key.kafka.endswith((".bytes", ".size", ".memory")):
        assert "byte" in key.doc.lower()


def test_the_typed_options_are_the_working_keys_that_are_no_parameter_of_their_own():
    parameters = {
        "bootstrap_servers", "key_serializer", "value_serializer", "partitioner", "interceptors",
        "profile",
    }  # fmt: skip

    assert set(ProducerOptions.__annotations__) == {key.python for key in WORKING_KEYS} - parameters


def test_the_named_partitioners_are_those_that_exist():
    assert set(PARTITIONERS) == set(PARTITIONER_NAMES)


def test_the_page_shows_every_key():
    page = generate_reference.render_page()

    for key in KEYS:
        assert f"`{key.kafka}`" in page
