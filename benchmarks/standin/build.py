"""The C stand-in, compiled once per version of its sources and kept in the user's cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from aioproducer.testing.maven import cache_directory

_HERE = Path(__file__).parent
_FLAGS = ("-O2", "-std=gnu11", "-Wall", "-Wextra")
_COMPILE_SECONDS = 120


class BuildError(RuntimeError):
    """The compiler is missing, or refused."""


def sources() -> list[Path]:
    return sorted(_HERE.glob("*.c"))


def compiler() -> str | None:
    """Return the C compiler: what CC names, else cc, gcc or clang; ``None`` where there is none."""
    if os.name != "posix":
        return None
    for name in (os.environ.get("CC"), "cc", "gcc", "clang"):
        if name and (found := shutil.which(name)):
            return found
    return None


def built_path(directory: Path, name: str, parts: list[bytes]) -> Path:
    """Return where the program made of ``parts`` is kept; other sources make another name."""
    digest = hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
    return directory / f"{name}-{digest}"


def build(directory: Path | None = None) -> Path:
    """Return the compiled stand-in, compiling it if these sources were not compiled yet.

    Raises:
        BuildError: there is no compiler, or it fails.
    """
    program = compiler()
    if program is None:
        raise BuildError("there is no C compiler")
    files = sorted((*sources(), *_HERE.glob("*.h")))
    parts = [program.encode(), *(each.read_bytes() for each in files)]
    target = built_path(directory or cache_directory() / "benchmarks", "standin", parts)
    if target.is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    # Made aside and renamed: two runs may start at once.
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".building-") as scratch:
        made = Path(scratch) / "standin"
        run_tool([program, *_FLAGS, "-o", str(made), *map(str, sources())], _COMPILE_SECONDS)
        made.replace(target)
    return target


def run_tool(
    command: list[str],
    seconds: float,
    *,
    directory: Path | None = None,
    environment: dict[str, str] | None = None,
) -> None:
    """Run a compiler or the like.

    Raises:
        BuildError: with the last lines that it printed.
    """
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=seconds,
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f"{command[0]}: {error}") from None
    if done.returncode:
        words = (done.stderr + done.stdout).strip().splitlines()[-5:]
        raise BuildError(f"{Path(command[0]).name}: {' / '.join(words)}")
