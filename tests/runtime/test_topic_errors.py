"""Which of a topic's errors are final."""

from __future__ import annotations

import pytest

from aioproducer.core.cluster_view import TopicView
from aioproducer.runtime.topic_errors import topic_error


@pytest.mark.parametrize("code", [29, 17])
def test_permission_and_name_are_final(code: int) -> None:
    error = topic_error(TopicView("orders", error_code=code))
    assert error is not None
    assert (error.code, error.topic) == (code, "orders")


@pytest.mark.parametrize("code", [3, 5, 9, -1])
def test_everything_else_passes(code: int) -> None:
    topic = TopicView("orders", error_code=code)
    assert topic_error(topic) is None
    passing = topic_error(topic, also_passing=True)
    assert passing is not None
    assert passing.code == code


def test_no_error_is_none() -> None:
    assert topic_error(TopicView("orders"), also_passing=True) is None
