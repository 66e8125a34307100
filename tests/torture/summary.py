"""The table that a run ends with, and the line that it shows meanwhile. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tests.torture.judge import Verdict, Wrong
from tests.torture.plan import FaultKind

_ALWAYS_SHOWN = (Wrong.LOST, Wrong.DUPLICATED, Wrong.REORDERED)


@dataclass(slots=True)
class Summary:
    """Everything a run found out."""

    title: str
    sent: int
    acknowledged: int
    failed: int
    maybe: int
    retried: int
    errors: Counter[str]
    faults: Counter[FaultKind]
    evidence: Counter[str]
    verdict: Verdict
    load_seconds: float
    loop_cpu_seconds: float
    total_seconds: float = 0.0
    surprises: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        return self.verdict.is_clean and not self.surprises

    def lines(self) -> list[str]:
        """The table, as Markdown."""
        rows = [*self._records(), *self._faults(), *self._judged()]
        width = max(len(self.title), *(len(name) for name, _ in rows))
        return [
            f"| {self.title:<{width}} | {'':>14} |",
            f"|{'-' * (width + 2)}|{'-' * 15}:|",
            *(f"| {name:<{width}} | {figure:>14} |" for name, figure in rows),
            *self._samples(),
        ]

    def _records(self) -> list[tuple[str, str]]:
        errors = [(f"  {name}", f"{count:,}") for name, count in self.errors.most_common()]
        cpu = self.loop_cpu_seconds / max(1, self.sent) * 1e6
        return [
            ("records sent", f"{self.sent:,}"),
            ("acknowledged", f"{self.acknowledged:,}"),
            ("failed, not persisted", f"{self.failed:,}"),
            ("failed, perhaps persisted", f"{self.maybe:,}"),
            *errors,
            ("records sent more than once", f"{self.retried:,}"),
            ("minutes under load", f"{self.load_seconds / 60:.1f}"),
            ("minutes in all", f"{self.total_seconds / 60:.1f}"),
            ("CPU seconds of the loop (producers and proxy)", f"{self.loop_cpu_seconds:.1f}"),
            ("  microseconds per record", f"{cpu:.0f}"),
        ]

    def _faults(self) -> list[tuple[str, str]]:
        kinds = [(f"  {kind.value}", f"{self.faults[kind]:,}") for kind in FaultKind]
        evidence = [(f"  {name}", f"{count:,}") for name, count in sorted(self.evidence.items())]
        return [("faults", f"{self.faults.total():,}"), *kinds, ("what they did", ""), *evidence]

    def _judged(self) -> list[tuple[str, str]]:
        verdict = self.verdict
        wrong = [
            (f"**{each.value}**", f"**{verdict.counts[each]:,}**")
            for each in Wrong
            if each in _ALWAYS_SHOWN or verdict.counts[each]
        ]
        return [
            ("records read by confluent-kafka", f"{verdict.read:,}"),
            ("  of these perhaps persisted ones", f"{verdict.maybe_there:,}"),
            ("batches dumped by DumpLogSegments", f"{verdict.batches:,}"),
            ("  runs of sequences (by producer, epoch, partition)", f"{verdict.epochs:,}"),
            ("excused: gone with a topic that was deleted", f"{verdict.excused:,}"),
            *wrong,
            *([("**surprises**", f"**{len(self.surprises):,}**")] if self.surprises else []),
        ]

    def _samples(self) -> list[str]:
        lines = [
            f"- {wrong.value}: {sample}"
            for wrong, samples in self.verdict.samples.items()
            for sample in samples
        ]
        return [*lines, *(f"- surprise: {each}" for each in self.surprises)]
