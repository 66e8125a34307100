"""What tests/testing/fake holds of a FakeProducer holds of the real one, on a real cluster."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest

from aioproducer import AsyncProducer
from tests.conftest import TopicFactory
from tests.producer_contract import CONTRACTS, Contract, Site


@pytest.mark.parametrize("keep", CONTRACTS, ids=lambda each: each.__name__)
def test_contract(keep: Contract, bootstrap: str, topic: TopicFactory) -> None:
    def make(**options: Any) -> AsyncProducer[Any, Any]:
        # Else asking for the topic that is not there would make it.
        return AsyncProducer(bootstrap, allow_auto_create_topics=False, **options)

    def new_id() -> str:
        return f"contract-{uuid.uuid4().hex[:8]}"

    async def fence(producer: AsyncProducer[Any, Any]) -> None:
        transactional_id = producer.config.transactional_id
        async with AsyncProducer(bootstrap, transactional_id=transactional_id):
            pass

    # On one loop: what differs between loops is no matter of this.
    asyncio.run(keep(Site(make, topic, new_id, fence)), debug=True)
