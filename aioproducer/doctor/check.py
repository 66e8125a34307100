"""``check_setup()``: the doctor as a function."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from aioproducer.config import ProducerConfig
from aioproducer.doctor.checks import CHECKS
from aioproducer.doctor.examination import Examination
from aioproducer.doctor.facts import Need, Setup
from aioproducer.doctor.inquiry import Inquiry
from aioproducer.doctor.report import SetupReport, sorted_findings
from aioproducer.observe.snapshot import MetricsSnapshot


async def check_setup(
    config: ProducerConfig | Mapping[str, object],
    topics: Iterable[str] = (),
    *,
    bytes_per_second: float | None = None,
    metrics: MetricsSnapshot | None = None,
    timeout: float = 30.0,
) -> SetupReport:
    """Compare a configuration with the cluster it is for, and say what will go wrong.

    Nothing is produced, and no topic is created.

    Args:
        config: what the producer gets; a mapping is checked first, as the producer would.
        topics: what it will send to.
        bytes_per_second: how much it will send, to see for how long the buffer lasts.
        metrics: those of a running producer; constant keys show there.
        timeout: seconds after which the report says what could not be looked at.

    Returns what was found, and what could not be looked at: an unreachable cluster and missing
    rights are no errors. Cancelling closes the connections and gives no report.

    Raises:
        ConfigurationError: the configuration itself is refused.
    """
    if not isinstance(config, ProducerConfig):
        config = ProducerConfig.create(config=config)
    if isinstance(topics, str):
        topics = (topics,)
    names = tuple(dict.fromkeys(topics))
    setup = Setup(
        config=config,
        topics_named=names,
        bytes_per_second=bytes_per_second,
        records_per_partition=None if metrics is None else _per_partition(metrics),
    )
    inquiry = Inquiry(config)
    examination = Examination(inquiry, setup)
    try:
        async with asyncio.timeout(timeout):
            await examination.run()
    except TimeoutError:
        examination.interrupted(timeout)
    finally:
        inquiry.close()
        # The transports of TLS close in the turns that follow.
        await asyncio.sleep(0)
    return report_on(examination)


def _per_partition(metrics: MetricsSnapshot) -> dict[str, Mapping[int, int]]:
    return {topic: figures.partition_records for topic, figures in metrics.topics.items()}


def report_on(examination: Examination) -> SetupReport:
    """Judge what was learned."""
    setup = examination.setup
    missed = {name for each in examination.unchecked for name in each.findings}
    unasked = _unasked(setup)
    findings = [finding for check in CHECKS for finding in check.judge(setup)]
    return SetupReport(
        findings=sorted_findings(findings),
        unchecked=tuple(examination.unchecked),
        checked=tuple(
            check.name
            for check in CHECKS
            if check.name not in missed and not check.needs & unasked.keys()
        ),
        notes=(*_notes(setup), *dict.fromkeys(unasked.values())),
        cluster=examination.cluster,
    )


def _unasked(setup: Setup) -> dict[Need, str]:
    """Return what the user has not given, which is no gap in the report, with a hint."""
    unasked = {}
    if not setup.topics_named:
        unasked[Need.TOPICS] = unasked[Need.TOPIC_SETTINGS] = "name topics to have them looked at"
    if setup.bytes_per_second is None:
        unasked[Need.RATE] = "state a rate (--rate) to see whether buffer.memory lasts"
    if setup.records_per_partition is None:
        unasked[Need.KEYS] = (
            "whether keys spread shows in a running producer only: check_setup(..., metrics=...)"
        )
    if setup.config.transactional_id is None:
        unasked[Need.TRANSACTION] = "no transactional.id is set"
    return unasked


def _notes(setup: Setup) -> list[str]:
    notes = list(setup.config.notices)
    if setup.bytes_per_second:
        seconds = setup.config.buffer_memory / setup.bytes_per_second
        notes.append(
            f"buffer.memory={setup.config.buffer_memory} holds {seconds:.1f} s of"
            f" {setup.bytes_per_second:,.0f} bytes/s"
        )
    return notes
