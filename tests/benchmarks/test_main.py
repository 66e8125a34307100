"""What a run leaves behind."""

from __future__ import annotations

import json

import pytest

from benchmarks.__main__ import as_json, describe_machine
from benchmarks.arguments import parse
from benchmarks.standin.process import StandInProcess
from benchmarks.store import Store
from tests.benchmarks.test_store import run


def test_the_document_has_every_run_with_its_rates() -> None:
    store = Store(None)
    store.describe({"machine": "2 CPUs"})
    store.add(run())
    store.add(run("confluent", measurement=None, problem="broke"))
    document = json.loads(json.dumps(as_json(store)))
    assert document["environment"] == {"machine": "2 CPUs"}
    good, bad = document["runs"]
    assert (good["records_per_second"], good["cpu_per_million"]) == (1.0, 500_000.0)
    assert bad["problem"] == "broke"


def test_a_reader_is_told_what_was_compared_and_where(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.__main__.commit", lambda: "abc123")
    settings = parse(["--peers", "aioproducer,aiokafka", "--batch-size", "100"])
    stand_in = StandInProcess(in_python=True)
    told = describe_machine(settings, stand_in)
    assert "aiokafka" in told["clients"]
    assert told["batch size"] == "100"
    assert told["commit"] == "abc123"
    assert {"cluster", "Python", "machine", "load average before"} <= told.keys()
