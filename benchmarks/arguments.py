"""The command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.cluster import Source
from benchmarks.peers import PEERS, REFERENCE

KINDS = ("throughput", "latency")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What was asked for."""

    cluster: Source | None
    bootstrap: str | None
    brokers: int
    partitions: int
    peers: tuple[str, ...]
    measure: tuple[str, ...]
    rounds: int
    sizes: tuple[int, ...]
    keys: int
    linger_ms: int
    window: int
    batch_size: int | None
    compression: str
    seconds: float
    warm_up: float
    rate: int
    latency_linger_ms: tuple[int, ...]
    latency_size: int
    latency_seconds: float
    loop: str
    quick: bool
    tls: bool
    json: Path | None


# A run whose figures are rough: for a look, not for a table that is kept.
_QUICK: dict[str, Any] = {
    "peers": ("aioproducer", "aiokafka", "confluent"),
    "rounds": 2,
    "seconds": 1.0,
    "warm_up": 0.3,
    "latency_linger_ms": (0,),
    "latency_seconds": 1.0,
}


def parse(arguments: Sequence[str] | None = None) -> Settings:
    """Return the settings; exits with a message when they make no sense."""
    parser = _parser()
    if parser.parse_args(arguments).quick:
        parser.set_defaults(**_QUICK)
    settings = Settings(**vars(parser.parse_args(arguments)))
    if settings.bootstrap is not None and settings.cluster == "embedded":
        parser.error("--bootstrap names a cluster, --cluster embedded starts one")
    return settings


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=f"Compare producers side by side; ratios are to {REFERENCE}.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="fewer clients and rounds: well under a minute")
    add(
        "--tls",
        action="store_true",
        help="instead: aioproducer over PLAINTEXT, SSL and SASL_SSL on real brokers",
    )
    add("--json", type=Path, metavar="FILE", help="also write every run's figures")
    where = parser.add_argument_group("where")
    where.add_argument(
        "--cluster",
        choices=("embedded", "real"),
        default=None,
        help="start mock brokers (the default), or use real ones: the cluster that"
        " AIOPRODUCER_BOOTSTRAP names, Docker, or Java and Maven",
    )
    where.add_argument("--bootstrap", metavar="SERVERS", help="use this cluster instead")
    where.add_argument("--brokers", type=_positive, default=3)
    where.add_argument("--partitions", type=_positive, default=12)
    what = parser.add_argument_group("what")
    what.add_argument("--peers", type=_names(PEERS), default=tuple(PEERS), metavar="A,B")
    what.add_argument("--measure", type=_names(KINDS), default=KINDS, metavar="A,B")
    what.add_argument("--rounds", type=_positive, default=3)
    what.add_argument("--warm-up", type=float, default=0.5, metavar="SECONDS", dest="warm_up")
    what.add_argument(
        "--keys", type=int, default=20_000, help="different keys; 0: every record has a new one"
    )
    what.add_argument("--batch-size", type=_positive, help="instead of each client's default")
    what.add_argument(
        "--compression", choices=("none", "gzip", "snappy", "lz4", "zstd"), default="none"
    )
    what.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio")
    fast = parser.add_argument_group("throughput")
    fast.add_argument("--sizes", type=_numbers, default=(100, 1000), metavar="BYTES,BYTES")
    fast.add_argument("--linger-ms", type=int, default=5)
    fast.add_argument("--window", type=_positive, default=20_000, help="un-awaited records")
    fast.add_argument("--seconds", type=float, default=1.5, help="per run")
    paced = parser.add_argument_group("latency")
    paced.add_argument("--rate", type=_positive, default=5_000, help="records per second")
    paced.add_argument("--latency-linger-ms", type=_numbers, default=(0, 5), metavar="MS,MS")
    paced.add_argument("--latency-size", type=_positive, default=100, metavar="BYTES")
    paced.add_argument("--latency-seconds", type=float, default=2.0, help="per run")
    return parser


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
