"""Names, patterns and functions of dead-letter topics, and what would go round in a circle."""

from __future__ import annotations

import pytest

from aioproducer import ConfigurationError
from aioproducer.patterns.dead_letter_topics import DEFAULT, DeadLetterTopics


def test_each_topic_has_its_own_by_default() -> None:
    assert DeadLetterTopics(DEFAULT).of("orders") == "orders.dead-letters"


@pytest.mark.parametrize("topic", ["orders", "x.dead-letters.y", ".dead-letters"])
def test_other_topics_are_taken(topic: str) -> None:
    DeadLetterTopics(DEFAULT).refuse(topic)


@pytest.mark.parametrize("pattern", ["", "{topic}", "{topic}-{topic}"])
def test_patterns_that_lead_to_the_topic_itself_are_refused(pattern: str) -> None:
    with pytest.raises(ConfigurationError):
        DeadLetterTopics(pattern)
