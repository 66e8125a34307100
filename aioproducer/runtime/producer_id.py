"""Keeps the producer id and epoch of an idempotent producer (KIP-98, KIP-360)."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable

from aioproducer.config import ProducerConfig
from aioproducer.core.backoff import backoff_ms
from aioproducer.core.producer_identity import ProducerIdentity, SequenceState
from aioproducer.core.verdict import Action, request_verdict
from aioproducer.errors import AuthenticationError, BrokerError, ProducerError, broker_error
from aioproducer.runtime.cluster import Cluster
from aioproducer.runtime.events import event
from aioproducer.wire.messages.init_producer_id import (
    InitProducerIdRequest,
    InitProducerIdResponse,
)
from aioproducer.wire.versions import ApiKey

logger = logging.getLogger("aioproducer")

_NO_TRANSACTION_TIMEOUT = 2**31 - 1


class ProducerIdKeeper:
    """Holds the identity and every partition's sequences; ``run`` is the task that asks for ids."""

    def __init__(
        self,
        config: ProducerConfig,
        client_id: str,
        cluster: Cluster,
        rng: random.Random,
        *,
        on_identity: Callable[[], None],
        on_refused: Callable[[ProducerError], None],
    ) -> None:
        self.identity: ProducerIdentity | None = None
        self._config = config
        self._client_id = client_id
        self._cluster = cluster
        self._rng = rng
        self._on_identity = on_identity
        self._on_refused = on_refused
        self._wanted = asyncio.Event()
        self._starts_at_zero = False
        # Kept also for topics long unused: the broker remembers their sequences too.
        self._sequences: dict[tuple[str, int], SequenceState] = {}

    def sequences(self, topic: str, index: int) -> SequenceState | None:
        """Return the partition's sequences; ``None`` without idempotence."""
        if not self._config.enable_idempotence:
            return None
        found = self._sequences.get((topic, index))
        if found is None:
            found = self._sequences[topic, index] = SequenceState()
            found.starts_at_zero = self._starts_at_zero
        return found

    def adopt(self, identity: ProducerIdentity, *, starts_at_zero: bool) -> None:
        """Take over the identity of a transactional id; all sequences begin anew."""
        self.identity = identity
        for sequences in self._sequences.values():
            sequences.forget(starts_at_zero=starts_at_zero)
        self._starts_at_zero = starts_at_zero

    def needs_renewal(self) -> bool:
        """Return whether some partition cannot go on under the present epoch."""
        return any(sequences.broken for sequences in self._sequences.values())

    def want(self) -> None:
        """Have a producer id acquired."""
        self._wanted.set()

    def renewed(self, old: ProducerIdentity | None) -> ProducerIdentity | None:
        """Return an identity newer than ``old``: a higher epoch, or a new id when they ran out."""
        if self.identity is not None and self.identity == old:
            self.identity = self.identity.bumped()
            logger.info(
                "[%s] sequences are in doubt, new identity %s",
                self._client_id,
                self.identity,
                extra=event("identity.renewed", self._client_id, identity=str(self.identity)),
            )
        if self.identity is None:
            self.want()
        return self.identity

    def renounce(self) -> None:
        """Let go of an id that another cluster gave: in this one it may be somebody else's."""
        if self.identity is None:
            return
        self.identity = None
        for sequences in self._sequences.values():
            if sequences.identity is not None:
                sequences.broken = True
        self.want()

    async def run(self) -> None:
        """Acquire an id whenever one is wanted, trying for ever; records expire by their own."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            attempt = 0
            while self.identity is None:
                error = await self._acquire()
                if error is None:
                    self._on_identity()
                    break
                if isinstance(error, BrokerError | AuthenticationError) and not error.retriable:
                    if isinstance(error, BrokerError):
                        logger.error(
                            "[%s] no producer id: %s",
                            self._client_id,
                            error,
                            extra=event("identity.refused", self._client_id, code=error.code),
                        )
                    self._on_refused(error)
                    # Who is refused asks again, but not for every record that comes.
                    await asyncio.sleep(self._config.retry_backoff_max_ms / 1000)
                    break
                config = self._config
                await asyncio.sleep(
                    backoff_ms(
                        config.retry_backoff_ms, config.retry_backoff_max_ms, attempt, self._rng
                    )
                    / 1000
                )
                attempt += 1

    async def _acquire(self) -> ProducerError | None:
        request = InitProducerIdRequest(None, _NO_TRANSACTION_TIMEOUT)
        try:
            answer = await self._cluster.request_any(request)
        except ProducerError as failure:
            return failure
        assert isinstance(answer, InitProducerIdResponse)
        verdict = request_verdict(ApiKey.INIT_PRODUCER_ID, answer.error_code)
        if verdict.action is Action.DELIVERED:
            self.identity = ProducerIdentity(answer.producer_id, answer.producer_epoch)
            return None
        error = broker_error(answer.error_code)
        error.retriable = verdict.action in (Action.RETRY, Action.COORDINATOR)
        return error
