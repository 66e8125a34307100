"""A FakeProducer keeps what every producer keeps."""

from __future__ import annotations

import inspect
import itertools
from typing import Any

import pytest

from aioproducer import AsyncProducer
from aioproducer.testing import FakeProducer
from tests.producer_contract import CONTRACTS, METHODS, Contract, Site


def public_names() -> list[str]:
    return [name for name in dir(AsyncProducer) if not name.startswith("_")]


@pytest.mark.parametrize("keep", CONTRACTS, ids=lambda each: each.__name__)
async def test_contract(keep: Contract) -> None:
    numbers = itertools.count(1)
    topics = {"is-never-there": 0}

    def make(**options: Any) -> AsyncProducer[Any, Any]:
        return FakeProducer(topics=topics, **options)

    def topic(partitions: int) -> str:
        name = f"topic-{next(numbers)}"
        topics[name] = partitions
        return name

    async def fence(producer: AsyncProducer[Any, Any]) -> None:
        assert isinstance(producer, FakeProducer)
        producer.fence_producer()

    await keep(Site(make, topic, lambda: f"id-{next(numbers)}", fence))


def test_the_contract_asks_for_every_method() -> None:
    """A new method of the producer is not forgotten."""
    methods = {n for n in public_names() if callable(getattr(AsyncProducer, n))}
    assert methods == METHODS, "say in tests/producer_contract.py what holds of the new method"


@pytest.mark.parametrize("name", public_names())
def test_each_public_name_is_that_of_a_producer(name: str) -> None:
    real, fake = getattr(AsyncProducer, name), getattr(FakeProducer, name)
    assert type(real) is property or inspect.signature(fake) == inspect.signature(real)
    assert inspect.iscoroutinefunction(fake) == inspect.iscoroutinefunction(real)
    assert inspect.isasyncgenfunction(inspect.unwrap(fake)) == inspect.isasyncgenfunction(real)
    assert fake.__doc__


def test_it_is_made_with_all_that_a_producer_is_made_with() -> None:
    real = inspect.signature(AsyncProducer).parameters
    fake = inspect.signature(FakeProducer).parameters
    assert {name: fake[name] for name in real} == dict(real)
    own = [fake[name] for name in fake if name not in real]
    assert all(each.kind is inspect.Parameter.KEYWORD_ONLY for each in own)
    assert all(each.default is not inspect.Parameter.empty for each in own)
