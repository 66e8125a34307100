"""`aioproducer topics` with a real cluster; what it says is what librdkafka's admin client sees."""

from __future__ import annotations

import json
import uuid

import pytest

from aioproducer.cli import main
from aioproducer.cli.exit_status import Exit
from aioproducer.testing.admin import partition_states


# Plain functions: the commands run a loop of their own.
def test_a_topic_is_created_described_listed_and_deleted(
    bootstrap: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"topics-command-{uuid.uuid4().hex[:8]}"
    at = ["-b", bootstrap]
    settings = ["--topic-config", "max.message.bytes=5000", "--replication-factor", "1"]
    assert main(["topics", "create", name, "--partitions", "2", *settings, *at]) == 0
    capsys.readouterr()
    assert main(["topics", "describe", name, "--json", *at]) == 0
    [described] = json.loads(capsys.readouterr().out)
    states = partition_states(bootstrap)[name]
    assert described["partitions"] == [
        {
            "partition": number,
            "leader": state.leader,
            "replicas": list(state.replicas),
            "in_sync_replicas": list(state.in_sync),
            "offline_replicas": [],
        }
        for number, state in enumerate(states)
    ]
    assert described["settings"]["max.message.bytes"] == "5000"
    assert main(["topics", "create", name, *at]) == Exit.FAILED
    assert "TopicAlreadyExistsError" in capsys.readouterr().err
    assert main(["topics", "list", *at]) == 0
    assert name in capsys.readouterr().out.splitlines()
    assert main(["topics", "delete", name, "--yes", *at]) == 0
    assert name not in partition_states(bootstrap)
    assert main(["topics", "delete", name, "--yes", *at]) == Exit.FAILED
    assert "UnknownTopicOrPartitionError" in capsys.readouterr().err


def test_the_brokers_choose_what_is_not_given(
    bootstrap: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"topics-command-{uuid.uuid4().hex[:8]}"
    at = ["-b", bootstrap]
    assert main(["topics", "create", name, *at]) == 0
    assert len(partition_states(bootstrap)[name]) >= 1
    assert main(["topics", "delete", name, "--yes", *at]) == 0
