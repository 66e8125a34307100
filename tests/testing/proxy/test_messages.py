"""The proxy's tables of messages are Kafka's, field by field, in every version."""

from __future__ import annotations

import importlib.resources
import json
import re
from typing import Any

import pytest

from aioproducer.testing.proxy.messages import API_NAMES, MESSAGES, api_key
from aioproducer.testing.proxy.schema import NEWEST, Field, Message

Row = tuple[object, ...]
UNREAD = {"FetchRequest"}


def in_versions(text: str | None, version: int) -> bool:
    if not text or text == "none":
        return False
    if text.endswith("+"):
        return version >= int(text[:-1])
    first, _, last = text.partition("-")
    return int(first) <= version <= int(last or first)


def definition(name: str) -> dict[str, Any]:
    folder = importlib.resources.files("kafka.protocol.schemas.resources")
    text = (folder / f"{name}.json").read_text()
    found: dict[str, Any] = json.loads(re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE))
    return found


def theirs(fields: list[Any], shared: dict[str, Any], version: int, *, tagged: bool) -> list[Row]:
    rows = []
    for field in fields:
        if not in_versions(field["versions"], version):
            continue
        is_tagged = in_versions(field.get("taggedVersions"), version)
        if is_tagged and not tagged:
            continue
        kind = field["type"].removeprefix("[]")
        inner = field.get("fields") or shared.get(kind)
        kind = "{}" if inner else {"records": "bytes"}.get(kind, kind)
        rows.append(
            (
                field["name"],
                kind,
                field["type"].startswith("[]"),
                field.get("tag") if is_tagged else None,
                theirs(inner, shared, version, tagged=tagged) if inner else [],
            )
        )
    return sorted(rows, key=lambda row: row[3] is not None)


def ours(fields: tuple[Field, ...], version: int) -> list[Row]:
    rows: list[Row] = [
        (field.name, field.kind, field.is_array, field.tag, ours(field.fields, version))
        for field in fields
        if field.is_in(version)
    ]
    return sorted(rows, key=lambda row: row[3] is not None)


def known_tags(rows: list[Row], wanted: list[Row]) -> list[Row]:
    """Drop the tagged fields that we pass on without a look."""
    ours_by_name = {row[0]: row for row in wanted}
    return [
        (*row[:4], known_tags(row[4], ours_by_name[row[0]][4]))  # type: ignore[arg-type]
        for row in rows
        if row[3] is None or row[0] in ours_by_name
    ]


CASES = [
    pytest.param(message, pair.newest, id=message.name)
    for pair in MESSAGES.values()
    for message in (pair.request, pair.answer)
    if message.name not in UNREAD
]


@pytest.mark.parametrize(("message", "newest"), CASES)
def test_each_version_has_the_fields_of_kafka(message: Message, newest: int) -> None:
    found = definition(message.name)
    shared = {each["name"]: each["fields"] for each in found.get("commonStructs", [])}
    first = int(found["validVersions"].partition("-")[0])
    for version in range(first, newest + 1):
        assert in_versions(found["validVersions"], version)
        mine = ours(message.fields, version)
        assert known_tags(theirs(found["fields"], shared, version, tagged=True), mine) == mine
    flexible = found["flexibleVersions"]
    assert message.flexible_since == (NEWEST if flexible == "none" else int(flexible[:-1]))


@pytest.mark.parametrize(("message", "newest"), CASES)
def test_what_may_be_null_and_what_is_meant_by_nothing(message: Message, newest: int) -> None:
    found = definition(message.name)
    shared = {each["name"]: each["fields"] for each in found.get("commonStructs", [])}

    def check(fields: tuple[Field, ...], definitions: list[Any]) -> None:
        by_name = {each["name"]: each for each in definitions}
        for field in fields:
            other = by_name[field.name]
            if field.kind.startswith("int"):
                default = int(other.get("default", 0) or 0)
                assert field.default in (default, -1), field.name
            assert field.nullable == (other.get("nullableVersions") is not None), field.name
            kind = other["type"].removeprefix("[]")
            check(field.fields, other.get("fields") or shared.get(kind) or [])

    check(message.fields, found["fields"])


def test_the_names_of_apis_are_kafka_s() -> None:
    folder = importlib.resources.files("kafka.protocol.schemas.resources")
    count = 0
    for file in folder.iterdir():
        if file.name.endswith("Request.json"):
            found = definition(file.name.removesuffix(".json"))
            if isinstance(found.get("apiKey"), int) and found["apiKey"] < len(API_NAMES):
                assert API_NAMES[found["apiKey"]] == file.name.removesuffix("Request.json")
                count += 1
    assert count > 40


def test_an_unknown_api_is_refused() -> None:
    assert api_key("EndTxn") == api_key(26) == 26
    with pytest.raises(ValueError, match="Commit"):
        api_key("Commit")
