"""What `aioproducer produce` sends, and when it stops; with Kafka in tests/integration/cli."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from aioproducer.cli.exit_status import Exit
from aioproducer.cli.produce import ProduceOptions, run_produce
from aioproducer.cli.settings import SettingsError
from aioproducer.errors import DeliveryTimeoutError, ProducerStateError
from tests.cli.fake_producer import FakeProducer


def produced(
    producer: FakeProducer, text: bytes, out: io.StringIO | None = None, **options: Any
) -> int:
    return run_produce(
        {"bootstrap.servers": "a:1"},
        ProduceOptions(topic="orders", loop="asyncio", **options),
        out or io.StringIO(),
        io.BytesIO(text),
        producer.make,
    )


def values(producer: FakeProducer) -> list[bytes | None]:
    return [record.value for record in producer.sent]


def interrupt_once(producer: FakeProducer) -> None:
    """Press Ctrl-C at its first record."""

    def interrupt(record: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        producer.on_send = lambda record: None

    producer.on_send = interrupt


def test_each_line_that_is_not_empty_is_sent() -> None:
    producer = FakeProducer()
    assert produced(producer, b"a\n\nb\r\n\r\nc") == Exit.OK
    assert values(producer) == [b"a", b"b", b"c"]
    assert producer.given == {"config": {"bootstrap.servers": "a:1"}}
    assert producer.closes == [None]


def test_what_is_fixed_goes_with_each_record() -> None:
    producer = FakeProducer()
    options = {
        "key_separator": b":", "headers": (("h", b"v"),), "partition": 2, "profile": "latency",
    }  # fmt: skip
    assert produced(producer, b"k:v\n", **options) == Exit.OK
    [record] = producer.sent
    assert (record.key, record.value, record.partition) == (b"k", b"v", 2)
    assert record.headers == (("h", b"v"),)
    assert producer.given["profile"] == "latency"


def test_a_malformed_line_stops_it_and_what_stands_before_is_delivered(
    capsys: pytest.CaptureFixture[str],
) -> None:
    producer, out = FakeProducer(), io.StringIO()
    text = b'{"value": "a"}\n\nnonsense\n{"value": "b"}\n'
    assert produced(producer, text, out, json_lines=True, as_json=True) == Exit.MALFORMED
    assert values(producer) == [b"a"]
    assert capsys.readouterr().err.startswith("aioproducer: standard input:3: no JSON: ")
    told = json.loads(out.getvalue())
    assert (told["delivered"], told["malformed"]) == (1, 1)
    assert told["malformed_lines"][0].startswith("standard input:3: ")


def test_malformed_lines_can_be_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    producer = FakeProducer()
    file = tmp_path / "orders"
    file.write_bytes(b"k:a\nnonsense\nk:b\n")
    status = produced(
        producer, b"k:c\n", key_separator=b":", skip_malformed=True, files=(file, Path("-"))
    )
    assert status == Exit.OK
    assert values(producer) == [b"a", b"b", b"c"]
    told = capsys.readouterr().err
    assert f"aioproducer: {file}:2: no ':' between key and value\n" in told
    assert "left out, as they are no records: 1 lines" in told


def test_records_that_fail_show_in_the_status() -> None:
    producer = FakeProducer(errors={b"bad": DeliveryTimeoutError("too late")})
    out = io.StringIO()
    assert produced(producer, b"good\nbad\n", out, as_json=True) == Exit.FAILED
    told = json.loads(out.getvalue())
    assert (told["delivered"], told["failed"]) == (1, 1)


def test_failures_weigh_more_than_malformed_lines() -> None:
    producer = FakeProducer(errors={b"bad": DeliveryTimeoutError("too late")})
    assert produced(producer, b"k:bad\nnonsense\n", key_separator=b":") == Exit.FAILED


def test_without_room_it_waits() -> None:
    producer = FakeProducer()
    producer.no_room = 3
    assert produced(producer, b"a\nb\n") == Exit.OK
    assert producer.drains == 5


class Endless(io.BytesIO):
    """Always has two lines and a half."""

    pieces = 0

    def read(self, size: int | None = -1) -> bytes:
        self.pieces += 1
        return b"%d\nend\nbegin" % self.pieces


def test_an_interruption_sends_what_was_read_and_reads_no_more() -> None:
    producer, out, source = FakeProducer(), io.StringIO(), Endless()
    interrupt_once(producer)
    options = ProduceOptions(topic="orders", as_json=True)
    assert run_produce({}, options, out, source, producer.make) == Exit.INTERRUPTED
    told = json.loads(out.getvalue())
    assert told["delivered"] == len(producer.sent) == 2 * source.pieces
    assert producer.sent[-1].value == b"end"
    assert told["interrupted"]
    assert 10.0 in producer.closes


def test_a_second_interruption_leaves_and_tells_what_it_left() -> None:
    producer, out = FakeProducer(holds=True), io.StringIO()

    def interrupt(record: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    producer.on_send = interrupt
    assert produced(producer, b"a\nb\nc\n" * 9, out, as_json=True) == Exit.INTERRUPTED
    assert producer.closes[-1] == 0.0
    told = json.loads(out.getvalue())
    assert told["delivered"] == 0
    assert told["failed"] == len(producer.sent)


def test_a_second_interruption_is_heard_while_what_was_read_is_sent() -> None:
    """One piece may have a million lines; the loop has its turns between them."""
    producer, out = FakeProducer(), io.StringIO()
    # Once it is to stop there is no room either, which holds up nobody.
    producer.no_room = 1_000_000

    def interrupt(record: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    producer.on_send = interrupt
    assert produced(producer, b"a\n" * 100_000, out, as_json=True) == Exit.INTERRUPTED
    assert len(producer.sent) < 100_000
    assert json.loads(out.getvalue())["delivered"] == len(producer.sent)


def test_a_rate_that_lasts_an_hour_does_not_hold_up_an_interruption() -> None:
    producer = FakeProducer()
    interrupt_once(producer)
    assert produced(producer, b"a\nb\nc\n", rate=1 / 3600) == Exit.INTERRUPTED
    assert values(producer) == [b"a", b"b", b"c"]


def test_a_producer_that_dies_is_reported_with_what_it_had_done() -> None:
    producer, out = FakeProducer(), io.StringIO()

    def die(record: object) -> None:
        raise ProducerStateError("a task died")

    def first(record: object) -> None:
        producer.on_send = die

    producer.on_send = first
    with pytest.raises(ProducerStateError):
        produced(producer, b"a\nb\n", out, as_json=True)
    assert json.loads(out.getvalue())["delivered"] == 1


def test_without_any_standard_input_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(SettingsError, match="no standard input"):
        run_produce({}, ProduceOptions(topic="orders"), io.StringIO(), None, FakeProducer().make)


@pytest.mark.parametrize("options", [{"files": (Path("/nowhere"),)}, {"partition": -1}])
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        produced(FakeProducer(), b"", **options)
