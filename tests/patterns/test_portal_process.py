"""Portals when their process forks, and when it ends."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

from aioproducer import ProducerStateError
from aioproducer.patterns import ThreadPortal, portal_process
from tests.patterns.stub_producer import StubProducer
from tests.patterns.test_thread_portal import SOON, portal_of, until


def test_one_that_the_program_has_let_go_of_still_delivers_at_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    producer = StubProducer()
    monkeypatch.setattr(portal_process, "_portals", weakref.WeakSet())
    producer.hold = True

    def use() -> Any:
        portal: ThreadPortal[Any, Any] = ThreadPortal(lambda: producer)  # type: ignore[arg-type,return-value]
        return portal.send("t", b"v")

    future = use()
    until(lambda: len(producer.held) == 1)
    gc.collect()
    portal_process._exit_all()
    assert future.result(SOON).topic == "t"
    assert not portal_process._in_use


def test_one_that_does_not_end_leaves_the_others_their_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    producer = StubProducer()

    class Stuck:
        name = "stuck"

        def _exit(self) -> None:
            raise ProducerStateError("its event loop is held up")

    with portal_of(producer) as portal:
        portal.send("t", b"v")
        monkeypatch.setattr(portal_process, "_portals", [Stuck(), portal, Stuck()])
        portal_process._exit_all()
        assert producer.closed_with
    assert caplog.text.count("held up") == 2


def test_the_end_of_the_program_closes_within_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    producer = StubProducer()
    with portal_of(producer, exit_timeout=77) as portal:
        future = portal.send("t", b"v")
        monkeypatch.setattr(portal_process, "_portals", {portal})
        portal_process._exit_all()
        assert future.done()
        assert 0 < producer.closed_with[0] <= 77


def test_the_loop_stands_still_while_the_process_forks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Amid an import its thread would leave half a module to the child."""
    monkeypatch.setattr("aioproducer.patterns.portal_session._STAND_STILL", SOON)
    producer = StubProducer()
    with portal_of(producer) as portal:
        portal.send("t", b"v").result(SOON)
        monkeypatch.setattr(portal_process, "_portals", {portal})
        portal_process._park_all()
        future = portal.send("t", b"w")
        assert (future.done(), len(producer.sent)) == (False, 1)
        portal_process._go_on()
        future.result(SOON)


def test_a_fork_in_the_loop_s_own_thread_waits_for_nobody() -> None:
    async def fork(given: Any) -> int:
        portal_process._park_all()
        return len(portal_process._parked.go_on)

    with portal_of(StubProducer()) as portal:
        assert portal.run(fork) == 0
