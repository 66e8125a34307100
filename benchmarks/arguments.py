"""The command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.cluster import Source
from benchmarks.peers import PEERS, REFERENCE
from benchmarks.standin.process import Verification

SECTIONS = (
    "throughput",
    "latency",
    "ping-pong",
    "idle",
    "import",
    "memory",
    "codecs",
    "profiles",
    "loop-hold",
    "scale",
)
SOAK_RECORDS = 50_000_000
RESULTS = Path("build/benchmarks/results.jsonl")
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What was asked for."""

    sections: tuple[str, ...]
    cluster: Source | None
    bootstrap: str | None
    brokers: int
    partitions: int
    verify: Verification
    python_stand_in: bool
    peers: tuple[str, ...]
    rounds: int
    sizes: tuple[int, ...]
    keys: int
    linger_ms: int
    window: int
    batch_size: int | None
    compression: tuple[str, ...]
    seconds: float
    warm_up: float
    rate: int
    latency_linger_ms: tuple[int, ...]
    latency_size: int
    latency_seconds: float
    loop: str
    quick: bool
    tls: bool
    soak: int
    results: Path
    resume: bool
    minutes: float
    html: Path | None
    json: Path | None

    @property
    def factor(self) -> float:
        """By how much what has no option of its own is cut short."""
        return 0.35 if self.quick else 1.0


# A run whose figures are rough: for a look, not for a table that is kept.
_QUICK: dict[str, Any] = {
    "peers": ("aioproducer", "aiokafka", "confluent", "franz-go"),
    "rounds": 1,
    "seconds": 0.5,
    "warm_up": 0.2,
    "latency_linger_ms": (0,),
    "latency_seconds": 1.0,
    "minutes": 1.6,
    "results": RESULTS.with_name("quick.jsonl"),
}


def parse(arguments: Sequence[str] | None = None) -> Settings:
    """Return the settings; exits with a message when they make no sense."""
    parser = _parser()
    if parser.parse_args(arguments).quick:
        parser.set_defaults(**_QUICK)
    given = vars(parser.parse_args(arguments))
    given["sections"] = tuple(dict.fromkeys(given["sections"])) or SECTIONS
    unknown = [name for name in given["sections"] if name not in SECTIONS]
    if unknown:
        parser.error(f"{unknown[0]!r} is none of {', '.join(SECTIONS)}")
    if given["bootstrap"] is not None and given["cluster"] in ("embedded", "stand-in"):
        parser.error(f"--bootstrap names a cluster, --cluster {given['cluster']} starts one")
    return Settings(**given)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=f"Compare producers side by side; ratios are to {REFERENCE}. Other commands:"
        " targets, report, regression, transactions, accounting, prepare (each with --help).",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add(
        "sections",
        nargs="*",
        metavar="SECTION",
        default=[],
        help=f"some of {', '.join(SECTIONS)}; without any, all",
    )
    add("--quick", action="store_true", help="fewer clients and one round: under two minutes")
    add(
        "--tls",
        action="store_true",
        help="instead: aioproducer over PLAINTEXT, SSL and SASL_SSL on real brokers",
    )
    _where(parser.add_argument_group("where"))
    _what(parser.add_argument_group("what"))
    fast = parser.add_argument_group("throughput")
    fast.add_argument("--sizes", type=_numbers, default=(100, 1000), metavar="BYTES,BYTES")
    fast.add_argument("--linger-ms", type=int, default=5)
    fast.add_argument("--window", type=_positive, default=20_000, help="un-awaited records")
    fast.add_argument("--seconds", type=float, default=1.0, help="per run")
    paced = parser.add_argument_group("latency")
    paced.add_argument("--rate", type=_positive, default=5_000, help="records per second")
    paced.add_argument("--latency-linger-ms", type=_numbers, default=(0, 5), metavar="MS,MS")
    paced.add_argument("--latency-size", type=_positive, default=100, metavar="BYTES")
    paced.add_argument("--latency-seconds", type=float, default=2.0, help="per run")
    memory = parser.add_argument_group("memory")
    memory.add_argument(
        "--soak",
        type=_positive,
        nargs="?",
        const=SOAK_RECORDS,
        default=0,
        metavar="RECORDS",
        help="also send so many records and see whether memory grows (without a number: 50 M)",
    )
    return parser


def _where(group: Any) -> None:
    add = group.add_argument
    add(
        "--cluster",
        choices=("stand-in", "embedded", "real"),
        default=None,
        help="the counting stand-in (the default), librdkafka's mock brokers, or real ones: the"
        " cluster that AIOPRODUCER_BOOTSTRAP names, Docker, or Java and Maven; other than the"
        " stand-in, throughput and latency alone are measured",
    )
    add("--bootstrap", metavar="SERVERS", help="use this cluster instead")
    add("--brokers", type=_positive, default=3)
    add("--partitions", type=_positive, default=12)
    add(
        "--verify",
        choices=("headers", "crc", "records"),
        default="crc",
        help="what the stand-in checks of each batch: sequences; CRC-32C too; records too",
    )
    add("--python-stand-in", action="store_true", help="although there is a compiler")
    add(
        "--results",
        type=Path,
        default=RESULTS,
        metavar="FILE",
        help="where each run is noted; sections that are not measured keep what is there",
    )
    add("--resume", action="store_true", help="keep the runs that FILE has and do what is left")
    add("--minutes", type=float, default=17.0, help="begin no run after that")
    add("--html", type=Path, metavar="FILE", help="the report (default: beside the results)")
    add("--json", type=Path, metavar="FILE", help="also write every run's figures as one document")


def _what(group: Any) -> None:
    add = group.add_argument
    add("--peers", type=_names(PEERS), default=tuple(PEERS), metavar="A,B")
    add("--rounds", type=_positive, default=3)
    add("--warm-up", type=float, default=0.5, metavar="SECONDS", dest="warm_up")
    add(
        "--keys",
        type=int,
        default=20_000,
        help="different keys; 0: every record has a new one",
    )
    add("--batch-size", type=_positive, help="instead of each client's default")
    add("--compression", type=_names(CODECS), default=("none",), metavar="A,B")
    add("--loop", choices=("asyncio", "uvloop"), default="asyncio")


def _positive(text: str) -> int:
    number = int(text)
    if number <= 0:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return number


def _numbers(text: str) -> tuple[int, ...]:
    numbers = tuple(int(part) for part in text.split(","))
    if min(numbers) < 0:
        raise argparse.ArgumentTypeError(f"{text} has a number below 0")
    return numbers


class _names:
    """Several of the known names, with commas between."""

    def __init__(self, known: Sequence[str] | dict[str, Any]) -> None:
        self._known = tuple(known)

    def __call__(self, text: str) -> tuple[str, ...]:
        names = tuple(dict.fromkeys(text.split(",")))
        for name in names:
            if name not in self._known:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(self._known)}")
        return names
