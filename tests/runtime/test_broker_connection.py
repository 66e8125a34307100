"""Bytes between a transport and the protocol: each request gets exactly one call."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aioproducer.core.meters import NodeSample
from aioproducer.core.sampling import Meter
from aioproducer.errors import ClusterConnectionError, MalformedResponseError, ProducerError
from aioproducer.runtime.broker_connection import BrokerConnection
from aioproducer.runtime.stall import StallWatch
from aioproducer.wire.messages import Broker, MetadataRequest, MetadataResponse
from tests import broker_wire as wire
from tests.memory_transport import MemoryTransport
from tests.runtime.world import now, virtual_loop


class Conversation:
    """A connection on a transport in memory, and the broker's side of it by hand."""

    def __init__(self, *, request_timeout: float = 30.0, max_in_flight: int = 5) -> None:
        self.room = 0
        self.connection = BrokerConnection(
            "broker:9092",
            "me",
            meter=Meter(NodeSample, 2, 30.0, 0.0),
            watch=StallWatch("me"),
            request_timeout=request_timeout,
            max_in_flight=max_in_flight,
            on_room=self._on_room,
        )
        self.transport = MemoryTransport(self.connection)
        self.connection.connection_made(self.transport)
        self.calls: list[tuple[str, Any]] = []

    def _on_room(self) -> None:
        self.room += 1

    def send(self, number: int) -> None:
        self.connection.write(
            self.connection.send(
                MetadataRequest(()),
                12,
                lambda answer: self.calls.append(("answered", number)),
                lambda error: self.calls.append(("lost", number)),
            )
        )

    def answer(self, cluster_id: str = "x") -> None:
        """Answer the oldest request."""
        (size,) = wire.SIZE.unpack_from(self.transport.written)
        request = wire.read_request(bytes(self.transport.written[4 : 4 + size]))
        del self.transport.written[: 4 + size]
        body = wire.metadata_response(
            request.version, [Broker(1, "one", 1)], [], cluster_id=cluster_id
        )
        self.transport.deliver(wire.frame_response(request, body))


async def test_answers_reach_those_who_asked_in_order() -> None:
    talk = Conversation()
    for number in range(3):
        talk.send(number)
    assert talk.connection.in_flight == 3
    for _ in range(3):
        talk.answer()
    assert talk.calls == [("answered", 0), ("answered", 1), ("answered", 2)]
    assert talk.room == 3
    talk.connection.abort(ClusterConnectionError("end"))


async def test_there_is_room_for_as_many_as_may_be_in_flight() -> None:
    talk = Conversation(max_in_flight=2)
    assert talk.connection.has_room
    talk.send(0)
    assert talk.connection.has_room
    talk.send(1)
    assert not talk.connection.has_room
    talk.answer()
    assert talk.connection.has_room
    talk.connection.abort(ClusterConnectionError("end"))


async def test_a_transport_that_cannot_keep_up_is_given_nothing_more() -> None:
    talk = Conversation()
    talk.connection.pause_writing()
    assert not talk.connection.has_room
    talk.connection.resume_writing()
    assert talk.connection.has_room
    assert talk.room == 1


async def test_a_request_that_is_not_answered_in_time_closes_the_connection() -> None:
    """All behind it are late too; Kafka answers in order."""
    talk = Conversation(request_timeout=30.0)
    started = now()
    talk.send(0)
    await asyncio.sleep(10)
    talk.send(1)
    cause = await talk.connection.closed
    assert now() - started == 30.0
    assert talk.calls == [("lost", 0), ("lost", 1)]
    assert talk.transport.closed
    assert "did not answer within 30 s" in str(cause)
    assert not virtual_loop().pending_timers()


async def test_the_clock_goes_on_with_the_next_request_when_one_is_answered() -> None:
    talk = Conversation(request_timeout=30.0)
    started = now()
    talk.send(0)
    await asyncio.sleep(20)
    talk.send(1)
    talk.answer()
    await talk.connection.closed
    assert now() - started == 50.0
    assert talk.calls == [("answered", 0), ("lost", 1)]


async def test_a_quiet_connection_has_no_timer_for_ever() -> None:
    talk = Conversation(request_timeout=30.0)
    talk.send(0)
    talk.answer()
    await asyncio.sleep(31)
    assert not virtual_loop().pending_timers()
    assert talk.connection.is_open


async def test_a_lost_connection_tells_everybody_once() -> None:
    talk = Conversation()
    for number in range(3):
        talk.send(number)
    talk.answer()
    talk.transport.lose(ConnectionResetError("reset by peer"))
    cause = await talk.connection.closed
    assert talk.calls == [("answered", 0), ("lost", 1), ("lost", 2)]
    assert isinstance(cause, ClusterConnectionError)
    assert "reset by peer" in str(cause)
    assert isinstance(cause.__cause__, ConnectionResetError)
    assert not talk.connection.is_open


async def test_the_end_of_the_stream_is_the_end() -> None:
    talk = Conversation()
    talk.send(0)
    talk.transport.lose()
    cause = await talk.connection.closed
    assert talk.calls == [("lost", 0)]
    assert "closed the connection" in str(cause)


async def test_the_first_cause_stays() -> None:
    talk = Conversation()
    first = ClusterConnectionError("first")
    talk.connection.abort(first)
    talk.connection.abort(ClusterConnectionError("second"))
    talk.connection.connection_lost(ConnectionResetError())
    assert await talk.connection.closed is first


