"""What a topic's error in the metadata means for records that wait for it."""

from __future__ import annotations

from aioproducer.core.cluster_view import TopicView
from aioproducer.errors import BrokerError, broker_error
from aioproducer.wire.error_codes import ErrorCode

_FINAL = frozenset({ErrorCode.TOPIC_AUTHORIZATION_FAILED, ErrorCode.INVALID_TOPIC_EXCEPTION})


def topic_error(topic: TopicView, *, also_passing: bool = False) -> BrokerError | None:
    """Return the topic's error if it is final; with ``also_passing`` any that was reported."""
    if topic.error_code and (also_passing or topic.error_code in _FINAL):
        return broker_error(topic.error_code, topic=topic.name)
    return None
