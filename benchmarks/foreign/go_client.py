"""franz-go: built from the module beside this file, whose go.sum says what is downloaded."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

from aioproducer.testing.maven import cache_directory
from benchmarks.foreign.java_client import metronome_words
from benchmarks.job import Job
from benchmarks.payload import payload_files
from benchmarks.standin.build import BuildError, built_path, run_tool

_MODULE = Path(__file__).with_name("go")
_FILES = ("main.go", "go.mod", "go.sum")
_BUILD_SECONDS = 300


def version() -> str:
    found = re.search(r"franz-go v(\S+)", (_MODULE / "go.mod").read_text())
    assert found is not None
    return found.group(1)


def missing() -> str | None:
    """Return why it cannot run here, or ``None``."""
    return None if _target().is_file() or shutil.which("go") else "Go"


def prepare() -> None:
    """Download and build what is not there yet; raises ``BuildError``."""
    _build()


def command(job: Job) -> list[str]:
    """Return how to run ``job``; raises ``BuildError`` if the client cannot be built."""
    return [
        str(_build()),
        *job.to_words(),
        *payload_files(job.value_size, job.keys),
        *metronome_words(),
    ]


def _target() -> Path:
    parts = [(_MODULE / name).read_bytes() for name in _FILES]
    return built_path(cache_directory() / "benchmarks", "franz-go", parts)


def _build() -> Path:
    target = _target()
    if target.is_file():
        return target
    program = shutil.which("go")
    if program is None:
        raise BuildError("Go is not installed")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".building-") as scratch:
        module = Path(scratch)
        for name in _FILES:
            shutil.copy(_MODULE / name, module)
        made = module / "franz-go"
        environment = {**os.environ, "GOFLAGS": "-mod=readonly -buildvcs=false"}
        command = [program, "build", "-o", str(made), "."]
        run_tool(command, _BUILD_SECONDS, directory=module, environment=environment)
        made.replace(target)
    return target
