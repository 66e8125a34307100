"""A schema registry with Confluent's API: the one that is named, or Apicurio's from Maven."""

from __future__ import annotations

import os
import subprocess
import tarfile
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

from aioproducer.testing import maven
from aioproducer.testing.cluster import ClusterStartError, KafkaUnavailableError, wait_until
from aioproducer.testing.java import REQUIRED_JAVA, java_program, java_release
from aioproducer.testing.java_cluster import free_ports
from aioproducer.testing.supervision import Supervisor, tail

VARIABLE = "AIOPRODUCER_SCHEMA_REGISTRY"
"""The environment variable with the URL of a registry that is there."""

# Version 3 asks for Java 21.
APICURIO = "2.6.13.Final"
_ARTIFACT = f"io.apicurio:apicurio-registry-app:{APICURIO}:tar.gz:all"
_START_SECONDS = 180.0
_API = "/apis/ccompat/v7"


class SchemaRegistryProcess:
    """A registry on loopback that ends with this process; what it knows ends with it.

    Unlike Confluent's it checks no compatibility until a subject asks for it, and its schemas have
    no GUIDs. Raises :exc:`KafkaUnavailableError` if Java 17 or, the first time, Maven is missing.
    """

    def __init__(self) -> None:
        program = java_program()
        if program is None or (java_release() or 0) < REQUIRED_JAVA:
            raise KafkaUnavailableError(f"Java {REQUIRED_JAVA} or newer is not installed")
        jar = registry_jar()
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}{_API}"
        self._supervisor = Supervisor()
        log = self._supervisor.directory / "registry.log"
        process = self._supervisor.spawn(
            [
                program, "-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
                "-Dquarkus.http.host=127.0.0.1", f"-Dquarkus.http.port={port}", "-jar", str(jar),
            ],
            log,
            cwd=self._supervisor.directory,
        )  # fmt: skip
        try:
            wait_until(self._answers, _START_SECONDS, "the schema registry answers")
        except Exception as error:
            words = f"the schema registry did not start ({process.poll()}):\n{tail(log)}"
            self._supervisor.close()
            # Whatever it was: the log of the registry says more.
            raise ClusterStartError(words) from error

    def stop(self) -> None:
        """End it."""
        self._supervisor.close()

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/subjects", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


def registry_jar() -> Path:
    """Return Apicurio's program, downloaded into the cache if it is not there."""
    target = maven.cache_directory() / f"apicurio-{APICURIO}"
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        # Filled aside and renamed: two runs may start at once, and one may be killed on the way.
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".filling-") as scratch:
            _download(Path(scratch))
            filled = Path(scratch) / "unpacked"
            try:
                filled.rename(target)
            except OSError:
                if not target.is_dir():
                    raise
    return next(target.glob("*-runner.jar"))


def _download(scratch: Path) -> None:
    program = maven.maven_program()
    if program is None:
        raise KafkaUnavailableError("Maven (mvn) is not installed and the registry is not cached")
    plugin = maven.DEPENDENCY_PLUGIN
    command = [
        program, "-B", "-q", f"{plugin}:get", f"{plugin}:copy", f"-Dartifact={_ARTIFACT}",
        "-Dtransitive=false", f"-DoutputDirectory={scratch}",
    ]  # fmt: skip
    log = scratch / "maven.log"
    with log.open("wb") as output:
        done = subprocess.run(
            command, cwd=scratch, stdin=subprocess.DEVNULL, stdout=output,
            stderr=subprocess.STDOUT, timeout=maven.DOWNLOAD_SECONDS, check=False,
        )  # fmt: skip
    packed = next(scratch.glob("*.tar.gz"), None)
    if done.returncode != 0 or packed is None:
        raise KafkaUnavailableError(f"Maven could not fetch the registry:\n{tail(log, 20)}")
    with tarfile.open(packed) as archive:
        archive.extractall(scratch / "unpacked", filter="data")
    packed.unlink()


def named_registry() -> str | None:
    """Return the URL of the registry that the environment names, if it does."""
    return os.environ.get(VARIABLE) or None
