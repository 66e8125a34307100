"""What `aioproducer topics` asks, prints and refuses; with Kafka in tests/integration/cli."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from aioproducer.cli import WRONG_USE, main, topics_command
from aioproducer.cli.exit_status import Exit
from aioproducer.cli.topics_command import table_lines, topic_lines
from aioproducer.errors import broker_error
from aioproducer.records import PartitionInfo
from aioproducer.topics import NewTopic, TopicDescription

ORDERS = TopicDescription(
    "orders",
    partitions=(
        PartitionInfo("orders", 0, 1, (1, 2), (1, 2), ()),
        PartitionInfo("orders", 1, None, (1, 2), (), (1, 2)),
    ),
    settings={"min.insync.replicas": "2", "cleanup.policy": None},
)
INTERNAL = TopicDescription("__offsets", is_internal=True)
NOWHERE = TopicDescription("nowhere", error=broker_error(3, topic="nowhere"))
AT = ["-b", "a:1"]


class FakeClient:
    def __init__(self) -> None:
        self.found = [INTERNAL, ORDERS]
        self.given: list[Any] = []

    async def list(self) -> Sequence[TopicDescription]:
        return self.found

    async def describe(self, names: Sequence[str] | None) -> Sequence[TopicDescription]:
        self.given.append(names)
        return self.found

    async def create(self, topics: Sequence[NewTopic], *, timeout: float) -> None:
        self.given += [*topics, timeout]

    async def delete(self, names: Sequence[str], *, timeout: float) -> None:
        self.given += [*names, timeout]


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    fake = FakeClient()

    class Connecting:
        @staticmethod
        @asynccontextmanager
        async def connect(settings: object, *, timeout: float) -> AsyncIterator[FakeClient]:
            assert settings == {"bootstrap.servers": "a:1"}
            yield fake

    monkeypatch.setattr(topics_command, "TopicClient", Connecting)
    return fake


def test_a_pipe_gets_names(client: FakeClient, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["topics", "list", *AT]) == 0
    assert capsys.readouterr().out == "orders\n"
    assert main(["topics", "list", "--internal", *AT]) == 0
    assert capsys.readouterr().out == "__offsets\norders\n"


def test_a_terminal_gets_a_table() -> None:
    assert list(table_lines([ORDERS, INTERNAL])) == [
        "topic      partitions  replicas",
        "orders              2         2",
        "__offsets           0         0",
    ]


def test_a_description_has_leaders_and_who_is_behind() -> None:
    assert list(topic_lines(ORDERS)) == [
        "orders: 2 partitions, 2 replicas",
        "  0: led by broker 1, in sync: 1 2",
        "  1: led by nobody, in sync: none, behind: 1 2",
        "  cleanup.policy=",
        "  min.insync.replicas=2",
    ]


def test_all_but_kafkas_own_are_described(
    client: FakeClient, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["topics", "describe", *AT]) == 0
    assert capsys.readouterr().out.startswith("orders: 2 partitions")
    assert client.given == [None]


def test_a_topic_that_is_not_there_shows_in_the_status(
    client: FakeClient, capsys: pytest.CaptureFixture[str]
) -> None:
    client.found = [NOWHERE, ORDERS]
    assert main(["topics", "describe", "nowhere", "orders", *AT]) == Exit.FAILED
    captured = capsys.readouterr()
    assert captured.out.startswith("orders: 2 partitions")
    assert captured.err.startswith("aioproducer: nowhere: UNKNOWN_TOPIC_OR_PARTITION (3)")
    assert main(["topics", "describe", "nowhere", "--json", *AT]) == Exit.FAILED
    told = json.loads(capsys.readouterr().out)
    assert told[0]["error"].startswith("UNKNOWN_TOPIC_OR_PARTITION")
    assert told[1]["partitions"][1] == {
        "partition": 1, "leader": None, "replicas": [1, 2], "in_sync_replicas": [],
        "offline_replicas": [1, 2],
    }  # fmt: skip
    assert told[1]["settings"]["min.insync.replicas"] == "2"


def test_what_is_created_has_the_numbers_and_settings_that_were_given(client: FakeClient) -> None:
    more = ["--partitions", "3", "--replication-factor", "2", "--topic-config", "a=b=c"]
    assert main(["topics", "create", "one", "two", *more, "--timeout", "5", *AT]) == 0
    assert client.given == [
        NewTopic("one", 3, 2, {"a": "b=c"}), NewTopic("two", 3, 2, {"a": "b=c"}), 5.0,
    ]  # fmt: skip
    client.given.clear()
    assert main(["topics", "create", "one", *AT]) == 0
    assert client.given == [NewTopic("one", -1, -1, {}), 30.0]


def test_nothing_is_deleted_unasked(
    client: FakeClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["topics", "delete", "orders", *AT]) == WRONG_USE
    assert "give --yes" in capsys.readouterr().err
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    for answer, status in ((False, Exit.FAILED), (True, Exit.OK)):
        monkeypatch.setattr(topics_command.click, "confirm", lambda *_, a=answer, **__: a)
        assert client.given == []
        assert main(["topics", "delete", "orders", *AT]) == status
    assert client.given == ["orders", 30.0]


def test_yes_is_an_answer(client: FakeClient, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["topics", "delete", "orders", "payments", "--yes", "--json", *AT]) == 0
    assert client.given == ["orders", "payments", 30.0]
    assert json.loads(capsys.readouterr().out) == {"deleted": ["orders", "payments"]}


@pytest.mark.parametrize(
    "arguments",
    [
        ["topics"],
        ["topics", "create"],
        ["topics", "create", "bad/topic"],
        ["topics", "describe", "bad/topic"],
        ["topics", "delete", "bad/topic", "--yes"],
        ["topics", "create", "orders", "--partitions", "0"],
        ["topics", "create", "orders", "--replication-factor", "40000"],
        ["topics", "create", "orders", "--topic-config", "a"],
        ["topics", "list", "--timeout", "0"],
    ],
)
def test_arguments_that_make_no_sense_are_refused(
    arguments: list[str], client: FakeClient, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, *(AT if len(arguments) > 1 else [])]) == WRONG_USE
    assert client.given == []
    assert "Traceback" not in capsys.readouterr().err
