"""Books that must balance at any moment: memory, batches and their places."""

from __future__ import annotations

from aioproducer.core.batch import Batch, Sealed
from aioproducer.core.memory_budget import RECORD_OVERHEAD
from aioproducer.core.partition_queue import PartitionQueue
from aioproducer.runtime.engine import Engine
from aioproducer.wire.record_batch import HEADER_SIZE
from tests.simulation.plan import Plan

_SEQUENCES = 2**31


def audit(engine: Engine, plan: Plan) -> list[str]:
    """Return what does not balance."""
    found = []
    budget = engine.budget
    room = list(engine.admission.room)
    if max(budget.held, budget.waiting) > budget.total:
        found.append(f"{budget.held} bytes held, {budget.waiting} waiting")
    held = 0
    for queue in engine.intake.queues():
        held += sum(batch.charged for batch in _batches(queue))
        found += _audit_queue(queue, plan)
    # A partition that went with its topic still books what is on the wire.
    if held > budget.held or (held < budget.held and not plan.lapses):
        found.append(f"batches hold {held} bytes, but {budget.held} are booked")
    waiting = sum(record.size + RECORD_OVERHEAD for record in room)
    if waiting != budget.waiting:
        found.append(f"records wait with {waiting} bytes, but {budget.waiting} are booked")
    found += _audit_line_for_memory(engine)
    return found + _audit_meters(engine)


def _audit_line_for_memory(engine: Engine) -> list[str]:
    found = []
    admission = engine.admission
    arrivals = [record.arrival for record in admission.room.memory_line]
    if arrivals != sorted(arrivals):
        found.append(f"the line for memory is {arrivals}")
    lingering = [q.open for q in engine.intake.queues() if q.open and q.open.sealed is None]
    if admission._scheduled:
        # In this very turn they are let in, or told that memory is short.
        return found
    short = admission._lacks_memory()
    if short and lingering:
        found.append(f"{len(arrivals)} records wait for memory, but {lingering} linger")
    if arrivals and not short:
        found.append(f"{len(arrivals)} records wait, though there is memory")
    return found


def _audit_meters(engine: Engine) -> list[str]:
    """Return what of the figures by topic, by age and by batch does not come to the whole."""
    whole = engine.meters.producer.total()
    topics = [meter.total() for meter in engine.meters.all_topics()]
    found = []
    for name in ("records_sent", "ack_records", "records_retried", "records_failed"):
        parts = sum(getattr(topic, name) for topic in topics)
        if parts != getattr(whole, name):
            found.append(f"{name} is {getattr(whole, name)}, but {parts} by topic")
    if sum(whole.ack_times) != whole.ack_records:
        found.append(f"{sum(whole.ack_times)} ages of {whole.ack_records} acknowledged records")
    if sum(sum(topic.partitions.values()) for topic in topics) != whole.records_sent:
        found.append("the records sent by partition do not come to all")
    sealed = sum(getattr(whole, f"sealed_{why.value}") for why in Sealed)
    if sealed != whole.first_batches:
        found.append(f"{whole.first_batches} batches left, {sealed} for a reason")
    waiting = len(engine.admission.room)
    if whole.waits_begun - whole.waits != waiting:
        found.append(f"{whole.waits_begun} began and {whole.waits} ceased, but {waiting} wait")
    if not waiting and whole.memory_wait + whole.metadata_wait > 2 * engine.now():
        found.append("records waited for longer than there is time")
    return found


def _batches(queue: PartitionQueue) -> list[Batch]:
    opened = [queue.open] if queue.open is not None else []
    return [*queue.on_wire, *queue.waiting, *opened]


def _audit_queue(queue: PartitionQueue, plan: Plan) -> list[str]:
    found = []
    where = f"{queue.topic.name}-{queue.index}"
    if queue.sequences is None and len(queue.on_wire) > 1 and plan.acks != 0:
        found.append(f"{len(queue.on_wire)} batches of {where} on the wire without sequences")
    for line in (queue.on_wire, [*queue.waiting, *([queue.open] if queue.open else [])]):
        order = [batch.order for batch in line]
        if order != sorted(order):
            found.append(f"{where} holds its batches in the order {order}")
    found += _audit_sequences(queue, where)
    largest = plan.options["batch_size"]
    for batch in _batches(queue):
        # The parts of a split share what their batch was charged, none by its own size.
        whole = len(batch.order) == 1
        if whole and len(batch.body) > batch.charged - batch.count * RECORD_OVERHEAD:
            found.append(f"{batch} holds {len(batch.body)} bytes for {batch.charged}")
        size = len(batch.body) + HEADER_SIZE
        if size > largest and batch.count > 1 and plan.options["compression_type"] == "none":
            found.append(f"{batch} takes {size} bytes, batch.size is {largest}")
    return found


def _audit_sequences(queue: PartitionQueue, where: str) -> list[str]:
    """What is stamped must follow one another without a gap, up to the next sequence."""
    sequences = queue.sequences
    if sequences is None or sequences.identity is None or sequences.broken:
        return []
    stamped = sorted(
        (batch for batch in _batches(queue) if batch.stamp[:2] == sequences.identity),
        key=lambda batch: batch.order,
    )
    if not stamped:
        return []
    before = (stamped[0].stamp.base_sequence - 1 - sequences.last_acked_sequence) % _SEQUENCES
    if 0 < before < _SEQUENCES // 2:
        return [f"{where}: {stamped[0]} cannot follow {sequences.last_acked_sequence}"]
    nexts = [*(batch.stamp.base_sequence for batch in stamped[1:]), sequences.next_sequence]
    for batch, following in zip(stamped, nexts, strict=True):
        # A younger one that was acknowledged is gone already.
        gap = (following - batch.next_sequence) % _SEQUENCES
        beyond_acknowledged = (following - 1 - sequences.last_acked_sequence) % _SEQUENCES
        if gap and 0 < beyond_acknowledged < _SEQUENCES // 2:
            return [f"{where}: after {batch} come {nexts}, {sequences.last_acked_sequence} is in"]
    return []
