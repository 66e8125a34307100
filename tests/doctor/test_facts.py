from __future__ import annotations

import pytest

from aioproducer.doctor.facts import number_in
from aioproducer.wire.messages.metadata import NOT_ASKED
from tests.doctor.setups import setup, topic


@pytest.mark.parametrize(
    ("operations", "allowed"), [(1 << 4, True), (1 << 8 | 1 << 3, False), (NOT_ASKED, None)]
)
def test_the_right_to_write_is_read_out_of_the_bits(operations: int, allowed: bool | None) -> None:
    assert topic(operations=operations).may_write is allowed


def test_the_weakest_partition_counts() -> None:
    assert topic(replicas=2).replication == 2
    assert topic(error_code=3).replication == 0


@pytest.mark.parametrize(
    ("settings", "number"), [({"k": "12"}, 12), ({"k": None}, None), ({"k": "x"}, None), ({}, None)]
)
def test_settings_are_numbers_where_they_are_known(
    settings: dict[str, str | None], number: int | None
) -> None:
    assert number_in(settings, "k") == number
    assert number_in(None, "k") is None


def test_settings_of_topics_and_brokers_are_asked_alike() -> None:
    assert topic().number("min.insync.replicas") == 2
    assert setup().broker_number("num.partitions") == 1
    assert setup(broker_settings=None).broker_number("num.partitions") is None
