"""Clients side by side: rounds that alternate, each in a fresh process, and their ratios."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import median

from aioproducer.cli.perf_clients import COMPARABLE, check_installed
from aioproducer.cli.perf_figures import Outcome
from aioproducer.cli.perf_processes import Signals, run_in_processes
from aioproducer.cli.perf_run import PerfJob
from aioproducer.cli.settings import SettingsError

Found = Mapping[str, Sequence[Outcome]]
OnRound = Callable[[int, Outcome], None]


def check_comparable(job: PerfJob) -> None:
    """Refuse a load that cannot be the same for every client.

    Raises:
        SettingsError: it has settings that only this producer would be given, or transactions.
    """
    others = sorted(job.settings.keys() - set(COMPARABLE))
    if others:
        raise SettingsError(
            f"--compare gives every client {', '.join(COMPARABLE)} and nothing else:"
            f" leave {', '.join(others)} out"
        )
    if job.transaction_seconds is not None or job.with_metrics:
        raise SettingsError("--compare knows neither transactions nor --print-metrics")


def run_rounds(
    job: PerfJob, clients: Sequence[str], rounds: int, signals: Signals, on_round: OnRound
) -> dict[str, list[Outcome]]:
    """Run the load ``rounds`` times on each client, now in this order and now in the other.

    So whatever drifts meanwhile, a disk that fills or a neighbour that wakes, meets all of them.
    """
    check_comparable(job)
    for client in clients:
        check_installed(client)
    found: dict[str, list[Outcome]] = {client: [] for client in clients}
    for number in range(1, rounds + 1):
        for client in clients if number % 2 else clients[::-1]:
            if signals.count:
                return found
            mine = replace(job, client=client, settings=dict(job.settings))
            outcome = run_in_processes([mine], lambda figures, first: None, signals)
            if outcome.total.records:
                found[client].append(outcome)
            if outcome.total.records or outcome.errors:
                on_round(number, outcome)
    return found


def comparison_lines(found: Found) -> Iterator[str]:
    """Yield a table of medians, and how many times the rate of each other client is ours."""
    yield ""
    heads = f"{'records/sec':>12} {'from':>11} {'to':>11} {'p50 ms':>9} {'p99 ms':>9}"
    yield f"  {'client':<26} {heads}"
    for client, outcomes in found.items():
        if not outcomes:
            yield f"  {client:<26} nothing was measured"
            continue
        rates = _rates(outcomes)
        yield (
            f"  {outcomes[0].client:<26} {median(rates):>12,.0f} {min(rates):>11,.0f}"
            f" {max(rates):>11,.0f} {_latency(outcomes, 50):>9.1f} {_latency(outcomes, 99):>9.1f}"
        )
    yield ""
    for client, each in ratios(found).items():
        rounds = ", ".join(f"{ratio:.2f}" for ratio in each)
        yield f"  aioproducer / {client}: {median(each):.2f} (by round: {rounds})"


def compared_as_dict(found: Found) -> dict[str, object]:
    """Return the comparison as JSON can hold it."""
    return {
        "clients": {
            client: {
                "client": outcomes[0].client if outcomes else None,
                "records_per_second": median(_rates(outcomes)) if outcomes else None,
                "rounds": [outcome.as_dict() for outcome in outcomes],
            }
            for client, outcomes in found.items()
        },
        "ratios": {
            client: {"median": median(each), "rounds": each}
            for client, each in ratios(found).items()
        },
    }


def ratios(found: Found) -> dict[str, list[float]]:
    """Return our rate over that of each other client, round by round, where both were measured."""
    (_, ours), *others = found.items()
    return {
        client: each
        for client, outcomes in others
        if (
            each := [
                mine.total.rate / theirs.total.rate
                for mine, theirs in zip(ours, outcomes, strict=False)
                if theirs.total.rate
            ]
        )
    }


def _rates(outcomes: Sequence[Outcome]) -> list[float]:
    return [outcome.total.rate for outcome in outcomes]


def _latency(outcomes: Sequence[Outcome], percent: float) -> float:
    return median(outcome.total.latencies.percentile(percent) for outcome in outcomes) * 1000
