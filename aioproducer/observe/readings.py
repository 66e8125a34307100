"""A snapshot read as a list: each figure with its metric and its tags, as exporters want it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from aioproducer.core.histogram import BOUNDS, percentile
from aioproducer.observe.catalogue import (
    NODE_METRICS,
    PRODUCER_METRICS,
    TOPIC_METRICS,
    Group,
    Kind,
    Metric,
)


class Reading(NamedTuple):
    """One figure: its metric, the tags that tell it from others of that metric, its value."""

    metric: Metric
    tags: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class TimeHistogram:
    """Times counted by length, since the producer was started.

    ``counts`` has one number for each of ``bounds`` (upper bounds in seconds) and one for what was
    longer; ``sum`` is of all times, in seconds.
    """

    bounds: ClassVar[tuple[float, ...]] = BOUNDS
    counts: tuple[int, ...] = ()
    sum: float = 0.0

    @property
    def count(self) -> int:
        """How many times were counted."""
        return sum(self.counts)

    def percentile(self, percent: float) -> float:
        """Return the seconds that ``percent`` of the times stayed below, good to a tenth.

        Raises :exc:`ValueError` unless ``percent`` is from 0 to 100.
        """
        if not 0 <= percent <= 100:
            raise ValueError(f"a percentile is from 0 to 100, not {percent!r}")
        return percentile(self.counts, percent / 100, BOUNDS[-1])


@dataclass(frozen=True, slots=True)
class Registered:
    """A metric of the application's own, see ``AsyncProducer.register_metric()``."""

    name: str
    kind: Kind
    unit: str
    doc: str

    @property
    def metric(self) -> Metric:
        """The metric as a line of the table."""
        return Metric(self.name, self.kind, self.unit, self.doc, Group.REGISTERED, own=True)


class Readable:
    """What a snapshot can say of all its figures at once."""

    __slots__ = ()

    def readings(self) -> Iterator[Reading]:
        """Yield every figure with its metric and its tags, the client id left out."""
        own: Any = self
        for metric in PRODUCER_METRICS:
            yield Reading(metric, {}, getattr(own, metric.attribute))
        for topic, figures in own.topics.items():
            for metric in TOPIC_METRICS:
                yield Reading(metric, {"topic": topic}, getattr(figures, metric.attribute))
        for node_id, figures in own.nodes.items():
            for metric in NODE_METRICS:
                tags = {"node-id": f"node-{node_id}"}
                yield Reading(metric, tags, getattr(figures, metric.attribute))
        for registered, value in own.registered.items():
            yield Reading(registered.metric, {}, value)

    def value(self, name: str, *, topic: str | None = None, node: int | None = None) -> float:
        """Return one figure by Kafka's name or the attribute's, of a topic or broker if given.

        Raises :exc:`ValueError` for a metric that is not there, naming the nearest, and for a topic
        or broker that has no figures.
        """
        own: Any = self
        figures, metrics = own, PRODUCER_METRICS
        if topic is not None:
            figures, metrics = own.topics.get(topic), TOPIC_METRICS
        elif node is not None:
            figures, metrics = own.nodes.get(node), NODE_METRICS
        known = {metric.attribute for metric in metrics}
        attribute = name.replace("-", "_")
        if attribute not in known:
            import difflib

            near = difflib.get_close_matches(attribute, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"{name!r}: no such metric{hint}")
        if figures is None:
            raise ValueError(
                f"nothing was counted of {topic if node is None else f'broker {node}'}"
            )
        value: float = getattr(figures, attribute)
        return value

    def as_java(self) -> dict[str, float]:
        """Return the figures of Kafka's ``producer-metrics`` under Kafka's names.

        Those of topics and brokers, and their tags, are in :meth:`readings`.
        """
        return {
            reading.metric.name: reading.value
            for reading in self.readings()
            if reading.metric.group is Group.PRODUCER
        }
