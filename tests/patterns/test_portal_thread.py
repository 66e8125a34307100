"""The thread of a portal and its loop: when it begins, and when it dies."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from aioproducer import ConfigurationError, ProducerClosedError
from aioproducer.patterns import ThreadPortal
from tests.patterns.stub_producer import StubProducer
from tests.patterns.test_thread_portal import SOON, portal_of


def test_the_thread_begins_with_the_first_use_and_has_the_portal_s_name() -> None:
    producer = StubProducer()
    with portal_of(producer) as portal:
        assert not producer.started.is_set()
        portal.send("t", b"v").result(SOON)
        assert portal.name in [thread.name for thread in threading.enumerate() if thread.daemon]
    assert portal.name not in [thread.name for thread in threading.enumerate()]


def test_uvloop_that_is_not_there_is_named_with_its_extra(monkeypatch: Any) -> None:
    monkeypatch.setitem(__import__("sys").modules, "uvloop", None)
    with pytest.raises(ConfigurationError, match=r"aioproducer\[uvloop\]"):
        ThreadPortal(lambda: StubProducer(), uvloop=True)  # type: ignore[arg-type,return-value]


def test_a_thread_that_dies_resolves_every_future_with_the_cause(
    caplog: pytest.LogCaptureFixture,
) -> None:
    producer = StubProducer()
    producer.hold = True

    async def exit_(given: Any) -> None:
        raise SystemExit(3)

    with portal_of(producer) as portal:
        future = portal.send("t", b"v")
        with pytest.raises((ProducerClosedError, SystemExit)):
            portal.run(exit_)
        with pytest.raises(ProducerClosedError):
            future.result(SOON)
    assert "its thread has died" in caplog.text
