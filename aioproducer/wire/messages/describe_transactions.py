"""DescribeTransactions: in what state the coordinator has transactional ids (KIP-664)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from aioproducer.wire.primitives import Buffer, Reader, Writer
from aioproducer.wire.versions import ApiKey


class TransactionDescription(NamedTuple):
    error_code: int
    transactional_id: str
    state: str
    timeout_ms: int
    start_time_ms: int
    producer_id: int
    producer_epoch: int
    topics: tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True, slots=True)
class DescribeTransactionsResponse:
    throttle_time_ms: int
    transactions: tuple[TransactionDescription, ...]

    @classmethod
    def decode(cls, reader: Reader, version: int) -> DescribeTransactionsResponse:
        throttle_time_ms = reader.int32()
        count = reader.array_length(True, 28)
        transactions = tuple([_transaction(reader) for _ in range(count)])
        reader.tagged_fields()
        return cls(throttle_time_ms, transactions)


@dataclass(frozen=True, slots=True)
class DescribeTransactionsRequest:
    API_KEY: ClassVar[ApiKey] = ApiKey.DESCRIBE_TRANSACTIONS
    Response: ClassVar[type[DescribeTransactionsResponse]] = DescribeTransactionsResponse

    transactional_ids: Sequence[str]

    def encode(self, version: int) -> list[Buffer]:
        out = Writer()
        out.array_length(len(self.transactional_ids), True)
        for name in self.transactional_ids:
            out.string(name, True)
        out.tagged_fields()
        return [out.getvalue()]


def _transaction(reader: Reader) -> TransactionDescription:
    head = (reader.int16(), reader.string(True), reader.string(True))
    timeout_ms, start_time_ms = reader.int32(), reader.int64()
    producer_id, epoch = reader.int64(), reader.int16()
    topics = []
    for _ in range(reader.array_length(True, 3)):
        topics.append((reader.string(True), reader.int32_array(True)))
        reader.tagged_fields()
    reader.tagged_fields()
    return TransactionDescription(
        *head, timeout_ms, start_time_ms, producer_id, epoch, tuple(topics)
    )
