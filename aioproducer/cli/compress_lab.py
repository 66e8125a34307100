"""The compression lab on the command line: the user's own file, every codec, a picture."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO
from xml.sax.saxutils import escape

from aioproducer.advice.choice import CompressionAdvice, choose
from aioproducer.advice.lab import BATCH_SIZES, Measured, Trial, measure, trials
from aioproducer.cli.report import bar
from aioproducer.cli.settings import SettingsError

_BAR = 20
_WIDTH, _HEIGHT, _MARGIN = 760, 440, 60
_COLOURS = {"gzip": "#c0392b", "snappy": "#8e44ad", "lz4": "#2980b9", "zstd": "#27ae60"}


@dataclass(frozen=True, slots=True, kw_only=True)
class LabOptions:
    """What the command line asks for."""

    rate: float = 10e6
    cpu: float = 0.25
    partitions: int = 1
    codecs: tuple[str, ...] | None = None
    batch_sizes: tuple[int, ...] = BATCH_SIZES
    quick: bool = False
    most_bytes: int = 16_000_000
    plot: Path | None = None
    as_json: bool = False


def run_lab(file: Path, options: LabOptions, out: TextIO | None = None) -> int:
    """Measure the lines of a file as records, print what was found and what to set.

    Raises:
        SettingsError: the file cannot be read, has no record in it, or the picture not be written.
    """
    stream = out if out is not None else sys.stdout
    sample = read_sample(file, options.most_bytes)
    tried, missing = trials(options.codecs, every_level=not options.quick)
    measured = []
    for each in measure(sample, tried, options.batch_sizes):
        measured.append(each)
        if stream.isatty() and not options.as_json:
            print(f"\r  measuring {each.trial!s:<12}\x1b[K", end="", file=stream, flush=True)
    if stream.isatty() and not options.as_json:
        print("\r\x1b[K", end="", file=stream)
    advice = choose(
        measured, options.rate, options.cpu, partitions=options.partitions, missing=missing
    )
    if options.plot is not None and measured:
        _draw(options.plot, plot_svg(measured, advice.chosen))
    if options.as_json:
        print(json.dumps(as_dict(advice, options.rate), indent=2), file=stream)
    else:
        print("\n".join(report_lines(advice, options, len(sample))), file=stream)
    return 0


def _draw(file: Path, picture: str) -> None:
    try:
        file.write_text(picture)
    except OSError as error:
        raise SettingsError(f"cannot write {file}: {error.strerror}") from error


def read_sample(file: Path, most_bytes: int) -> list[bytes]:
    """Return the first lines of a file that are not empty, each one record.

    Raises:
        SettingsError: the file cannot be read, or has no record in it.
    """
    try:
        with file.open("rb") as lines:
            sample, size = [], 0
            for line in lines:
                record = line.rstrip(b"\r\n")
                if record:
                    sample.append(record)
                    size += len(record)
                if size >= most_bytes:
                    break
    except OSError as error:
        raise SettingsError(f"cannot read {file}: {error.strerror}") from error
    if not sample:
        raise SettingsError(f"{file} has no record: each line that is not empty is one")
    return sample


def report_lines(advice: CompressionAdvice, options: LabOptions, records: int) -> Iterator[str]:
    """Yield a table of everything measured, and the advice."""
    by_trial = _by_trial(advice.measured)
    sizes = sorted({each.batch_size for each in advice.measured})
    yield f"{records:,} records; ratio at each batch.size, the rest at the largest:"
    heads = "".join(f"{size:>9}" for size in sizes)
    yield f"  {'codec':<9}{heads}  {'MB/s':>7}  {'GB saved/TB':>11}  {'of a core':>9}"
    largest = max((each.ratio for each in advice.measured), default=1.0)
    for trial, rows in by_trial.items():
        last = rows[sizes[-1]]
        cells = "".join(f"{rows[size].ratio:>9.2f}" for size in sizes)
        yield (
            f"  {trial!s:<9}{cells}  {last.bytes_per_second / 1e6:>7,.0f}"
            f"  {last.saved_per_tb:>11,.0f}  {last.cpu_share(options.rate):>9.1%}"
            f"  {bar(last.ratio, largest, _BAR, plain=True)}"
        )
    for name, why in advice.missing.items():
        yield f"  {name}: not tried: {why}"
    yield ""
    yield f"at {options.rate:,.0f} bytes/s: {advice.reason}"
    yield from (f"  {key}={value}" for key, value in advice.settings.items())


def as_dict(advice: CompressionAdvice, rate: float) -> dict[str, object]:
    """Return the advice and all figures as JSON can hold them."""
    return {
        "settings": dict(advice.settings),
        "reason": advice.reason,
        "ratio": advice.ratio,
        "saved_gb_per_tb": advice.saved_per_tb,
        "cpu_share": advice.cpu_share,
        "missing": dict(advice.missing),
        "measured": [
            {
                "codec": each.trial.codec,
                "level": each.trial.level,
                "batch_size": each.batch_size,
                "ratio": each.ratio,
                "bytes_per_second": each.bytes_per_second,
                "saved_gb_per_tb": each.saved_per_tb,
                "cpu_share": each.cpu_share(rate),
            }
            for each in advice.measured
        ],
    }


def plot_svg(measured: Sequence[Measured], chosen: Measured | None) -> str:
    """Return a picture: speed to the right, logarithmic, and ratio upwards, a dot per trial."""

    sizes = sorted({each.batch_size for each in measured})
    shown = [each for each in measured if each.batch_size == sizes[-1]]
    if chosen is not None and chosen not in shown:
        shown.append(chosen)
    low = math.floor(math.log10(min(each.bytes_per_second for each in shown) / 1e6))
    high = math.ceil(math.log10(max(each.bytes_per_second for each in shown) / 1e6))
    most = max(each.ratio for each in shown) * 1.1

    def x(bytes_per_second: float) -> float:
        part = (math.log10(bytes_per_second / 1e6) - low) / max(high - low, 1)
        return _MARGIN + part * (_WIDTH - 2 * _MARGIN)

    def y(ratio: float) -> float:
        return _HEIGHT - _MARGIN - ratio / most * (_HEIGHT - 2 * _MARGIN)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}"'
        ' font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{_WIDTH / 2}" y="24" text-anchor="middle">batches of {sizes[-1]} bytes:'
        " ratio over MB/s of one core</text>",
    ]
    for power in range(low, high + 1):
        at = x(10.0**power * 1e6)
        parts += [
            f'<line x1="{at:.1f}" y1="{_MARGIN}" x2="{at:.1f}" y2="{_HEIGHT - _MARGIN}"'
            ' stroke="#ddd"/>',
            f'<text x="{at:.1f}" y="{_HEIGHT - _MARGIN + 18}" text-anchor="middle">'
            f"{10.0**power:g} MB/s</text>",
        ]
    for ratio in range(1, math.floor(most) + 1):
        parts += [
            f'<line x1="{_MARGIN}" y1="{y(ratio):.1f}" x2="{_WIDTH - _MARGIN}"'
            f' y2="{y(ratio):.1f}" stroke="#ddd"/>',
            f'<text x="{_MARGIN - 8}" y="{y(ratio) + 4:.1f}" text-anchor="end">{ratio}:1</text>',
        ]
    for each in shown:
        at, up = x(each.bytes_per_second), y(each.ratio)
        colour = _COLOURS.get(each.trial.codec, "#555")
        if each is chosen:
            parts.append(f'<circle cx="{at:.1f}" cy="{up:.1f}" r="9" fill="none" stroke="black"/>')
        name = escape(str(each.trial))
        parts += [
            f'<circle cx="{at:.1f}" cy="{up:.1f}" r="4" fill="{colour}"/>',
            f'<text x="{at + 7:.1f}" y="{up - 5:.1f}" fill="{colour}">{name}</text>',
        ]
    return "\n".join([*parts, "</svg>\n"])


def _by_trial(measured: Sequence[Measured]) -> Mapping[Trial, dict[int, Measured]]:
    rows: dict[Trial, dict[int, Measured]] = {}
    for each in measured:
        rows.setdefault(each.trial, {})[each.batch_size] = each
    return rows
