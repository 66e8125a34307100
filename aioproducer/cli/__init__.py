"""The command line: `aioproducer COMMAND`, or `python -m aioproducer COMMAND`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

WRONG_USE = 2
"""The exit status for arguments and configurations that make no sense."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the arguments name; return the exit status."""
    try:
        from aioproducer.cli.app import run
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in ("click", "rich"):
            raise
        line = f'the command line needs {package}: pip install "aioproducer[cli]"'
        print(line, file=sys.stderr)
        return WRONG_USE
    return run(arguments)
