"""Hold pyproject.toml to its rules about versions: ``python tools/check_pins.py``.

Each package has a lower bound, what checks the code has an upper one, and nothing is pinned to one
release: a library that does so cannot be installed beside another one.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(\[[^\]]*\])?([^;]*)")
BOUNDED = frozenset({"ruff", "mypy"})
"""A new release of these finds new things to complain about."""
FREE = frozenset({"types-PyYAML", "types-jsonschema", "types-protobuf"})


def problems(project: dict[str, Any]) -> list[str]:
    """Return what is wrong with the requirements of a pyproject.toml."""
    found = []
    for requirement in _requirements(project):
        match = _REQUIREMENT.match(requirement)
        assert match is not None
        name, bounds = match[1], match[3].replace(" ", "")
        if name == project["project"]["name"] or name in FREE:
            continue
        if "==" in bounds:
            found.append(f"{requirement}: is pinned to one release")
        elif ">=" not in bounds:
            found.append(f"{requirement}: has no lower bound")
        elif name in BOUNDED and "<" not in bounds:
            found.append(f"{requirement}: has no upper bound")
    return found


def _requirements(project: dict[str, Any]) -> Iterable[str]:
    yield from project["build-system"]["requires"]
    yield from project["project"]["dependencies"]
    for group in project["project"]["optional-dependencies"].values():
        yield from group
    for group in project["dependency-groups"].values():
        yield from group


def main() -> int:
    """Print what is wrong and return the exit status."""
    found = problems(tomllib.loads((ROOT / "pyproject.toml").read_text()))
    for line in found:
        print(line, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
