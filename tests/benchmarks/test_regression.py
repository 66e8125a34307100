"""A record may not take more work than it did; what counts that is held to what is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import regression
from benchmarks.regression import limit, load, save, table, worse
from benchmarks.work import OpcodeCounter, run_in_virtual_time

KNOWN = {"instructions to send": 100.0, "objects left": 0.0}


def test_a_few_percent_more_are_allowed_and_no_more() -> None:
    assert worse({"instructions to send": 103.0, "objects left": 0.0}, KNOWN) == []
    assert worse({"instructions to send": 103.2, "objects left": 0.0}, KNOWN) == [
        "instructions to send"
    ]
    assert worse({"instructions to send": 1.0, "objects left": 0.2}, KNOWN) == ["objects left"]


def test_a_figure_without_a_limit_fails() -> None:
    assert worse({"new": 0.0}, KNOWN) == ["new"]
    assert limit(0.0) < 1


def test_limits_survive_their_file(tmp_path: Path) -> None:
    path = tmp_path / "limits.toml"
    assert load(path) == {}
    save({"3.11": {"pure": KNOWN, "compiled": KNOWN}}, path)
    assert load(path) == {"3.11": {"pure": KNOWN, "compiled": KNOWN}}


def test_both_builds_have_limits_for_every_figure() -> None:
    for builds in load().values():
        assert builds.keys() == {"pure", "compiled"}
        assert builds["pure"].keys() == builds["compiled"].keys()


def test_the_table_marks_what_is_more() -> None:
    text = table("pure", {"instructions to send": 200.0}, KNOWN)
    assert "MORE" in text
    assert "103.10" in text


def test_counting_gives_the_same_twice() -> None:
    first, second = run_in_virtual_time(), run_in_virtual_time()
    for name in ("instructions to send", "instructions to deliver", "objects left"):
        assert first[name] == pytest.approx(second[name], rel=0.01, abs=0.05)
    assert first["objects left"] == pytest.approx(0, abs=0.05)


def test_only_this_package_is_counted() -> None:
    with OpcodeCounter() as counter:
        sum(number * number for number in range(1000))
    assert counter.count == 0


def test_what_regresses_fails_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = {"pure": {"blocks held": 2.0}, "compiled": None}
    monkeypatch.setattr(regression, "count", figures.__getitem__)
    monkeypatch.setattr(regression, "LIMITS", tmp_path / "limits.toml")
    monkeypatch.setattr(regression, "load", lambda: load(tmp_path / "limits.toml"))
    monkeypatch.setattr(regression, "save", lambda known: save(known, tmp_path / "limits.toml"))
    assert regression.main([]) == 0, "nothing is known of this version yet"
    assert regression.main(["--builds", "pure"]) == 1
    assert regression.main(["--write"]) == 0
    assert regression.main(["--builds", "pure"]) == 0
    assert regression.main(["--builds", "pure,compiled"]) == 1, "that build is not here"
    figures["pure"] = {"blocks held": 3.0}
    assert regression.main([]) == 1
    assert "MORE" in capsys.readouterr().out
