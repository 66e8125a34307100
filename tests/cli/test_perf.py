"""Loads shared among processes, payloads of a file, and what is printed of an outcome."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from aioproducer.cli import perf, perf_compare
from aioproducer.cli.exit_status import Exit
from aioproducer.cli.interruption import Interruption
from aioproducer.cli.perf import PerfOptions, read_payloads, run_perf, split
from aioproducer.cli.perf_figures import Figures, Outcome
from aioproducer.cli.perf_processes import WorkerError
from aioproducer.cli.perf_run import OnWindow, PerfJob
from aioproducer.cli.settings import SettingsError
from aioproducer.errors import ConfigurationError

SETTINGS = {"bootstrap.servers": "a:1"}
JOB = PerfJob(topic="orders", settings=SETTINGS, records=11, throughput=30.0, warm_up=4)


def outcome(*, errors: int = 0) -> Outcome:
    found = Outcome(total=Figures(bytes=10, seconds=1.0), client="aioproducer")
    found.total.latencies.add(0.001)
    if errors:
        found.errors["TimeoutError: late"] = errors
    return found


def test_a_load_is_shared_among_processes() -> None:
    jobs = split(JOB, 3)
    assert [job.records for job in jobs] == [4, 4, 3]
    assert [job.warm_up for job in jobs] == [2, 1, 1]
    assert [job.throughput for job in jobs] == [10.0] * 3
    numbers = set()
    for job in jobs:
        values = job.values()
        numbers |= {int(next(values)) for _ in range(job.records)}
    assert numbers == set(range(11))
    with pytest.raises(SettingsError, match="too few for 12 processes"):
        split(JOB, 12)


def test_each_process_has_a_transactional_id_of_its_own() -> None:
    job = replace(JOB, settings={**SETTINGS, "transactional.id": "load"})
    assert [each.settings["transactional.id"] for each in split(job, 2)] == ["load-0", "load-1"]


@pytest.mark.parametrize(
    ("text", "delimiter", "payloads"),
    [
        ("a\nb\n", "\n", (b"a", b"b")),
        ("a\n\nb", "\n", (b"a", b"", b"b")),
        ("é;b;;", ";", ("é".encode(), b"b")),
    ],
)
def test_payloads_stand_between_delimiters(
    text: str, delimiter: str, payloads: tuple[bytes, ...], tmp_path: Path
) -> None:
    file = tmp_path / "payloads"
    file.write_text(text, "utf-8")
    assert read_payloads(file, delimiter) == payloads


def test_a_file_without_payloads_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "payloads"
    for content, words in [(b"", "no payload"), (b"\n\n", "no payload"), (b"\xff", "no UTF-8")]:
        file.write_bytes(content)
        with pytest.raises(SettingsError, match=words):
            read_payloads(file, "\n")
    with pytest.raises(SettingsError, match="No such file"):
        read_payloads(tmp_path / "nowhere", "\n")


def test_the_settings_are_looked_at_before_anything_is_started() -> None:
    with pytest.raises(ConfigurationError):
        run_perf(replace(JOB, settings={**SETTINGS, "acks": "7"}), PerfOptions(), io.StringIO())


def test_an_outcome_is_told_in_lines_or_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(perf, "run_in_processes", lambda *_: outcome(errors=3))
    out = io.StringIO()
    assert run_perf(JOB, PerfOptions(processes=2), out) == Exit.FAILED
    first, second = out.getvalue().splitlines()
    assert first.startswith("Warmup first 4 records.")
    assert second.startswith("1 records sent, 1.000000 records/sec")
    assert capsys.readouterr().err == "3 records failed: TimeoutError: late\n"
    out = io.StringIO()
    assert run_perf(JOB, PerfOptions(processes=2, as_json=True), out) == Exit.FAILED
    told = json.loads(out.getvalue())
    assert (told["failed"], told["processes"], told["total"]["records"]) == (3, 2, 1)


def test_a_reader_that_leaves_ends_the_load(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `| head` does; the loop, which calls, must not be told of it."""
    written = []

    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            written.append(text)
            raise BrokenPipeError

    async def run(job: object, on_window: OnWindow, interruption: Interruption) -> Outcome:
        for _ in range(3):
            on_window(Figures(), False)
        assert interruption.stop.is_set()
        assert interruption.leave.is_set()
        return outcome()

    monkeypatch.setattr(perf, "run_job", run)
    with pytest.raises(BrokenPipeError):
        run_perf(replace(JOB, warm_up=0), PerfOptions(), Closed())
    assert len(written) == 1


def test_a_comparison_is_told_in_lines_or_json(monkeypatch: pytest.MonkeyPatch) -> None:
    def rounds(job: object, clients: tuple[str, ...], *_: object) -> dict[str, list[Outcome]]:
        return {client: [outcome()] for client in clients}

    monkeypatch.setattr(perf, "run_rounds", rounds)
    out = io.StringIO()
    assert run_perf(JOB, PerfOptions(compare=("aiokafka",)), out) == Exit.OK
    assert "aioproducer / aiokafka: 1.00" in out.getvalue()
    out = io.StringIO()
    run_perf(JOB, PerfOptions(compare=("aiokafka",), as_json=True), out)
    assert json.loads(out.getvalue())["ratios"]["aiokafka"]["median"] == 1.0


def test_a_client_none_of_whose_records_got_through_fails_a_comparison(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = Outcome(client="any")
    refused.errors["TopicError: no"] = 3
    monkeypatch.setattr(perf_compare, "run_in_processes", lambda *_: refused)
    monkeypatch.setattr(perf_compare, "check_installed", lambda client: None)
    out = io.StringIO()
    options = PerfOptions(compare=("aiokafka",), rounds=1)
    assert run_perf(JOB, options, out) == Exit.FAILED
    assert "nothing was measured" in out.getvalue()
    assert capsys.readouterr().err == "3 records failed: TopicError: no\n" * 2


def test_a_process_that_fails_is_told_in_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> Outcome:
        raise WorkerError("MetadataTimeoutError: nobody answers")

    monkeypatch.setattr(perf, "run_in_processes", fail)
    assert run_perf(JOB, PerfOptions(processes=2), io.StringIO()) == Exit.FAILED
    assert capsys.readouterr().err == "aioproducer: MetadataTimeoutError: nobody answers\n"
