"""An event loop whose clock jumps to the next timer and whose sockets lead to brokers in memory.

An hour of linger takes no measurable time, and a forgotten wait fails with the word "deadlock"
instead of hanging.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import heapq
import itertools
import selectors
import socket
from collections.abc import Callable
from typing import Any, Protocol

_MOST_TURNS_AT_ONE_MOMENT = 20_000

Address = tuple[Any, ...]


class Peer(Protocol):
    """The listening side of a connection."""

    def accept(self, protocol: asyncio.Protocol) -> asyncio.Transport:
        """Return the transport that joins ``protocol`` to this peer."""


class Network(Protocol):
    """Where names and addresses lead."""

    async def resolve(self, host: str, port: int) -> list[tuple[int, Address]]:
        """Return families and addresses, or raise as ``getaddrinfo`` does."""

    async def connect(self, address: Address) -> Peer:
        """Return who listens at ``address``, or raise :exc:`OSError`."""


class _JumpingSelector(selectors.DefaultSelector):
    """Instead of waiting, moves the clock on."""

    loop: VirtualClockLoop
    turns = 0

    def select(self, timeout: float | None = None) -> list[Any]:
        events = super().select(0)
        if events or timeout == 0:
            self.turns += 1
            if self.turns > _MOST_TURNS_AT_ONE_MOMENT:
                self.turns = 0
                raise AssertionError("livelock: the loop turns and turns at one moment")
            return events
        self.turns = 0
        if timeout is None:
            raise AssertionError("deadlock: every task waits and no timer is armed")
        self.loop.jump(timeout)
        return events


class VirtualClockLoop(asyncio.SelectorEventLoop):
    """Runs real asyncio code in virtual time; only where bytes and time come from is replaced."""

    def __init__(self, network: Network | None = None) -> None:
        self.now = 1000.0
        self.network = network
        self.reported: list[dict[str, Any]] = []
        # Seconds for which callbacks of the application held the loop so far.
        self.blocked_for = 0.0
        self._blocked = False
        self._unread: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []
        self._outside: list[tuple[float, int, Callable[..., Any], tuple[Any, ...]]] = []
        self._numbers = itertools.count()
        self._dialled: dict[socket.socket, Peer] = {}
        selector = _JumpingSelector()
        selector.loop = self
        super().__init__(selector)
        self.set_exception_handler(lambda _, context: self.reported.append(context))

    def time(self) -> float:
        return self.now

    def jump(self, seconds: float) -> None:
        """Move the clock on, and exactly to the next timer in spite of rounding."""
        self.now += seconds
        timers: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]
        if timers and 0 < timers[0].when() - self.now < 1e-6:
            self.now = timers[0].when()

    # The world outside: it goes on while the application holds the loop

    def call_outside(self, when: float, callback: Callable[..., Any], *args: Any) -> None:
        """Have the network or a broker do something at ``when``, whatever this loop does then."""
        heapq.heappush(self._outside, (when, next(self._numbers), callback, args))
        self.call_at(when, self._go_on_outside, when)

    def _go_on_outside(self, until: float) -> None:
        while self._outside and self._outside[0][0] <= until:
            when, _, callback, args = heapq.heappop(self._outside)
            self.now = max(self.now, when)
            callback(*args)

    def block(self, seconds: float, *, timers_first: bool = False) -> None:
        """Hold the loop for that long, as an application does that computes in a callback.

        What arrives meanwhile waits in the sockets. asyncio reads them before it looks at its
        timers, uvloop after (``timers_first``).
        """
        end = self.now + seconds
        self.blocked_for += seconds
        self._blocked = True
        self._go_on_outside(end)
        self.now = end
        self._blocked = False
        if timers_first:
            self.call_at(end, self._read)
        else:
            self.call_soon(self._read)

    def reach(self, callback: Callable[..., Any], *args: Any) -> None:
        """Bring something to the application's side of a socket."""
        if self._blocked or self._unread:
            self._unread.append((callback, args))
        else:
            callback(*args)

    def _read(self) -> None:
        unread, self._unread = self._unread, []
        for callback, args in unread:
            callback(*args)

    def pending_timers(self) -> list[asyncio.TimerHandle]:
        """Return the timers that are armed; none may outlive what armed it."""
        return [timer for timer in self._scheduled if not timer.cancelled()]  # type: ignore[attr-defined]

    async def getaddrinfo(self, host: Any, port: Any, **_: Any) -> list[Any]:
        if self.network is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        found = await self.network.resolve(host, port)
        return [(family, socket.SOCK_STREAM, 6, "", address) for family, address in found]

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        assert self.network is not None
        self._dialled[sock] = await self.network.connect(address)

    async def create_connection(  # type: ignore[override]
        self, protocol_factory: Callable[[], Any], *, sock: socket.socket, **_: Any
    ) -> tuple[asyncio.Transport, Any]:
        peer = self._dialled.pop(sock)
        sock.close()
        protocol = protocol_factory()
        transport = peer.accept(protocol)
        protocol.connection_made(transport)
        return transport, protocol

    def run_in_executor(  # type: ignore[override]
        self, executor: concurrent.futures.Executor | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Do the work a millisecond later, in this thread: virtual time knows no threads."""
        future = self.create_future()

        def work() -> None:
            if future.cancelled():
                return
            try:
                future.set_result(func(*args))
            except Exception as error:  # noqa: BLE001
                future.set_exception(error)

        self.call_later(0.001, work)
        return future
