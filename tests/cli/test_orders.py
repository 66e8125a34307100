"""The demo's events."""

from __future__ import annotations

import json
from collections import Counter

from aioproducer.cli.orders import order_events


def test_the_same_seed_gives_the_same_events() -> None:
    assert list(order_events(100)) == list(order_events(100))
    assert list(order_events(100)) != list(order_events(100, seed=2))


def test_every_value_is_json_and_unlike_any_other() -> None:
    events = list(order_events(1_000))
    assert len({event.value for event in events}) == 1_000
    for event in events:
        parsed = json.loads(event.value)
        assert parsed["order"].encode() == event.key
        assert event.headers == (("status", parsed["status"].encode()),)


def test_the_steps_of_an_order_follow_each_other() -> None:
    steps: Counter[bytes] = Counter()
    for event in order_events(1_000):
        assert json.loads(event.value)["step"] == steps[event.key]
        steps[event.key] += 1
    assert len(steps) == 40


def test_a_single_event_has_an_order_too() -> None:
    assert len(list(order_events(1))) == 1
