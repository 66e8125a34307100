"""A batch: bookkeeping of records under one header."""

from __future__ import annotations

import pytest

from aioproducer.core.batch import NO_STAMP, Sealed, Stamp
from aioproducer.wire.record_batch import HEADER_SIZE, decode_batches
from tests.core.makers import make_batch


def test_the_first_record_always_fits() -> None:
    assert make_batch(values=[], limit=70).has_room(10_000)


def test_later_ones_fit_up_to_the_limit_which_counts_the_header() -> None:
    batch = make_batch(values=[b"." * 20], limit=HEADER_SIZE + 100)
    left = 100 - len(batch.body)
    assert batch.has_room(left)
    assert not batch.has_room(left + 1)


def test_a_closed_batch_takes_nothing_more() -> None:
    batch = make_batch()
    batch.closed = True
    assert not batch.has_room(1)


def test_a_good_compression_ratio_makes_room() -> None:
    tight = make_batch(values=[b"." * 50], limit=HEADER_SIZE + 100)
    roomy = make_batch(values=[b"." * 50], limit=HEADER_SIZE + 100, ratio=0.2)
    assert not tight.has_room(60)
    assert roomy.has_room(60)


def test_ready_and_stamped_are_what_they_say() -> None:
    batch = make_batch()
    assert (batch.is_ready, batch.is_stamped) == (False, False)
    batch.sealed = Sealed.LINGER
    batch.stamp = Stamp(1, 0, 0)
    assert (batch.is_ready, batch.is_stamped) == (True, True)
    batch.stamp = NO_STAMP
    assert not batch.is_stamped


def test_the_header_carries_the_stamp_and_the_times() -> None:
    batch = make_batch(values=[b"a", b"b", b"c"])
    batch.payload = batch.body
    batch.stamp = Stamp(9, 3, 2**31 - 1)
    (decoded,) = decode_batches(batch.header() + bytes(batch.payload))
    assert (decoded.producer_id, decoded.producer_epoch) == (9, 3)
    assert decoded.base_sequence == 2**31 - 1
    assert (decoded.base_timestamp, decoded.max_timestamp) == (1000, 1002)
    assert [record.value for record in decoded.records] == [b"a", b"b", b"c"]
    assert batch.wire_size == len(batch.header()) + len(batch.payload)


def test_without_a_stamp_the_header_says_so() -> None:
    batch = make_batch()
    batch.payload = batch.body
    (decoded,) = decode_batches(batch.header() + bytes(batch.payload))
    assert (decoded.producer_id, decoded.producer_epoch, decoded.base_sequence) == (-1, -1, -1)


def test_its_size_on_the_wire_is_unknown_before_it_is_prepared() -> None:
    with pytest.raises(AssertionError):
        _ = make_batch().wire_size


def test_repr_names_partition_and_stamp() -> None:
    batch = make_batch(values=[b"a", b"b"])
    assert repr(batch) == "<Batch orders-0 (1,) 2 records unstamped attempts=0>"
