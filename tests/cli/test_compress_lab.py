"""The compression lab on the command line."""

from __future__ import annotations

import io
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from aioproducer.advice.lab import Measured, Trial
from aioproducer.cli import WRONG_USE, main
from aioproducer.cli.compress_lab import LabOptions, plot_svg, read_sample, run_lab
from aioproducer.cli.orders import order_events
from aioproducer.cli.settings import SettingsError


@pytest.fixture
def events(tmp_path: Path) -> Path:
    file = tmp_path / "events.jsonl"
    file.write_bytes(b"\n".join(event.value for event in order_events(800)) + b"\n\n")
    return file


QUICK = LabOptions(quick=True, batch_sizes=(4096, 16384), rate=1e6, cpu=1.0)


def test_every_line_is_a_record(tmp_path: Path) -> None:
    file = tmp_path / "lines"
    file.write_bytes(b"one\r\n\ntwo\nthree")
    assert read_sample(file, 1000) == [b"one", b"two", b"three"]
    assert read_sample(file, 4) == [b"one", b"two"]


def test_a_file_without_records_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "empty"
    file.write_bytes(b"\n\n")
    with pytest.raises(SettingsError, match="has no record"):
        read_sample(file, 1000)
    with pytest.raises(SettingsError, match="No such file"):
        read_sample(tmp_path / "nowhere", 1000)


def test_the_report_has_a_line_for_each_codec_and_the_settings(events: Path) -> None:
    out = io.StringIO()
    assert run_lab(events, QUICK, out) == 0
    lines = out.getvalue().splitlines()
    assert lines[0].startswith("800 records")
    for name in ("gzip 1", "gzip 6", "snappy", "lz4 9", "zstd 1", "zstd 3"):
        assert any(line.startswith(f"  {name} ") for line in lines), name
    assert any(line.startswith("  compression.type=") for line in lines)
    assert "\r" not in out.getvalue()


def test_json_has_every_figure(events: Path) -> None:
    out = io.StringIO()
    run_lab(events, LabOptions(quick=True, codecs=("gzip",), as_json=True, rate=1e6), out)
    read = json.loads(out.getvalue())
    assert {row["codec"] for row in read["measured"]} == {"gzip"}
    assert {row["level"] for row in read["measured"]} == {1, 6}
    assert read["settings"]["compression.type"] == "gzip"
    assert read["ratio"] > 2


def test_the_picture_has_a_dot_for_each_trial(events: Path, tmp_path: Path) -> None:
    file = tmp_path / "lab.svg"
    out = io.StringIO()
    run_lab(events, LabOptions(quick=True, codecs=("gzip", "lz4"), plot=file, rate=1e6), out)
    texts = [each.text for each in ElementTree.fromstring(file.read_text()).iter()]
    for name in ("gzip 1", "gzip 6", "lz4 9", "lz4 3"):
        assert name in texts


def test_a_picture_that_cannot_be_written_is_told(events: Path, tmp_path: Path) -> None:
    options = LabOptions(quick=True, codecs=("gzip",), plot=tmp_path / "no" / "lab.svg")
    with pytest.raises(SettingsError, match=r"cannot write .*lab\.svg: No such file"):
        run_lab(events, options, io.StringIO())


def test_a_single_dot_is_a_picture_too() -> None:
    one = Measured(Trial("snappy"), 4096, 1000, 1000, 1e6)
    assert "snappy" in plot_svg([one], one)


def test_the_command_takes_its_options(events: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["compress-lab", str(events), "--codec", "gzip", "--quick", "--rate", "1MB"]
    assert main([*command, "--batch-size", "4KiB", "--cpu", "90"]) == 0
    assert "(90% allowed)" in capsys.readouterr().out


@pytest.mark.parametrize("options", [["--codec", "brotli"], ["--cpu", "0"], ["--rate", "fast"]])
def test_options_that_make_no_sense_are_refused(events: Path, options: list[str]) -> None:
    assert main(["compress-lab", str(events), *options]) == WRONG_USE


def test_a_file_that_is_not_there_is_refused() -> None:
    assert main(["compress-lab", "/nowhere"]) == WRONG_USE
