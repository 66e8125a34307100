"""Kafka's own producer: compiled with javac against the jars that the tests' cluster runs on."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from aioproducer.testing import maven
from aioproducer.testing.cluster import KafkaUnavailableError
from aioproducer.testing.java import REQUIRED_JAVA, java_program, java_release
from aioproducer.testing.releases import CURRENT, RELEASES
from benchmarks.job import Job
from benchmarks.metronome import __file__ as metronome_file
from benchmarks.pacing import TICK_NS
from benchmarks.payload import payload_files
from benchmarks.standin.build import BuildError, built_path, run_tool

_SOURCE = Path(__file__).with_name("java") / "ProducerBenchmark.java"
# A heap that is there from the start, as of a service; its growth is not the client's cost.
_JVM = ("-Xms1g", "-Xmx1g", "-XX:+AlwaysPreTouch", "-XX:+UseG1GC")
_QUIET = "-Dorg.slf4j.simpleLogger.defaultLogLevel=error"
_COMPILE_SECONDS = 120


def version() -> str:
    return CURRENT


def missing() -> str | None:
    """Return why it cannot run here, or ``None``."""
    if (java_release() or 0) < REQUIRED_JAVA:
        return f"Java {REQUIRED_JAVA}"
    if shutil.which("javac") is None:
        return "javac"
    cached = maven.cached_jars(RELEASES[CURRENT].artifacts).is_dir()
    if not cached and maven.maven_program() is None:
        return "Maven"
    return None


def prepare() -> None:
    """Fetch and compile what is not there yet; raises ``BuildError``."""
    _classes(_jars())


def command(job: Job) -> list[str]:
    """Return how to run ``job``; raises ``BuildError`` if the client cannot be built."""
    jars = _jars()
    classes = _classes(jars)
    program = java_program()
    assert program is not None
    return [
        program,
        *_JVM,
        _QUIET,
        *("-cp", f"{classes}{os.pathsep}{jars}/*"),
        "ProducerBenchmark",
        *job.to_words(),
        *payload_files(job.value_size, job.keys),
        *metronome_words(),
    ]


def metronome_words() -> list[str]:
    return [f"python={sys.executable}", f"metronome={metronome_file}", f"tick_ns={TICK_NS}"]


def _jars() -> Path:
    try:
        return maven.jars(RELEASES[CURRENT].artifacts)
    except KafkaUnavailableError as error:
        raise BuildError(str(error)) from None


def _classes(jars: Path) -> Path:
    parts = [_SOURCE.read_bytes(), str(jars).encode()]
    target = built_path(maven.cache_directory() / "benchmarks", "java", parts)
    if not (target / "ProducerBenchmark.class").is_file():
        clients = jars / f"kafka-clients-{CURRENT}.jar"
        javac = shutil.which("javac") or "javac"
        target.mkdir(parents=True, exist_ok=True)
        arguments = ["-d", str(target), "-cp", str(clients), str(_SOURCE)]
        run_tool([javac, *arguments], _COMPILE_SECONDS)
    return target
