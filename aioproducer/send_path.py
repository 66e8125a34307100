"""The shortest way of a record, from the caller's ``send()`` to its batch."""

from __future__ import annotations

import asyncio
import os
import sys
import weakref
from asyncio import _get_running_loop
from collections.abc import Sequence
from typing import Any

from aioproducer import inlined
from aioproducer.delivery import Delivery
from aioproducer.records import Header
from aioproducer.runtime.intake import Intake

NO_LOOP = object()
# CPython 3.11 asks the kernel for the process id each time it is asked for the running loop, which
# took a twelfth of all CPU time. Its loops say in which thread they run; a fork is noticed below.
_ASKS_THE_KERNEL = sys.version_info < (3, 12)
NO_HEADERS: Sequence[Header] = ()


class SendPath:
    """``send()``, and where it leads while plain bytes can be taken.

    A class of its own, because it runs once per record and can be compiled.
    """

    __slots__ = ("_by_thread", "_loop", "_plain")

    def __init__(self) -> None:
        # The loop while running, else no loop at all: one comparison tells a wrong caller, be it
        # another loop, a thread, a forked child or a producer that is not running.
        self._loop: Any = NO_LOOP
        # Whether the loop's thread tells as much, with less ado.
        self._by_thread = False
        # Set while plain bytes may go straight to their batch.
        self._plain: Intake | None = None

    def _bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take records from ``loop`` from now on."""
        self._loop = loop
        self._by_thread = _ASKS_THE_KERNEL and isinstance(loop, asyncio.BaseEventLoop)
        _bound[id(self)] = self

    def _unbind(self) -> None:
        """Take no more records."""
        self._loop = NO_LOOP
        self._by_thread = False

    def send(
        self,
        topic: str,
        value: Any = None,
        *,
        key: Any = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        headers: Sequence[Header] = NO_HEADERS,
        timeout: float | None = None,
    ) -> Delivery:
        """Queue one record and return its Delivery; never blocks.

        ``partition=None`` lets the partitioner choose, ``timestamp_ms=None`` means now. With
        ``timeout`` seconds the Delivery fails after that time: the record is withdrawn if it still
        waits, else its error says ``persisted="maybe"``.

        Raises at once for misuse: :exc:`TypeError`, :exc:`ValueError`,
        :exc:`ProducerStateError`. Whatever concerns the value (serializer, partitioner, size, room)
        or the cluster arrives in the Delivery as a :exc:`ProducerError`. No room or no metadata
        yet, or a serializer that answers later: the record waits its turn for up to
        ``max.block.ms``, and keeps its place in the order of its partition.

        Follows KafkaProducer.send, but never blocks the caller.
        """
        if not isinstance(self, SendPath):
            # Compiled code would take whatever it was called with for one.
            raise TypeError(f"send() needs a producer, not {type(self).__name__}")
        plain = self._plain
        if (
            plain is not None
            and type(value) is bytes
            and (key is None or type(key) is bytes)
            and partition is None
            and timestamp_ms is None
            and headers is NO_HEADERS
            and timeout is None
            and type(topic) is str
            and (
                self._loop._thread_id == inlined.thread_ident()
                if self._by_thread
                else _get_running_loop() is self._loop
            )
        ):
            delivery = plain.accept_plain(topic, key, value)
            if delivery is not None:
                return delivery
        return self._send_any(topic, value, key, partition, timestamp_ms, headers, timeout)

    def _send_any(
        self,
        topic: str,
        value: Any,
        key: Any,
        partition: int | None,
        timestamp_ms: int | None,
        headers: Sequence[Header],
        timeout: float | None,
    ) -> Delivery:
        raise NotImplementedError  # the producer's own


# By id, for a producer's class may say of equality and hash what it likes.
_bound: weakref.WeakValueDictionary[int, SendPath] = weakref.WeakValueDictionary()


def _leave_to_the_parent() -> None:
    """In a forked child: the producers here are copies, whose loop and sockets are not ours."""
    for path in list(_bound.values()):
        path._unbind()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_the_parent)
