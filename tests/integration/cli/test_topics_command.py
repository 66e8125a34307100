"""`aioproducer topics` with a real cluster; what it says is what librdkafka's admin client sees."""

from __future__ import annotations

import json
import time
import uuid

import pytest

from aioproducer.cli import main
from aioproducer.cli.exit_status import Exit
from aioproducer.testing.admin import PartitionState, partition_states

PATIENCE = 60


def states_of(bootstrap: str) -> dict[str, list[PartitionState]]:
    found = partition_states(bootstrap, timeout=PATIENCE)
    assert found, "no broker answered"
    return found


# Plain functions: the commands run a loop of their own.
def test_a_topic_is_created_described_listed_and_deleted(
    bootstrap: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"topics-command-{uuid.uuid4().hex[:8]}"
    at = ["-b", bootstrap, "--timeout", "120"]
    settings = ["--topic-config", "max.message.bytes=5000", "--replication-factor", "1"]
    assert main(["topics", "create", name, "--partitions", "2", *settings, *at]) == 0
    capsys.readouterr()
    deadline = time.monotonic() + PATIENCE
    while True:
        before = states_of(bootstrap)[name]
        assert main(["topics", "describe", name, "--json", *at]) == 0
        [described] = json.loads(capsys.readouterr().out)
        states = states_of(bootstrap)[name]
        # Leaders may move meanwhile, and brokers hear of it one by one.
        if before == states and described["partitions"] == [
            {
                "partition": number,
                "leader": state.leader,
                "replicas": list(state.replicas),
                "in_sync_replicas": list(state.in_sync),
                "offline_replicas": [],
            }
            for number, state in enumerate(states)
        ]:
            break
        assert time.monotonic() < deadline, (described, states)
    assert described["settings"]["max.message.bytes"] == "5000"
    assert main(["topics", "create", name, *at]) == Exit.FAILED
    assert "TopicAlreadyExistsError" in capsys.readouterr().err
    assert main(["topics", "list", *at]) == 0
    assert name in capsys.readouterr().out.splitlines()
    assert main(["topics", "delete", name, "--yes", *at]) == 0
    assert name not in states_of(bootstrap)
    assert main(["topics", "delete", name, "--yes", *at]) == Exit.FAILED
    assert "UnknownTopicOrPartitionError" in capsys.readouterr().err


def test_the_brokers_choose_what_is_not_given(
    bootstrap: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"topics-command-{uuid.uuid4().hex[:8]}"
    at = ["-b", bootstrap, "--timeout", "120"]
    assert main(["topics", "create", name, *at]) == 0
    assert len(states_of(bootstrap)[name]) >= 1
    assert main(["topics", "delete", name, "--yes", *at]) == 0
