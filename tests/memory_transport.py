"""A transport without a socket: what is written goes to a peer, what the peer says is received."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any


class MemoryTransport(asyncio.Transport):
    """Keeps what was written; ``deliver`` and ``lose`` are what the other side does."""

    def __init__(
        self,
        protocol: asyncio.Protocol,
        *,
        on_write: Callable[[bytes], None] | None = None,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        super().__init__()
        self.written = bytearray()
        self.writes = 0
        self.closed = False
        self.limits: tuple[int | None, int | None] = (None, None)
        self._protocol = protocol
        self._on_write = on_write
        self._on_close = on_close
        self._loop = asyncio.get_running_loop()

    # What the protocol does

    def write(self, data: Any) -> None:
        self.writelines([data])

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        if self.closed:
            return
        data = b"".join(list_of_data)
        self.writes += 1
        if self._on_write is not None:
            self._on_write(data)
        else:
            self.written += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self._end(None)

    abort = close

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.limits = (high, low)

    def get_write_buffer_size(self) -> int:
        return 0

    # What the other side does

    def deliver(self, data: bytes) -> None:
        """Have the protocol receive ``data``, unless the connection is over."""
        if not self.closed:
            self._protocol.data_received(data)

    def lose(self, error: Exception | None = None) -> None:
        """End the connection from the other side."""
        if not self.closed and error is None and self._protocol.eof_received():
            return
        self._end(error)

    def _end(self, error: Exception | None) -> None:
        if self.closed:
            return
        self.closed = True
        if self._on_close is not None:
            self._on_close()
        # As asyncio does: never inside the call that ended it.
        self._loop.call_soon(self._protocol.connection_lost, error)
