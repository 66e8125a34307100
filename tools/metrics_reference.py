"""What follows from the table of metrics: the snapshot's class and the reference page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from aioproducer.observe.catalogue import (
    ABSENT,
    METRICS,
    NODE_METRICS,
    PRODUCER_METRICS,
    TAGS,
    TOPIC_METRICS,
    Group,
    Metric,
)

_SNAPSHOT_HEAD = '''"""A snapshot of every metric, typed.

Written by `python -m tools.generate_reference` from aioproducer/observe/catalogue.py; not by hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from aioproducer.observe.readings import Readable, Registered, TimeHistogram
from aioproducer.version import __version__


@dataclass(frozen=True, slots=True)
class TopicMetrics:
    """One topic's figures.

    ``partition_records`` are what each partition was sent lately, ``partition_count`` is how many
    there are.
    """

{topic}    partition_records: Mapping[int, int] = field(default_factory=dict)
    partition_count: int = 0


@dataclass(frozen=True, slots=True)
class NodeMetrics:
    """The figures of the connections to one broker."""

{node}

@dataclass(frozen=True, slots=True)
class MetricsSnapshot(Readable):
    """What the producer has counted, and what is so at this moment.

    Names and meanings are those of Kafka's producer where it has them; docs/reference/metrics.md
    describes each. Rates, averages, maxima and percentiles are over the last windows
    (``metrics.num.samples`` of ``metrics.sample.window.ms``) and 0 where nothing happened in
    them; totals are since the start. ``topics`` are by name, ``nodes`` by broker id (negative ids
    are bootstrap addresses), ``ciphers`` count TLS connections by cipher and protocol.
    """

    client_id: str = ""
    version: str = __version__
{producer}    ack_times: TimeHistogram = field(default_factory=TimeHistogram)
    topics: Mapping[str, TopicMetrics] = field(default_factory=dict)
    nodes: Mapping[int, NodeMetrics] = field(default_factory=dict)
    ciphers: Mapping[tuple[str, str], int] = field(default_factory=dict)
    registered: Mapping[Registered, float] = field(default_factory=dict)
'''

_PAGE_HEAD = """\
# Metrics

<!-- Written by `python -m tools.generate_reference` from aioproducer/observe/catalogue.py. -->

`producer.metrics()` returns a `MetricsSnapshot`. Names, groups, tags and meanings are those of
Kafka's producer; what Kafka has not is marked "ours". The attribute of a metric is its name with
underscores: `producer.metrics().record_send_rate`.

```python
snapshot = producer.metrics()
snapshot.record_send_rate  # the producer
snapshot.topics["orders"].byte_rate  # a topic
snapshot.nodes[1].request_latency_avg  # a broker
snapshot.ack_times.percentile(99)  # seconds, since the start
snapshot.as_java()["record-send-rate"]  # Kafka's names
for metric, tags, value in snapshot.readings():
    ...  # everything, with its group, kind, unit and tags

async for snapshot in producer.watch_metrics(10):
    ...  # every ten seconds until the producer is closed
```

- **Rates, averages, maxima and percentiles** are over the last `metrics.num.samples` windows of
  `metrics.sample.window.ms`, as in Kafka: 60 to 90 seconds by default. They are 0 where nothing
  happened in that time (Kafka says NaN). A rate divides by at least all windows but one, so that it
  rises over the first half minute.
- **Totals** count since the producer was started, and only grow.
- Counting is done once for each batch, request or wait, never for a record; what is derived from
  it is worked out when a snapshot is taken. [Observability](../observability.md) shows the cost.
- All metrics have the tag `client-id`.

"""


def render_snapshot() -> str:
    """Return the text of aioproducer/observe/snapshot.py."""
    return _SNAPSHOT_HEAD.format(
        topic=_fields(TOPIC_METRICS), node=_fields(NODE_METRICS), producer=_fields(PRODUCER_METRICS)
    )


def _fields(metrics: Iterable[Metric]) -> str:
    return "".join(
        f"    {metric.attribute}: {'int = 0' if metric.is_whole else 'float = 0.0'}\n"
        for metric in metrics
    )


def render_page() -> str:
    """Return the text of docs/reference/metrics.md."""
    parts = [_PAGE_HEAD]
    for group in Group:
        metrics = [metric for metric in METRICS if metric.group is group]
        if not metrics:
            continue
        ours = " (ours)" if group is Group.OWN else ""
        parts.append(f"## `{group.value}`{ours}\n\n{_about(group)}")
        rows = [
            (
                f"`{metric.name}`" + (" (ours)" if metric.own and not ours else ""),
                metric.kind.value,
                metric.unit,
                metric.doc,
            )
            for metric in metrics
        ]
        parts.append(_table(("Metric", "Kind", "Unit", "What it says"), rows))
    parts.append(
        f"## `{Group.REGISTERED.value}` (ours)\n\nWhat the application adds with"
        " `producer.register_metric()` (KIP-1076).\n\n"
    )
    rows = [(f"`{each.name}`", f"`{each.group.value}`", each.reason + ".") for each in ABSENT]
    rows.append(
        (
            "all",
            "`plugins`",
            "plugins here are Python objects of the application: what they"
            " measure is added with `register_metric()`.",
        )
    )
    parts.append("## Not here\n\nMetrics of Kafka's producer that this one has not:\n\n")
    parts.append(_table(("Metric", "Group", "Because"), rows))
    return "".join(parts)


def _about(group: Group) -> str:
    place = {
        Group.TOPIC: "In `snapshot.topics`. ",
        Group.NODE: "In `snapshot.nodes`. ",
    }.get(group, "")
    tags = ", ".join(f"`{tag}`" for tag in TAGS[group])
    return f"{place}Tags: {tags}.\n\n"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(cells) + " |\n" for cells in lines) + "\n"
