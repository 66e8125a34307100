"""Batches in parts: too large for the broker, or with records that it blames."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from aioproducer.core.batch import NO_STAMP, Batch, Sealed, Stamp
from aioproducer.core.split import remove_records, split_batch
from aioproducer.wire.record_batch import decode_records
from tests.core.makers import make_batch

values = st.lists(st.binary(max_size=60), min_size=2, max_size=40)


def contents(batch: Batch) -> list[tuple[bytes | None, int]]:
    records = decode_records(batch.body, batch.count, batch.base_timestamp)
    return [(record.value, record.timestamp) for record in records]


def stamped_batch(written: list[bytes], base_sequence: int = 100) -> Batch:
    batch = make_batch(values=written)
    batch.created, batch.opened = 12.5, 13.5
    batch.stamp = Stamp(7, 2, base_sequence)
    batch.attempts = 3
    batch.sealed = Sealed.LINGER
    return batch


class TestSplitting:
    @given(values, st.integers(1, 2000), st.integers(2**31 - 50, 2**31 - 1))
    @settings(deadline=None)
    def test_the_parts_are_the_batch(
        self, written: list[bytes], batch_size: int, base_sequence: int
    ) -> None:
        """Same records, times, age, place and stamps; no gap and no overlap, also at the wrap."""
        batch = stamped_batch(written, base_sequence)
        parts = split_batch(batch, batch_size)
        assert len(parts) >= 2
        assert [pair for _, part in parts for pair in contents(part)] == contents(batch)
        first = 0
        for number, (index, part) in enumerate(parts):
            assert index == first
            assert part.order == (1, number)
            assert part.stamp == Stamp(7, 2, (base_sequence + first) % 2**31)
            assert (part.created, part.opened, part.attempts) == (12.5, 13.5, 3)
            assert part.closed
            assert part.is_ready
            assert part.fate.count == part.count
            first += part.count
        assert parts[-1][1].next_sequence == batch.next_sequence
        assert sum(part.charged for _, part in parts) == batch.charged
        assert all(part.max_timestamp >= part.base_timestamp for _, part in parts)

    @given(values)
    def test_splitting_again_and_again_ends_with_single_records(self, written: list[bytes]) -> None:
        waiting = [stamped_batch(written)]
        done = []
        for _ in range(1000):
            if not waiting:
                break
            batch = waiting.pop(0)
            if batch.count == 1:
                done.append(batch)
            else:
                waiting[:0] = [part for _, part in split_batch(batch, 16384)]
        assert [contents(batch)[0][0] for batch in done] == written
        orders = [batch.order for batch in done]
        assert orders == sorted(orders)
        assert len(set(orders)) == len(orders)

    def test_what_may_be_written_stays_so(self) -> None:
        batch = stamped_batch([b"a", b"b"])
        batch.maybe_written = True
        assert all(part.maybe_written for _, part in split_batch(batch, 1))

    def test_an_unstamped_batch_has_unstamped_parts(self) -> None:
        parts = split_batch(make_batch(values=[b"a", b"b"]), 1)
        assert [part.stamp for _, part in parts] == [NO_STAMP, NO_STAMP]

    def test_parts_stay_between_their_neighbours(self) -> None:
        parts = split_batch(make_batch(values=[b"a", b"b"], order=(5,)), 1)
        assert (4,) < (4, 9) < parts[0][1].order < parts[1][1].order < (6,)
        assert parts[0][1].order > (5,)


class TestRemoving:
    @given(values, st.data())
    def test_the_survivors_keep_order_and_times(
        self, written: list[bytes], data: st.DataObject
    ) -> None:
        blamed = data.draw(
            st.sets(st.integers(0, len(written) - 1), min_size=1, max_size=len(written) - 1)
        )
        batch = stamped_batch(written)
        survivors, parts, removed = remove_records(batch, blamed)
        kept = [pair for index, pair in enumerate(contents(batch)) if index not in blamed]
        assert contents(survivors) == kept
        assert {index: record.value for index, record in removed.items()} == {
            index: written[index] for index in blamed
        }
        assert not survivors.is_stamped
        assert survivors.charged == batch.charged
        assert (survivors.created, survivors.attempts) == (batch.created, batch.attempts + 1)
        assert batch.order < survivors.order < (2,)
        batch.fate.divide(parts)
        there = 0
        for index in range(len(written)):
            fate, place = batch.fate.locate(index)
            if index in blamed:
                assert fate is not survivors.fate
                assert (fate.count, place) == (1, 0)
            else:
                assert (fate, place) == (survivors.fate, there)
                there += 1
