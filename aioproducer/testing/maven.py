"""Kafka's own jars from Maven Central, fetched once per pom and kept in the user's cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aioproducer.testing.cluster import KafkaUnavailableError
from aioproducer.testing.supervision import tail

DOWNLOAD_SECONDS = 600.0
_ATTEMPTS = 2
DEPENDENCY_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"


@dataclass(frozen=True, slots=True)
class Artifact:
    """One dependency, `group:name:version`, with what it must not drag along."""

    coordinates: str
    exclusions: tuple[str, ...] = ()

    def to_xml(self) -> str:
        group, name, version = self.coordinates.split(":")
        excluded = "".join(
            f"<exclusion><groupId>{g}</groupId><artifactId>{n}</artifactId></exclusion>"
            for g, n in (each.split(":") for each in self.exclusions)
        )
        return (
            f"<dependency><groupId>{group}</groupId><artifactId>{name}</artifactId>"
            f"<version>{version}</version><exclusions>{excluded}</exclusions></dependency>"
        )


def cache_directory() -> Path:
    """Where downloads are kept between runs."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "aioproducer"


def cached_jars(artifacts: Sequence[Artifact]) -> Path:
    """Where the jars of these artifacts are, or would be."""
    digest = hashlib.sha256(_pom(artifacts).encode()).hexdigest()[:16]
    return cache_directory() / "jars" / digest


def maven_program() -> str | None:
    return shutil.which("mvn")


def jars(artifacts: Sequence[Artifact]) -> Path:
    """The directory with the jars of these artifacts and all they need, downloaded if missing.

    Raises:
        KafkaUnavailableError: they are not in the cache and Maven is missing or cannot fetch them.
    """
    target = cached_jars(artifacts)
    if target.is_dir():
        return target
    program = maven_program()
    if program is None:
        raise KafkaUnavailableError("Maven (mvn) is not installed and Kafka's jars are not cached")
    target.parent.mkdir(parents=True, exist_ok=True)
    # Filled aside and renamed: two runs may start at once, and one may be killed on the way.
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".filling-") as scratch:
        filled = _download(program, artifacts, Path(scratch))
        try:
            filled.rename(target)
        except OSError:
            if not target.is_dir():
                raise
    return target


def _download(program: str, artifacts: Sequence[Artifact], scratch: Path) -> Path:
    (scratch / "pom.xml").write_text(_pom(artifacts))
    filled = scratch / "jars"
    log = scratch / "maven.log"
    goal = f"{DEPENDENCY_PLUGIN}:copy-dependencies"
    command = [program, "-B", "-q", goal, f"-DoutputDirectory={filled}"]
    for _ in range(_ATTEMPTS):
        with log.open("wb") as output:
            try:
                done = subprocess.run(
                    command,
                    cwd=scratch,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    timeout=DOWNLOAD_SECONDS,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                continue
        if done.returncode == 0:
            return filled
    raise KafkaUnavailableError(f"Maven could not fetch Kafka:\n{tail(log, 20)}")


def _pom(artifacts: Sequence[Artifact]) -> str:
    return (
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        "<groupId>aioproducer</groupId><artifactId>kafka-for-tests</artifactId>"
        "<version>1</version><dependencies>"
        + "".join(artifact.to_xml() for artifact in artifacts)
        + "</dependencies></project>"
    )
