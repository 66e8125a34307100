"""What the doctor says: findings, and what it could not look at."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import asdict, dataclass


class Severity(enum.IntEnum):
    """How bad it is; a higher one is worse."""

    INFO = 1
    """It costs more than it has to."""
    WARNING = 2
    """It goes wrong on a bad day."""
    ERROR = 3
    """Records are refused or lost."""

    @property
    def word(self) -> str:
        """Its name as it is printed."""
        return self.name.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong: what will be seen, why, and what to change."""

    name: str
    severity: Severity
    symptom: str
    cause: str
    remedy: str
    topic: str | None = None


@dataclass(frozen=True, slots=True)
class Unchecked:
    """Something that could not be looked at, why, and the findings that it might have given."""

    what: str
    why: str
    findings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupReport:
    """What ``check_setup()`` found."""

    findings: tuple[Finding, ...]
    unchecked: tuple[Unchecked, ...]
    checked: tuple[str, ...]
    """The names of all findings that were looked for with all they need."""
    notes: tuple[str, ...]
    """What is worth knowing and not wrong."""
    cluster: str | None
    """The cluster's id and size; ``None`` if it could not be asked."""

    @property
    def is_complete(self) -> bool:
        """Whether everything could be looked at."""
        return not self.unchecked

    @property
    def worst(self) -> Severity | None:
        """The severity of the worst finding, ``None`` without any."""
        return max((finding.severity for finding in self.findings), default=None)

    def named(self, name: str) -> tuple[Finding, ...]:
        """Return the findings of that name, one for each topic that it is about."""
        return tuple(finding for finding in self.findings if finding.name == name)

    def as_dict(self) -> dict[str, object]:
        """Return the report as JSON can hold it."""
        return {
            "cluster": self.cluster,
            "complete": self.is_complete,
            "findings": [
                {**asdict(finding), "severity": finding.severity.word} for finding in self.findings
            ],
            "unchecked": [asdict(each) for each in self.unchecked],
            "checked": list(self.checked),
            "notes": list(self.notes),
        }


def sorted_findings(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the findings, the worst first, else in the order in which they were made."""
    return tuple(sorted(findings, key=lambda finding: -finding.severity))
