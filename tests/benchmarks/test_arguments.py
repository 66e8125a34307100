"""The command line of the benchmark."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.__main__ import choose_source
from benchmarks.arguments import SECTIONS, parse
from benchmarks.peers import PEERS, REFERENCE


def test_by_default_every_client_is_measured_against_the_stand_in() -> None:
    settings = parse([])
    assert settings.peers == tuple(PEERS)
    assert REFERENCE in settings.peers
    assert (settings.sizes, settings.linger_ms, settings.rounds) == ((100, 1000), 5, 3)
    assert settings.sections == SECTIONS
    assert choose_source(settings, {}) == "stand-in"


def test_quick_asks_for_less() -> None:
    quick = parse(["--quick"])
    assert quick.rounds < parse([]).rounds
    assert set(quick.peers) < set(PEERS)


def test_what_is_given_wins_over_quick() -> None:
    settings = parse(["--quick", "--rounds", "5", "--peers", "aiokafka,confluent-aio"])
    assert settings.rounds == 5
    assert settings.minutes < 2
    assert settings.peers == ("aiokafka", "confluent-aio")
    assert settings.latency_linger_ms == (0,)


def test_lists_are_separated_by_commas() -> None:
    settings = parse(["latency", "--sizes", "10,20", "--json", "figures.json"])
    assert settings.sizes == (10, 20)
    assert settings.sections == ("latency",)
    assert settings.json == Path("figures.json")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--peers", "aiokafka,unknown"],
        ["--sizes", "100,-1"],
        ["--sizes", "many"],
        ["--rounds", "0"],
        ["--cluster", "imaginary"],
        ["--bootstrap", "localhost:9092", "--cluster", "embedded"],
        ["--bootstrap", "localhost:9092", "--cluster", "stand-in"],
        ["--compression", "zip"],
        ["something"],
    ],
)
def test_nonsense_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        parse(arguments)
    assert stopped.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_a_cluster_named_in_the_environment_is_used_unless_another_is_asked_for() -> None:
    environment = {"AIOPRODUCER_BOOTSTRAP": "localhost:9092"}
    assert choose_source(parse([]), environment) == "real"
    assert choose_source(parse(["--cluster", "embedded"]), environment) == "embedded"
    assert choose_source(parse(["--cluster", "real"]), {}) == "real"
    assert choose_source(parse(["--bootstrap", "localhost:9092"]), {}) == "real"


def test_a_soak_is_fifty_million_records_unless_told() -> None:
    assert parse(["memory"]).soak == 0
    assert parse(["memory", "--soak"]).soak == 50_000_000
    assert parse(["memory", "--soak", "1000"]).soak == 1000
