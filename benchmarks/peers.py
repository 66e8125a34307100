"""The clients that are compared, and whether each can run here."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from dataclasses import dataclass

REFERENCE = "aiokafka"
"""Every figure is also given in units of this client's."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A client: the distribution it comes in, and the modules that must be there."""

    name: str
    distribution: str
    modules: tuple[str, ...]
    driver: str
    """Module and class that drive it, as ``module:class``."""

    def missing(self) -> str | None:
        """Return the module that is not installed, or ``None``."""
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
        try:
            return importlib.metadata.version(self.distribution)
        except importlib.metadata.PackageNotFoundError:
            return "not installed" if self.missing() else "from this directory"


_ALL = (
    Peer(
        "aioproducer",
        "aioproducer",
        ("aioproducer",),
        "benchmarks.drivers.aioproducer_driver:AioproducerDriver",
    ),
    Peer(
        "aiokafka",
        "aiokafka",
        ("aiokafka",),
        "benchmarks.drivers.aiokafka_driver:AiokafkaDriver",
    ),
    Peer(
        "confluent",
        "confluent-kafka",
        ("confluent_kafka",),
        "benchmarks.drivers.confluent_driver:ConfluentDriver",
    ),
    Peer(
        "confluent-aio",
        "confluent-kafka",
        ("confluent_kafka", "confluent_kafka.aio"),
        "benchmarks.drivers.confluent_aio_driver:ConfluentAioDriver",
    ),
)
PEERS = {peer.name: peer for peer in _ALL}
