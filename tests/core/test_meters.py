"""What is counted of a request, a batch, a wait."""

from __future__ import annotations

from aioproducer.core.batch import Sealed
from aioproducer.core.meters import Meters
from aioproducer.wire.record_batch import HEADER_SIZE
from tests.core.makers import make_batch


def meters() -> Meters:
    return Meters(2, 30.0, 0.0)


def test_a_request_counts_its_batches_records_and_bytes() -> None:
    book = meters()
    batch = make_batch(values=[b"v"] * 3)
    batch.sealed = Sealed.LINGER
    batch.payload = b"tiny"
    book.request_sent([batch], batch.opened + 0.25)
    counted = book.producer.total()
    assert (counted.produce_requests, counted.batches_sent, counted.records_sent) == (1, 1, 3)
    assert counted.batch_bytes == HEADER_SIZE + 4
    assert counted.body_bytes == HEADER_SIZE + len(batch.body)
    assert (counted.queue_time, counted.sealed_linger) == (0.25, 1)
    topic = book.topics[batch.topic].total()
    assert (topic.records_sent, topic.partitions) == (3, {batch.partition: 3})


def test_a_repeated_batch_is_sent_again_but_left_the_queue_once() -> None:
    book = meters()
    batch = make_batch(values=[b"v"])
    batch.sealed = Sealed.SIZE
    book.request_sent([batch], 1.0)
    batch.attempts = 1
    book.request_sent([batch], 2.0)
    counted = book.producer.total()
    assert (counted.records_sent, counted.first_batches, counted.sealed_size) == (2, 1, 1)


def test_each_reason_to_seal_is_counted_apart() -> None:
    book = meters()
    for why in Sealed:
        batch = make_batch(values=[b"v"])
        batch.sealed = why
        book.request_sent([batch], 1.0)
    counted = book.producer.total()
    assert [getattr(counted, f"sealed_{why.value}") for why in Sealed] == [1] * len(Sealed)


def test_the_largest_record_is_exact_for_one_that_travels_alone() -> None:
    book = meters()
    batch = make_batch(values=[b"." * 5000])
    book.request_sent([batch], 1.0)
    assert book.producer.lately(1.0).sample.record_size_max == len(batch.body)


def test_each_record_of_a_batch_counts_as_being_as_old_as_the_oldest() -> None:
    book = meters()
    batch = make_batch(values=[b"v"] * 4)
    book.delivered(batch, batch.created + 0.5)
    counted = book.producer.total()
    assert (counted.ack_records, counted.ack_time, sum(counted.ack_times)) == (4, 2.0, 4)


def test_the_figures_of_a_topic_that_is_forgotten_stay_in_the_totals() -> None:
    book = meters()
    book.topic("orders", 0.0).ack_records += 3
    book.topic("others", 0.0).ack_records += 4
    book.topic_forgotten("orders")
    book.topic_forgotten("never used")
    assert set(book.topics) == {"others"}
    assert book.forgotten.total().ack_records == 3
    assert sum(meter.total().ack_records for meter in book.all_topics()) == 7


def test_the_figures_of_a_broker_that_is_gone_stay_in_the_totals() -> None:
    book = meters()
    for node_id in range(-100, 0):
        meter = book.node(node_id, 0.0)
        meter.at(0.0).requests += 3
        book.node_gone(node_id)
        meter.at(0.0).disconnections += 1
    book.node_gone(-200)
    assert book.nodes == {}
    assert sum(meter.total().requests for meter in book.all_nodes()) == 300
    assert sum(meter.total().disconnections for meter in book.all_nodes()) == 100
    assert len(book.all_nodes()) < 20
