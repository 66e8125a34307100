"""What dead letters are made with, and what each is on its way to where it is kept."""

from __future__ import annotations

import inspect
import os
from typing import Any

from aioproducer import AsyncProducer, ConfigurationError, DeadLetterError, ProducerError
from aioproducer.patterns.letter_delivery import LetterDelivery
from aioproducer.patterns.letters import DeadLetter
from aioproducer.patterns.salvage import Given
from aioproducer.patterns.spool_file import check_spool
from aioproducer.patterns.wrapper import ProducerWrapper


class Case:
    """A record that failed, on its way to where it is kept."""

    __slots__ = ("error", "errors", "given", "is_spooling", "letter", "outer")

    def __init__(self, outer: LetterDelivery, given: Given, error: ProducerError) -> None:
        self.outer = outer
        self.given = given
        self.error = error
        # All that went wrong, in the order it did.
        self.errors: list[BaseException] = [error]
        self.letter: DeadLetter | None = None
        self.is_spooling = False

    def error_if_kept(self, where: str) -> ProducerError:
        """Return the record's own error, with a word on where its letter is."""
        error = self.error.replica()
        error.add_note(f"kept as a dead letter: {where}")
        for each in self.errors[1:]:
            error.add_note(f"after this failed: {each}")
        return error

    def error_if_lost(self) -> DeadLetterError:
        """Return the error of a record whose letter is kept nowhere."""
        first = self.error
        lost = DeadLetterError(
            "the record failed and could not be kept: "
            + "; then: ".join(f"{type(each).__name__}: {each}" for each in self.errors),
            errors=tuple(self.errors),
            retriable=first.retriable,
            persisted=first.persisted,
            topic=first.topic,
            partition=first.partition,
            attempts=first.attempts,
        )
        lost.__cause__ = first
        return lost


def sender_like(
    producer: AsyncProducer[Any, Any] | ProducerWrapper[Any, Any],
) -> AsyncProducer[bytes, bytes]:
    """Return a producer of bytes with the settings of another."""
    config = producer.config.replace(
        key_serializer=None, value_serializer=None, partitioner=None, interceptors=None,
        client_id=f"{producer.client_id}-dead-letters",
    )  # fmt: skip
    return AsyncProducer(config=config.given)


def check(
    producer: AsyncProducer[Any, Any] | ProducerWrapper[Any, Any],
    topic: object,
    sender: AsyncProducer[Any, Any] | ProducerWrapper[Any, Any] | None,
    spool: str | os.PathLike[str] | None,
    on_lost: object,
    timeout: float,
    *,
    refused: type,
) -> None:
    """Raise :exc:`ConfigurationError` for what makes no sense together."""
    wrong = []
    if producer.config.transactional_id is not None:
        wrong.append(
            "a transaction with a failed record is aborted and run again as a whole: a"
            " transactional producer has no dead letters"
        )
    if sender is not None:
        wrong += _wrong_with(sender, refused)
        if topic is None:
            wrong.append("there is a sender, and no topic to send to")
    if topic is None and spool is None and on_lost is None:
        wrong.append("neither topic nor spool nor on_lost is given: letters would go nowhere")
    if inspect.iscoroutinefunction(on_lost):
        wrong.append("on_lost is a coroutine function; give a plain one, it may start a task")
    if not timeout > 0:
        wrong.append(f"timeout is a positive number of seconds, not {timeout!r}")
    if wrong:
        raise ConfigurationError("; ".join(wrong))
    if spool is not None:
        check_spool(spool)


def _wrong_with(
    sender: AsyncProducer[Any, Any] | ProducerWrapper[Any, Any], refused: type
) -> list[str]:
    wrong = []
    inner: object = sender
    while isinstance(inner, ProducerWrapper):
        if isinstance(inner, refused):
            wrong.append("the sender has dead letters itself: they could go round in a circle")
        inner = inner.producer
    config = sender.config
    if config.key_serializer is not None or config.value_serializer is not None:
        wrong.append("the sender has serializers, and letters are bytes already")
    if config.transactional_id is not None:
        wrong.append("the sender is transactional")
    return wrong
