"""Answers that say an error code, in the form that each API has for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from aioproducer.errors import BrokerError, broker_error_classes
from aioproducer.testing.proxy.messages import (
    ADD_PARTITIONS_TO_TXN,
    API_NAMES,
    API_VERSIONS,
    FETCH,
    FIND_COORDINATOR,
    MESSAGES,
    METADATA,
    PRODUCE,
    TXN_OFFSET_COMMIT,
)
from aioproducer.testing.proxy.schema import Values

Matches = Callable[[str | None], bool]
"""Whether a fault concerns a topic of that name, ``None`` if the name is not known."""

_UNSUPPORTED_VERSION = 35
_TOPICS = {PRODUCE: "TopicData", METADATA: "Topics", TXN_OFFSET_COMMIT: "Topics"}
_CODES = ("ErrorCode", "PartitionErrorCode")

ANSWERED_BY_BROKER = frozenset({METADATA, FETCH})
"""APIs whose error is put into the broker's own answer: it has more to say than the error."""

WITH_TOPICS = frozenset({*_TOPICS, ADD_PARTITIONS_TO_TXN})
"""APIs of whose requests the proxy knows which topics they concern."""


def code_of(error: int | str | BrokerError | type[BrokerError]) -> int:
    """Return Kafka's number for an error given in any way."""
    if isinstance(error, BrokerError) or (
        isinstance(error, type) and issubclass(error, BrokerError)
    ):
        return error.code
    if isinstance(error, int):
        return int(error)
    if isinstance(error, str):
        for code, known in broker_error_classes().items():
            if known._name == error:
                return code
    raise ValueError(f"{error!r} is no error code of Kafka's, such as 'NOT_LEADER_OR_FOLLOWER'")


def check_failable(api: int | None) -> int:
    """Return ``api`` if the proxy can answer it with an error, else raise."""
    if api not in MESSAGES:
        names = ", ".join(API_NAMES[key] for key in sorted(MESSAGES))
        asked = "every API" if api is None else API_NAMES[api]
        raise ValueError(
            f"no error can be put into the answers of {asked}; of these it can: {names}"
        )
    return api


def topic_of(row: Mapping[str, Any], names: Mapping[bytes, str]) -> str | None:
    """Return the name of a topic in a message, which may give its id only."""
    name: str | None = row.get("Name") or row.get("Topic")
    return name or names.get(row.get("TopicId", b""))


def topics_in(api: int, request: Values, names: Mapping[bytes, str]) -> set[str | None]:
    """Return the topics that a request is about."""
    return {topic_of(row, names) for row in _topic_rows(api, request)}


def _topic_rows(api: int, request: Values) -> list[Values]:
    if api == ADD_PARTITIONS_TO_TXN:
        nested = [row for each in request.get("Transactions", []) for row in each["Topics"]]
        return [*nested, *request.get("V3AndBelowTopics", [])]
    return list(request[_TOPICS[api]] or ()) if api in _TOPICS else []


def error_answer(api: int, version: int, request: Values, code: int) -> tuple[Values, int]:
    """Return an answer that refuses the whole request, and the version to write it in."""
    if api == PRODUCE:
        return {"Responses": [_refused_rows(row, code) for row in request["TopicData"]]}, version
    if api == TXN_OFFSET_COMMIT:
        return {"Topics": [_offset_rows(row, code) for row in request["Topics"]]}, version
    if api == ADD_PARTITIONS_TO_TXN:
        return _added_nothing(request, code), version
    if api == FIND_COORDINATOR:
        nobody = {"ErrorCode": code, "NodeId": -1, "Port": -1}
        found = [{"Key": key, **nobody} for key in request.get("CoordinatorKeys", [])]
        return {**nobody, "Coordinators": found}, version
    # A client that is too new is told so in the version that all can read (KIP-511).
    oldest = api == API_VERSIONS and code == _UNSUPPORTED_VERSION
    return {"ErrorCode": code}, 0 if oldest else version


def _refused_rows(topic: Values, code: int) -> Values:
    rows = [{"Index": row["Index"], "ErrorCode": code} for row in topic["PartitionData"]]
    return {**_identity(topic), "PartitionResponses": rows}


def _identity(topic: Values) -> Values:
    return {key: topic[key] for key in ("Name", "TopicId") if key in topic}


def _offset_rows(topic: Values, code: int) -> Values:
    rows = [
        {"PartitionIndex": row["PartitionIndex"], "ErrorCode": code} for row in topic["Partitions"]
    ]
    return {"Name": topic["Name"], "Partitions": rows}


def _added_nothing(request: Values, code: int) -> Values:
    def refused(topics: list[Values]) -> list[Values]:
        return [
            {
                "Name": topic["Name"],
                "ResultsByPartition": [
                    {"PartitionIndex": index, "PartitionErrorCode": code}
                    for index in topic["Partitions"]
                ],
            }
            for topic in topics
        ]

    return {
        "ResultsByTransaction": [
            {"TransactionalId": each["TransactionalId"], "TopicResults": refused(each["Topics"])}
            for each in request.get("Transactions", [])
        ],
        "ResultsByTopicV3AndBelow": refused(request.get("V3AndBelowTopics", [])),
    }


def split_produce(
    request: Values, code: int, matches: Matches, names: Mapping[bytes, str]
) -> tuple[Values, list[Values]]:
    """Return what is left of a produce request, and the rows that refuse the rest."""
    rest, refused = [], []
    for topic in request["TopicData"]:
        if matches(topic_of(topic, names)):
            refused.append(_refused_rows(topic, code))
        else:
            rest.append(topic)
    return {**request, "TopicData": rest}, refused


def spoil(
    api: int, answer: Values, code: int, matches: Matches, names: Mapping[bytes, str]
) -> None:
    """Put the error into what the broker has answered."""
    if api not in _SPOILT:
        _replace_codes(answer, code)
        return
    topics, rows, instead = _SPOILT[api]
    for topic in answer[topics]:
        if not matches(topic_of(topic, names)):
            continue
        if rows is None:
            topic |= {**instead, "ErrorCode": code}
            continue
        for row in topic[rows]:
            row |= {**instead, "ErrorCode": code}


_SPOILT: dict[int, tuple[str, str | None, Values]] = {
    PRODUCE: ("Responses", "PartitionResponses", {"BaseOffset": -1, "LogAppendTimeMs": -1}),
    FETCH: ("Responses", "Partitions", {"Records": b"", "AbortedTransactions": []}),
    METADATA: ("Topics", None, {"Partitions": []}),
}


def _replace_codes(values: Any, code: int) -> None:
    if isinstance(values, dict):
        for name, value in values.items():
            if name in _CODES:
                values[name] = code
            else:
                _replace_codes(value, code)
    elif isinstance(values, list):
        for each in values:
            _replace_codes(each, code)
