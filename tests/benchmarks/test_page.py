"""The report is one file that needs nothing beside it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.arguments import parse
from benchmarks.job import Measurement
from benchmarks.page import build_page, main, plot
from benchmarks.sections import tables
from benchmarks.store import Run, Store
from benchmarks.svg import Series, bars, lines

SETTINGS = parse([])
LATENCIES = {"p50": 0.1, "p90": 0.2, "p99": 0.4, "p99.9": 2.0, "max": 9.0}


def measured_store(path: Path | None = None) -> Store:
    """Every row of every table, with figures that are made up."""
    store = Store(path)
    store.describe({"clients": "a <b> & c", "arguments": "[]"})
    for table in tables(SETTINGS):
        for number, row in enumerate(table.rows, 1):
            run = Measurement(
                records=1000 * number,
                seconds=1.0,
                cpu_seconds=0.01,
                sent=1000 * number,
                latency_ms=LATENCIES if table.section == "latency" else {},
                extra={"codec s/M": 1.0},
            )
            place = {"section": table.section, "table": table.name, "row": row}
            store.add(Run(**place, round=1, digest="", measurement=run))  # type: ignore[arg-type]
    return store


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.add(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_every_table_is_there_and_every_tag_closed() -> None:
    page = build_page(measured_store(), SETTINGS)
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert "svg" in tags.seen
    for table in tables(SETTINGS):
        assert f"<h3>{table.title}</h3>".replace("<h3>", "") in page or table.title in re.sub(
            "&.*?;", "`", page
        )
    assert "a &lt;b&gt; &amp; c" in page


def test_nothing_is_fetched_or_run() -> None:
    page = build_page(measured_store(), SETTINGS)
    assert "<script" not in page
    assert "<link" not in page
    assert not re.search(r"(src|href)=|url\(|@import", page)


def test_each_plot_is_whole_svg_and_goes_with_its_pair() -> None:
    store, found = measured_store(), tables(SETTINGS)
    for table in found:
        drawn = plot(table, found, store)
        if ", equal rate" in table.name:
            assert drawn == ""
            continue
        for image in re.findall(r"<svg.*?</svg>", drawn, re.DOTALL):
            ElementTree.fromstring(image)
        if table.plot == "lines" and table.name != "queued":
            assert drawn.count("<polyline") == 2


def test_bars_are_as_long_as_their_values() -> None:
    image = ElementTree.fromstring(bars([("aioproducer", 50.0), ("other", 100.0)], "n"))
    rects = [each for each in image if each.tag.endswith("rect")]
    assert [each.get("class") for each in rects] == ["own", "other"]
    assert float(rects[1].get("width", "")) == pytest.approx(
        2 * float(rects[0].get("width", "")), abs=0.2
    )


def test_lines_leave_out_what_was_not_measured() -> None:
    image = ElementTree.fromstring(lines(["1", "10"], [Series("s", [2.0, None])], "n", log=True))
    assert len([each for each in image if each.tag.endswith("circle")]) == 1
    assert lines(["1"], [Series("s", [None])], "n") == ""
    assert bars([], "n") == ""


def test_higher_values_are_drawn_higher() -> None:
    for log in (False, True):
        drawn = lines(["1", "2", "3"], [Series("s", [1.0, 10.0, 100.0])], "n", log=log)
        heights = [float(y) for y in re.findall(r'cy="([\d.]+)"', drawn)]
        assert heights == sorted(heights, reverse=True)
        assert len(set(heights)) == 3


def test_a_results_file_becomes_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--results", str(tmp_path / "none.jsonl")]) == 2
    measured_store(tmp_path / "results.jsonl")
    assert main(["--results", str(tmp_path / "results.jsonl")]) == 0
    assert (tmp_path / "results.html").read_text().startswith("<!doctype html>")
    assert "results.html" in capsys.readouterr().out
