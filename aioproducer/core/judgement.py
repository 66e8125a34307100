"""What an answer, or the lack of one, means for a batch: the rules of retry and of sequences."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from aioproducer.core.batch import Batch
from aioproducer.core.producer_identity import SequenceState
from aioproducer.core.verdict import Action, produce_verdict
from aioproducer.wire.error_codes import ErrorCode


class Ruling(enum.Enum):
    """What is done with a batch next."""

    DELIVER = enum.auto()
    RETRY = enum.auto()
    SPLIT = enum.auto()
    FAIL = enum.auto()


@dataclass(frozen=True, slots=True)
class Judgement:
    """A ruling and what follows from it for the partition."""

    ruling: Ruling
    refresh_metadata: bool = False
    # The partition's sequences have a gap or are in doubt: restart them under a higher epoch.
    breaks_sequence: bool = False
    # The broker said that this attempt was not appended.
    rejected: bool = True


DELIVER = Judgement(Ruling.DELIVER, rejected=False)


def judge_answer(
    batch: Batch,
    code: int,
    sequences: SequenceState | None,
    *,
    retries_left: bool,
    is_oldest: bool = False,
    transactional: bool = False,
) -> Judgement:
    """Return what the broker's ``code`` means for ``batch``.

    ``retries_left`` says whether the retry count and delivery.timeout.ms allow another attempt,
    ``is_oldest`` whether nothing before it in its partition is unsettled. In a transaction nothing
    is stamped anew: what cannot be repeated as it is fails, and the transaction with it.
    """
    verdict = produce_verdict(code)
    if verdict.action is Action.DELIVERED:
        return DELIVER
    if verdict.action is Action.SPLIT and batch.count > 1:
        # No retry, since nothing is sent a second time. The parts take over the batch's own
        # sequences: no gap.
        return Judgement(Ruling.SPLIT)
    if verdict.action is Action.SEQUENCE:
        return _judge_sequence(
            batch,
            code,
            sequences,
            retries_left=retries_left,
            is_oldest=is_oldest,
            transactional=transactional,
        )
    if verdict.action is Action.RETRY and retries_left:
        return Judgement(
            Ruling.RETRY, refresh_metadata=verdict.refresh_metadata, rejected=verdict.definite
        )
    return Judgement(
        Ruling.FAIL,
        refresh_metadata=verdict.refresh_metadata,
        breaks_sequence=sequences is not None,
        rejected=verdict.definite,
    )


def judge_lost(sequences: SequenceState | None, *, retries_left: bool) -> Judgement:
    """Return what follows when the connection ended before the answer: it may be written."""
    if retries_left:
        return Judgement(Ruling.RETRY, refresh_metadata=True, rejected=False)
    return Judgement(
        Ruling.FAIL,
        refresh_metadata=True,
        breaks_sequence=sequences is not None,
        rejected=False,
    )


def _judge_sequence(
    batch: Batch,
    code: int,
    sequences: SequenceState | None,
    *,
    retries_left: bool,
    is_oldest: bool,
    transactional: bool,
) -> Judgement:
    if sequences is None or not retries_left:
        return Judgement(Ruling.FAIL, breaks_sequence=sequences is not None)
    if (
        code == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
        and not sequences.broken
        and not is_oldest
        and not sequences.is_next_expected(batch)
    ):
        # A predecessor is being retried; once it is in, this one fits under its old stamp.
        return Judgement(Ruling.RETRY)
    if transactional:
        return Judgement(Ruling.FAIL, breaks_sequence=True)
    # The broker forgot the producer, or a predecessor is gone for good.
    return Judgement(Ruling.RETRY, breaks_sequence=True)
