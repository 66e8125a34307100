"""What Prometheus calls each metric, as a page."""

from __future__ import annotations

from collections.abc import Iterator

from aioproducer.observe.catalogue import METRICS, Group
from aioproducer.observe.exporters.names import ACK_TIMES, BUILD_INFO, CIPHERS, EXPORTED

_HEAD = f"""# Metrics in Prometheus

<!-- Written by `python -m tools.generate_reference`; from observe/exporters/names.py. -->

How to have them scraped: [exporters](../exporters.md). What they mean: [metrics](metrics.md).

Names follow Prometheus' conventions: seconds and bytes, the unit at the end, counters with
`_total`. Rates and percentiles are left out: `rate()` of a counter and `histogram_quantile()` say
the same for any window.

| Prometheus | type | labels | Kafka's name |
| --- | --- | --- | --- |
| `{ACK_TIMES}` | histogram | `client_id` | `ack-time-*` (ours) |
| `{CIPHERS}` | gauge | `client_id`, `cipher`, `protocol` | `connections` |
| `{BUILD_INFO}` | gauge, always 1 | `client_id`, `version` | `version` |
"""
_LABELS = {Group.TOPIC: ", `topic`", Group.NODE: ", `node_id`"}


def render_page() -> str:
    """Return docs/reference/prometheus.md."""
    return _HEAD + "".join(f"{line}\n" for line in _rows())


def _rows() -> Iterator[str]:
    for metric in METRICS:
        spelt = EXPORTED.get((metric.group, metric.name))
        if spelt is not None:
            kind = "counter" if spelt.is_counter else "gauge"
            labels = f"`client_id`{_LABELS.get(metric.group, '')}"
            own = " (ours)" if metric.own else ""
            yield f"| `{spelt.name}` | {kind} | {labels} | `{metric.name}`{own} |"
