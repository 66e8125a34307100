"""What a user asks a FaultProxy to break."""

from __future__ import annotations

from typing import Literal

from aioproducer.errors import BrokerError
from aioproducer.testing.proxy.errors import WITH_TOPICS, check_failable, code_of
from aioproducer.testing.proxy.faults import Act, Fault, FaultBook, Which
from aioproducer.testing.proxy.messages import API_NAMES, api_key

Moment = Literal["before", "during request", "after", "during answer"]


class Switches:
    """The faults of a proxy; each call returns one that counts and can be removed."""

    def __init__(self, seed: int | None) -> None:
        self.faults = FaultBook(seed)

    def fail(
        self,
        api: str | int,
        error: int | str | BrokerError | type[BrokerError],
        *,
        times: int | None = 1,
        skip: int = 0,
        probability: float = 1.0,
        broker: int | None = None,
        topic: str | None = None,
        client_id: str | None = None,
        executed: bool = False,
    ) -> Fault:
        """Answer the next requests with an error instead of having a broker work on them.

        Args:
            api: by Kafka's name or key, as "Produce".
            error: an error class of ``aioproducer.errors``, Kafka's name of the code, or the code.
            times: how many requests; ``None`` until the fault is removed.
            skip: how many requests pass before.
            probability: with which each request after that is struck.
            broker: only of this broker, by its id.
            topic: only what concerns this topic; the other topics of a produce request are
                delivered, other requests fail as a whole.
            client_id: only of this client.
            executed: the broker does what it is asked, and only the answer says otherwise.

        Metadata and Fetch are asked of the broker all the same, and the error is put into the
        answer's topics. A request without acks is answered as brokers do, by hanging up. Raises
        :exc:`ValueError` for an API whose answers the proxy cannot write.
        """
        key = check_failable(api_key(api))
        return self._add(
            Act.FAIL, key, times, skip, probability, broker, topic, client_id,
            code=code_of(error), executed=executed,
        )  # fmt: skip

    def delay(
        self,
        api: str | int | None,
        seconds: float,
        *,
        jitter: float = 0.0,
        at: Literal["request", "answer"] = "answer",
        times: int | None = 1,
        skip: int = 0,
        probability: float = 1.0,
        broker: int | None = None,
        topic: str | None = None,
        client_id: str | None = None,
    ) -> Fault:
        """Hold requests or answers, and what comes behind them on the connection, for ``seconds``.

        Up to ``jitter`` seconds are added by chance. ``api=None`` is every request, SASL and
        ApiVersions included. The other arguments are those of ``fail()``.
        """
        if seconds < 0 or jitter < 0:
            raise ValueError("a delay cannot be negative")
        key = None if api is None else api_key(api)
        return self._add(
            Act.DELAY, key, times, skip, probability, broker, topic, client_id,
            at=at, seconds=seconds, jitter=jitter,
        )  # fmt: skip

    def disconnect(
        self,
        api: str | int | None = None,
        *,
        at: Moment = "before",
        times: int | None = 1,
        skip: int = 0,
        probability: float = 1.0,
        broker: int | None = None,
        topic: str | None = None,
        client_id: str | None = None,
    ) -> Fault:
        """End the connection when a request comes by.

        ``at`` says when: "before" the broker gets it, "during request" after half of it, "after"
        the broker has answered but the client has heard nothing, "during answer" after half of
        that. The other arguments are those of ``fail()``.
        """
        key = None if api is None else api_key(api)
        return self._add(
            Act.DISCONNECT, key, times, skip, probability, broker, topic, client_id, at=at
        )

    def swallow(
        self,
        api: str | int | None = None,
        *,
        at: Literal["request", "answer"] = "answer",
        times: int | None = 1,
        skip: int = 0,
        probability: float = 1.0,
        broker: int | None = None,
        topic: str | None = None,
        client_id: str | None = None,
    ) -> Fault:
        """Lose a request, or the answer to one that was done; the connection stays.

        The arguments are those of ``fail()``.
        """
        key = None if api is None else api_key(api)
        return self._add(
            Act.SWALLOW, key, times, skip, probability, broker, topic, client_id, at=at
        )

    def _add(
        self,
        act: Act,
        api: int | None,
        times: int | None,
        skip: int,
        probability: float,
        broker: int | None,
        topic: str | None,
        client_id: str | None,
        *,
        at: str = "",
        code: int = 0,
        executed: bool = False,
        seconds: float = 0.0,
        jitter: float = 0.0,
    ) -> Fault:
        if topic is not None and api not in WITH_TOPICS:
            names = ", ".join(API_NAMES[key] for key in sorted(WITH_TOPICS))
            raise ValueError(f"topics are known of requests of these APIs: {names}")
        which = Which(api, broker, topic, client_id)
        fault = Fault(
            act, which, times, skip, probability,
            at=at, code=code, executed=executed, seconds=seconds, jitter=jitter,
        )  # fmt: skip
        return self.faults.add(fault)