async def test_bytes_after_the_end_are_not_read() -> None:
    talk = Conversation()
    talk.send(0)
    talk.connection.abort(ClusterConnectionError("end"))
    talk.connection.data_received(b"\0\0\0\x04\0\0\0\0")
    assert talk.calls == [("lost", 0)]


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 400 Bad Request\r\n",
        b"\x15\x03\x03\x00\x02\x02\x46",
        b"\0\0\0\x04\0\0\0\x63",
        b"\xff\xff\xff\xff\xff\xff\xff\xff",
    ],
    ids=["http", "tls", "wrong correlation id", "negative size"],
)
async def test_bytes_that_are_no_answer_end_the_connection(data: bytes) -> None:
    talk = Conversation()
    talk.send(0)
    talk.transport.deliver(data)
    cause = await talk.connection.closed
    assert isinstance(cause, MalformedResponseError)
    assert talk.calls == [("lost", 0)]
    assert talk.transport.closed


async def test_half_an_answer_waits_for_the_other_half() -> None:
    talk = Conversation()
    talk.send(0)
    whole = bytearray()
    talk.transport.deliver = whole.extend  # type: ignore[method-assign]
    talk.answer()
    talk.connection.data_received(bytes(whole[:7]))
    assert not talk.calls
    talk.connection.data_received(bytes(whole[7:]))
    assert talk.calls == [("answered", 0)]
    talk.connection.abort(ClusterConnectionError("end"))


async def test_asking_gives_a_future_of_the_answer() -> None:
    talk = Conversation()
    answer = talk.connection.ask(MetadataRequest(()), 12)
    talk.answer("me")
    response = await answer
    assert isinstance(response, MetadataResponse)
    assert response.cluster_id == "me"
    talk.connection.abort(ClusterConnectionError("end"))


async def test_who_gives_up_waiting_does_not_shift_the_answers() -> None:
    talk = Conversation()
    first = talk.connection.ask(MetadataRequest(()), 12)
    second = talk.connection.ask(MetadataRequest(()), 12)
    first.cancel()
    talk.answer("one")
    talk.answer("two")
    assert (await second).cluster_id == "two"
    talk.connection.abort(ClusterConnectionError("end"))


async def test_each_who_asks_gets_his_own_error() -> None:
    talk = Conversation()
    asked = [talk.connection.ask(MetadataRequest(()), 12) for _ in range(2)]
    talk.transport.lose()
    errors = await asyncio.gather(*asked, return_exceptions=True)
    assert all(isinstance(error, ClusterConnectionError) for error in errors)
    assert errors[0] is not errors[1]


async def test_throttling_is_remembered_until_its_latest_end() -> None:
    talk = Conversation()
    talk.connection.throttle(500)
    talk.connection.throttle(100)
    assert talk.connection.throttled_until == now() + 0.5


async def test_an_unanswered_request_is_written_when_the_transport_holds_nothing_back() -> None:
    talk = Conversation()
    done: list[str] = []
    talk.connection.when_written(lambda: done.append("written"), lambda _: done.append("lost"))
    assert done == ["written"]


async def test_or_when_it_has_let_go_of_everything() -> None:
    talk = Conversation()
    done: list[str] = []
    talk.transport.get_write_buffer_size = lambda: 10  # type: ignore[method-assign]
    talk.connection.pause_writing()
    talk.connection.when_written(lambda: done.append("written"), lambda _: done.append("lost"))
    assert not done
    talk.connection.resume_writing()
    assert done == ["written"]


async def test_what_a_broker_does_not_take_in_time_ends_the_connection() -> None:
    """Nobody answers these requests, so that no answer can be late."""
    talk = Conversation(request_timeout=30)
    done: list[str] = []
    talk.transport.get_write_buffer_size = lambda: 10  # type: ignore[method-assign]
    talk.connection.pause_writing()
    talk.connection.when_written(lambda: done.append("written"), lambda _: done.append("lost"))
    await asyncio.sleep(29)
    assert not done
    await asyncio.sleep(2)
    assert done == ["lost"]
    assert talk.transport.closed


async def test_under_tls_both_transports_must_have_let_go() -> None:
    talk = Conversation()
    done: list[str] = []
    above = MemoryTransport(talk.connection)
    held = {"above": 10, "below": 10}
    talk.transport.get_write_buffer_size = lambda: held["below"]  # type: ignore[method-assign]
    above.get_write_buffer_size = lambda: held["above"]  # type: ignore[method-assign]
    talk.connection.encrypted(above)
    for _ in range(2):
        talk.connection.when_written(lambda: done.append("written"), lambda _: done.append("lost"))
    held["above"] = 0
    talk.connection.resume_writing()
    await asyncio.sleep(1)
    assert not done
    held["below"] = 0
    await asyncio.sleep(0.1)
    assert done == ["written"] * 2
    held["below"] = 10
    talk.connection.when_written(lambda: done.append("written"), lambda _: done.append("lost"))
    talk.connection.abort(ClusterConnectionError("end"))
    await asyncio.sleep(1)
    assert done == ["written", "written", "lost"]


async def test_or_it_is_lost_with_the_connection() -> None:
    talk = Conversation()
    done: list[str] = []
    talk.transport.get_write_buffer_size = lambda: 10  # type: ignore[method-assign]
    for _ in range(2):
        talk.connection.when_written(lambda: done.append("written"), lambda _: done.append("lost"))
        talk.connection.abort(ClusterConnectionError("end"))
    assert done == ["lost", "lost"]


async def test_an_abort_before_the_connection_is_made_ends_it_when_it_is() -> None:
    connection = BrokerConnection(
        "broker:9092",
        "me",
        meter=Meter(NodeSample, 2, 30.0, 0.0),
        watch=StallWatch("me"),
        request_timeout=1,
        max_in_flight=1,
        on_room=lambda: None,
    )
    connection.abort(ClusterConnectionError("too late"))
    transport = MemoryTransport(connection)
    connection.connection_made(transport)
    assert transport.closed
    assert isinstance(await connection.closed, ProducerError)
