"""The clients that are compared, and whether each can run here."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Protocol, cast

from benchmarks.foreign import go_client, java_client
from benchmarks.job import Job

REFERENCE = "aiokafka"
"""Every figure is also given in units of this client's."""

OURS = "aioproducer"
PURE = "aioproducer-pure"


class Foreign(Protocol):
    """A client that is not Python."""

    def version(self) -> str: ...

    def missing(self) -> str | None: ...

    def prepare(self) -> None: ...

    def command(self, job: Job) -> list[str]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A client: the distribution it comes in, and the modules that must be there."""

    name: str
    distribution: str
    modules: tuple[str, ...] = ()
    driver: str = ""
    """Module and class that drive it, as ``module:class``."""
    environment: Mapping[str, str] = field(default_factory=dict)
    foreign: Foreign | None = None
    warm_up_at_least: float = 0.0
    """Seconds; a JVM has to compile first."""

    def missing(self) -> str | None:
        """Return what is not installed, or ``None``."""
        if self.foreign is not None:
            return self.foreign.missing()
        for module in self.modules:
            try:
                found = importlib.util.find_spec(module)
            except ModuleNotFoundError:
                found = None
            if found is None:
                return module
        return None

    def version(self) -> str:
        """Return the installed release, or "not installed"."""
        if self.foreign is not None:
            return self.foreign.version() if self.missing() is None else "not installed"
        try:
            return importlib.metadata.version(self.distribution)
        except importlib.metadata.PackageNotFoundError:
            return "not installed" if self.missing() else "from this directory"

    def prepare(self) -> None:
        """Build what has to be built before the first run; raises ``BuildError``."""
        if self.foreign is not None:
            self.foreign.prepare()

    def command(self, job: Job) -> list[str]:
        """Return the command line that runs ``job``."""
        if self.foreign is not None:
            return self.foreign.command(job)
        return [sys.executable, "-m", "benchmarks.worker", job.to_json()]

    def surroundings(self) -> dict[str, str]:
        """Return the environment of its process: what is set here must not choose its build."""
        environment = {**os.environ, **self.environment}
        if "AIOPRODUCER_PURE" not in self.environment:
            environment.pop("AIOPRODUCER_PURE", None)
        return environment


def _foreign(module: ModuleType) -> Foreign:
    return cast("Foreign", module)


_DRIVERS = "benchmarks.drivers"
_ALL = (
    Peer(
        name=OURS,
        distribution="aioproducer",
        modules=("aioproducer",),
        driver=f"{_DRIVERS}.aioproducer_driver:AioproducerDriver",
    ),
    Peer(
        name=PURE,
        distribution="aioproducer",
        modules=("aioproducer",),
        driver=f"{_DRIVERS}.aioproducer_driver:AioproducerDriver",
        environment={"AIOPRODUCER_PURE": "1"},
    ),
    Peer(
        name=REFERENCE,
        distribution="aiokafka",
        modules=("aiokafka",),
        driver=f"{_DRIVERS}.aiokafka_driver:AiokafkaDriver",
    ),
    Peer(
        name="confluent",
        distribution="confluent-kafka",
        modules=("confluent_kafka",),
        driver=f"{_DRIVERS}.confluent_driver:ConfluentDriver",
    ),
    Peer(
        name="confluent-aio",
        distribution="confluent-kafka",
        modules=("confluent_kafka", "confluent_kafka.aio"),
        driver=f"{_DRIVERS}.confluent_aio_driver:ConfluentAioDriver",
    ),
    Peer(
        name="kafka-python",
        distribution="kafka-python",
        modules=("kafka",),
        driver=f"{_DRIVERS}.kafka_python_driver:KafkaPythonDriver",
    ),
    Peer(
        name="java",
        distribution="kafka-clients",
        foreign=_foreign(java_client),
        warm_up_at_least=3.0,
    ),
    Peer(name="franz-go", distribution="franz-go", foreign=_foreign(go_client)),
)
PEERS = {peer.name: peer for peer in _ALL}
