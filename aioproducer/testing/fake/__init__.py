"""A producer without a cluster, for the unit tests of those who send."""

from __future__ import annotations

from aioproducer.testing.fake.history import SentRecord, StoredRecord
from aioproducer.testing.fake.producer import FakeProducer

__all__ = ["FakeProducer", "SentRecord", "StoredRecord"]
