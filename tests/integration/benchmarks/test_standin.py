"""The stand-in counts what is right and refuses what is not, in C and in Python alike."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from benchmarks.cluster import ClusterError
from benchmarks.standin import capacity
from benchmarks.standin.build import BuildError, compiler, run_tool
from benchmarks.standin.process import StandInProcess
from tests.conftest import skip_or_fail
from tests.integration.benchmarks.batches import Client, batch, record

pytestmark = pytest.mark.own_cluster

TOPIC = "counted"
CORRUPT, UNKNOWN_TOPIC, OUT_OF_ORDER, OLD_EPOCH = 2, 3, 45, 47


@pytest.fixture(scope="module", params=["C", "Python"])
def process(request: pytest.FixtureRequest) -> Iterator[StandInProcess]:
    in_python = request.param == "Python"
    if not in_python and compiler() is None:
        skip_or_fail("toolchains", "there is no C compiler")
    with StandInProcess(2, "records", in_python=in_python) as started:
        assert started.compiled is not in_python, started.description
        yield started


@pytest.fixture
def stand_in(process: StandInProcess) -> Iterator[StandInProcess]:
    process.create_topic(TOPIC, 3)
    process.reset()
    yield process
    process.verify("records")
    process.delete_topic(TOPIC)


@pytest.fixture
def client(stand_in: StandInProcess) -> Iterator[Client]:
    connected = Client(stand_in.bootstrap_servers)
    yield connected
    connected.close()


def test_right_batches_get_consecutive_offsets_and_are_counted(
    stand_in: StandInProcess, client: Client
) -> None:
    assert client.produce(TOPIC, batch(0)) == (0, 0)
    assert client.produce(TOPIC, batch(2, 3)) == (0, 2)
    assert client.produce(TOPIC, batch(0), partition=1) == (0, 0)

    counts = stand_in.counts()
    assert stand_in.record_count(TOPIC) == counts.records == counts.checked_records == 7
    assert (counts.batches, counts.requests, counts.checked_crcs) == (3, 3, 3)
    assert counts.bytes == 2 * len(batch(0)) + len(batch(2, 3))
    stand_in.check()


def test_a_wrong_crc_is_refused_and_told(stand_in: StandInProcess, client: Client) -> None:
    assert client.produce(TOPIC, batch(0, crc_off_by=1)).code == CORRUPT
    assert stand_in.counts().crc_errors == 1
    assert stand_in.record_count(TOPIC) == 0
    with pytest.raises(ClusterError, match="wrong CRC"):
        stand_in.check()


def test_without_verification_the_crc_is_not_looked_at(
    stand_in: StandInProcess, client: Client
) -> None:
    stand_in.verify("headers")
    assert client.produce(TOPIC, batch(0, crc_off_by=1)) == (0, 0)
    assert stand_in.counts().checked_crcs == 0


def test_a_repeated_batch_is_acknowledged_but_not_counted_again(
    stand_in: StandInProcess, client: Client
) -> None:
    client.produce(TOPIC, batch(0))
    client.produce(TOPIC, batch(2))
    assert client.produce(TOPIC, batch(0)) == (0, 0)
    assert client.produce(TOPIC, batch(2)) == (0, 2)
    assert stand_in.counts().duplicates == 2
    assert stand_in.record_count(TOPIC) == 4


@pytest.mark.parametrize("sequence", [1, 4, 2**31 - 1])
def test_a_gap_in_the_sequence_is_refused(
    stand_in: StandInProcess, client: Client, sequence: int
) -> None:
    assert client.produce(TOPIC, batch(sequence)).code == OUT_OF_ORDER
    assert stand_in.counts().sequence_errors == 1
    with pytest.raises(ClusterError, match=f"sequence {sequence} came where 0 was due"):
        stand_in.check()


def test_a_batch_that_left_the_memory_of_five_is_out_of_order(
    stand_in: StandInProcess, client: Client
) -> None:
    for number in range(6):
        assert client.produce(TOPIC, batch(2 * number)).code == 0
    assert client.produce(TOPIC, batch(2)).code == 0, "the fifth from the end is remembered"
    assert client.produce(TOPIC, batch(0)).code == OUT_OF_ORDER


def test_a_new_epoch_begins_at_zero_and_ends_the_old_one(
    stand_in: StandInProcess, client: Client
) -> None:
    client.produce(TOPIC, batch(0))
    assert client.produce(TOPIC, batch(2, epoch=1)).code == OUT_OF_ORDER
    assert client.produce(TOPIC, batch(0, epoch=1)) == (0, 2)
    assert client.produce(TOPIC, batch(2, epoch=0)).code == OLD_EPOCH


def test_producers_without_idempotence_have_no_sequence(
    stand_in: StandInProcess, client: Client
) -> None:
    plain = batch(-1, producer_id=-1, epoch=-1)
    assert client.produce(TOPIC, plain) == (0, 0)
    assert client.produce(TOPIC, plain) == (0, 2)
    stand_in.check()


@pytest.mark.parametrize(
    "body",
    [record(0) + record(0), record(0), record(0) + record(1) + b"\0", record(0) + b"\x7f", b""],
    ids=["a delta twice", "one too few", "bytes left", "cut short", "nothing"],
)
def test_records_that_do_not_add_up_are_refused(
    stand_in: StandInProcess, client: Client, body: bytes
) -> None:
    assert client.produce(TOPIC, batch(0, body=body)).code == CORRUPT
    assert stand_in.counts().record_errors == 1


@pytest.mark.parametrize(
    "data",
    [b"", batch(0)[:40], batch(0) + b"\0", batch(0, magic=1)],
    ids=["nothing", "half a header", "a length that differs", "an old format"],
)
def test_a_malformed_batch_is_refused(
    stand_in: StandInProcess, client: Client, data: bytes
) -> None:
    assert client.produce(TOPIC, data).code == CORRUPT
    assert stand_in.counts().malformed == 1


def test_unknown_topics_and_partitions_are_told(client: Client) -> None:
    assert client.produce("elsewhere", batch(0)).code == UNKNOWN_TOPIC
    assert client.produce(TOPIC, batch(0), partition=3).code == UNKNOWN_TOPIC


def test_a_request_that_nobody_offered_ends_the_connection(
    stand_in: StandInProcess, client: Client
) -> None:
    assert client.ask(42, 0, b"") == b""
    assert stand_in.counts().malformed == 1


def test_many_topics_are_made_counted_and_deleted_as_one(stand_in: StandInProcess) -> None:
    stand_in.create_topic("many", 2, topics=3)
    client = Client(stand_in.bootstrap_servers)
    try:
        client.produce("many.0", batch(0))
        client.produce("many.2", batch(0), partition=1)
        assert stand_in.record_count("many") == 4
        assert stand_in.record_count("many.2") == 2
        stand_in.delete_topic("many")
        assert stand_in.record_count("many") == 0
        assert client.produce("many.0", batch(2)).code == UNKNOWN_TOPIC
    finally:
        client.close()


def test_answers_can_be_held_back(stand_in: StandInProcess, client: Client) -> None:
    stand_in.delay(30)
    try:
        started = time.monotonic()
        assert client.produce(TOPIC, batch(0)) == (0, 0)
        assert time.monotonic() - started >= 0.03
    finally:
        stand_in.delay(0)


def test_nonsense_commands_are_refused(stand_in: StandInProcess) -> None:
    with pytest.raises(ClusterError, match="no such command"):
        stand_in._ask("dance")
    with pytest.raises(ClusterError, match="there already"):
        stand_in.create_topic(TOPIC, 1)


def test_what_a_compiler_complains_of_is_told() -> None:
    with pytest.raises(BuildError, match="nonsense"):
        run_tool(["ls", "--nonsense"], 90)
    with pytest.raises(BuildError, match="not-a-program"):
        run_tool(["not-a-program-anywhere"], 90)


def test_its_capacity_is_measured_with_batches_that_are_right(process: StandInProcess) -> None:
    process.create_topic("capacity", 4)
    try:
        found = capacity.measure(process, capacity.produce_request(150, 100), 0.05)
        counts = process.counts()
        assert counts.records == process.record_count("capacity") > 0
        assert counts.records == counts.checked_records
        assert found.megabytes_per_second > 0
    finally:
        process.delete_topic("capacity")
