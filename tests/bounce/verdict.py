"""What is wrong with a copy, and the table of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Tally:
    """What the copiers wrote about themselves."""

    transactions: int = 0
    records: int = 0
    aborted: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)

    def read(self, lines: Iterable[str]) -> None:
        """Add the lines of one copier; the last may be cut short."""
        for line in lines:
            word, _, rest = line.strip().partition(" ")
            if word == "committed" and rest.isdigit():
                self.transactions += 1
                self.records += int(rest)
            elif word == "aborted" and rest:
                self.aborted[rest] += 1
            elif word == "ended" and rest:
                self.ended[rest] += 1


def wanted(records: int, partitions: int) -> dict[int, range]:
    """Return the numbers that belong into each partition, in order."""
    return {index: range(index, records, partitions) for index in range(partitions)}


def complaints(found: Mapping[int, Sequence[int]], records: int, partitions: int) -> list[str]:
    """Return a line for each partition that is not exactly its input, in its order."""
    lines = []
    for index, numbers in wanted(records, partitions).items():
        mine = list(found.get(index, ()))
        if mine == list(numbers):
            continue
        counts = Counter(mine)
        lost = [number for number in numbers if not counts[number]]
        repeated = [number for number, count in counts.items() if count > 1]
        strange = sorted(set(counts) - set(numbers))
        lines.append(
            f"partition {index}: {len(lost)} lost {lost[:5]}, {len(repeated)} repeated"
            f" {repeated[:5]}, {len(strange)} from elsewhere {strange[:5]}"
            + ("" if lost or repeated or strange else "; the order differs")
        )
    return lines


def table(rows: Iterable[tuple[str, object]]) -> str:
    """Return a table in Markdown."""
    lines = ["| | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in rows]
    return "\n".join(lines)


def counted(counts: Mapping[str, int]) -> str:
    """Return counts by name, the most frequent first."""
    parts = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count} {name}" for name, count in parts) or "none"
