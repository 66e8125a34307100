"""Addresses of brokers, wherever answers tell them."""

from __future__ import annotations

from typing import Any

import pytest

from aioproducer.testing.proxy.addresses import (
    Address,
    addresses_in,
    clamp_versions,
    replace_addresses,
    tells_addresses,
    topic_names_in,
)
from aioproducer.testing.proxy.messages import MESSAGES, api_key

ID = bytes(range(16))
NODE = {"NodeId": 7, "Host": "broker", "Port": 9092, "Rack": None}
BROKER = {"BrokerId": 7, "Host": "broker", "Port": 9092, "Rack": None}
CASES: list[tuple[str, int, dict[str, Any]]] = [
    ("Metadata", 0, {"Brokers": [NODE], "Topics": []}),
    ("Metadata", 13, {"Brokers": [NODE], "Topics": []}),
    ("FindCoordinator", 0, NODE),
    ("FindCoordinator", 3, NODE),
    ("FindCoordinator", 4, {"Coordinators": [{**NODE, "Key": "tx", "ErrorCode": 0}]}),
    ("DescribeCluster", 0, {"Brokers": [BROKER], "ClusterId": "c"}),
    ("DescribeCluster", 2, {"Brokers": [BROKER], "ClusterId": "c"}),
    ("Produce", 10, {"Responses": [], "NodeEndpoints": [NODE]}),
    ("Produce", 13, {"Responses": [], "NodeEndpoints": [NODE]}),
    ("Fetch", 16, {"Responses": [], "NodeEndpoints": [NODE]}),
    ("Fetch", 18, {"Responses": [], "NodeEndpoints": [NODE]}),
]


@pytest.mark.parametrize(("name", "version", "values"), CASES)
def test_an_address_is_found_and_replaced(name: str, version: int, values: dict[str, Any]) -> None:
    api, ours = api_key(name), Address("proxy", 1)
    assert tells_addresses(api, version)
    answer = MESSAGES[api].answer
    told = answer.decode(answer.encode(values, version), version)
    assert list(addresses_in(api, told)) == [(7, Address("broker", 9092))]
    replace_addresses(api, told, {Address("broker", 9092): ours}.__getitem__)
    again = answer.decode(answer.encode(told, version), version)
    assert list(addresses_in(api, again)) == [(7, ours)]


@pytest.mark.parametrize(
    ("name", "version"), [("Produce", 9), ("Fetch", 15), ("EndTxn", 5), ("ApiVersions", 4)]
)
def test_other_answers_tell_none(name: str, version: int) -> None:
    assert not tells_addresses(api_key(name), version)


def test_a_coordinator_that_is_nobody_stays_so() -> None:
    nobody = {"NodeId": -1, "Host": "", "Port": -1}
    assert list(addresses_in(api_key("FindCoordinator"), nobody)) == []
    replace_addresses(api_key("FindCoordinator"), nobody, {}.__getitem__)
    assert nobody["Host"] == ""


def test_an_answer_without_hints_is_left_alone() -> None:
    assert list(addresses_in(api_key("Produce"), {"Responses": []})) == []


def test_ids_of_topics_are_learnt() -> None:
    topics = [{"Name": "a", "TopicId": ID}, {"Name": "b", "TopicId": bytes(16)}, {"Name": "c"}]
    assert list(topic_names_in(api_key("Metadata"), {"Topics": topics})) == [(ID, "a")]


def test_versions_that_the_proxy_cannot_read_are_not_offered() -> None:
    def row(name: str, first: int, last: int) -> dict[str, int]:
        return {"ApiKey": api_key(name), "MinVersion": first, "MaxVersion": last}

    answer = {"ApiKeys": [row("Metadata", 0, 99), row("JoinGroup", 0, 99), row("Produce", 90, 99)]}
    clamp_versions(answer)
    newest = MESSAGES[api_key("Metadata")].newest
    assert answer["ApiKeys"] == [row("Metadata", 0, newest), row("JoinGroup", 0, 99)]


@pytest.mark.parametrize(
    ("text", "address"),
    [("broker:9092", ("broker", 9092)), (" [::1]:9092 ", ("::1", 9092))],
)
def test_an_address_is_read_and_written(text: str, address: tuple[str, int]) -> None:
    assert Address.parse(text) == address
    assert str(Address.parse(text)) == text.strip()


@pytest.mark.parametrize("text", ["broker", ":9092", "broker:", "broker:http"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        Address.parse(text)
