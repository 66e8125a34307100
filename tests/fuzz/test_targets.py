"""A fixed share of `make fuzz`, and that it would find what it looks for."""

from __future__ import annotations

import random
import time

import pytest

from aioproducer.errors import MalformedResponseError
from aioproducer.wire.primitives import Reader
from aioproducer.wire.versions import SPOKEN, ApiKey
from tests.fuzz import corpus, engine
from tests.fuzz.__main__ import _replay
from tests.fuzz.engine import attack, attempt
from tests.fuzz.mutate import mutated
from tests.fuzz.targets import Target, all_targets

SHARE = 100


@pytest.mark.parametrize("target", all_targets(), ids=lambda target: target.name)
def test_damaged_answers_are_read_or_refused(target: Target) -> None:
    """Nothing but the documented errors, within bounds of memory and time."""
    tally = attack(target, SHARE, "unit")
    assert tally.finding is None, tally.finding
    assert tally.inputs == SHARE


def test_much_is_refused_and_much_is_read() -> None:
    """Damage that is always found at the first byte would prove nothing about the others."""
    targets = [target for target in all_targets() if target.name.startswith("Metadata")]
    refused = sum(attack(target, 200, "balance").refused for target in targets)
    assert 0.2 < refused / (200 * len(targets)) < 0.9


@pytest.mark.parametrize("answer", corpus.answers(), ids=lambda a: f"{a.release} {a.api.name}")
def test_every_answer_recorded_from_a_real_broker_is_understood(answer: corpus.Answer) -> None:
    """To its last byte."""
    reader = Reader(answer.body)
    corpus.request_classes()[answer.api].Response.decode(reader, answer.version)
    reader.finish()


def test_every_version_that_is_spoken_was_recorded() -> None:
    """But logins, for another listener, and telemetry, for a plugin; `record.py` records."""
    unasked = {
        ApiKey.SASL_HANDSHAKE,
        ApiKey.SASL_AUTHENTICATE,
        ApiKey.GET_TELEMETRY_SUBSCRIPTIONS,
        ApiKey.PUSH_TELEMETRY,
    }
    recorded = {(answer.api, answer.version) for answer in corpus.answers()}
    asked = {each for each in corpus.spoken() if each[0] not in unasked}
    assert asked - recorded == set()


def test_topics_were_created_and_refused_in_the_answers_recorded() -> None:
    """Answers that are all alike would be little to begin from."""
    for api in (ApiKey.CREATE_TOPICS, ApiKey.DELETE_TOPICS):
        response = corpus.request_classes()[api].Response
        codes = {
            topic.error_code
            for answer in corpus.answers()
            if answer.api is api
            for topic in response.decode(Reader(answer.body), answer.version).topics
        }
        assert codes == {0, 36 if api is ApiKey.CREATE_TOPICS else 3}


@pytest.mark.parametrize("target", all_targets(), ids=lambda target: target.name)
def test_what_the_damage_is_done_to_is_sound(target: Target) -> None:
    """The handshake alone refuses the rich sample: no broker lacks as many APIs."""
    refused = [attempt(target, seed, measured=True)[0] for seed in target.seeds]
    assert not all(refused)


def test_every_version_that_is_spoken_is_attacked() -> None:
    names = {target.name for target in all_targets()}
    for api, (low, high) in SPOKEN.items():
        for version in range(low, high + 1):
            assert f"{api.kafka_name} v{version}" in names
            assert f"conversation: {api.kafka_name} v{version}" in names


def test_the_same_seed_does_the_same_damage() -> None:
    seeds = [b"abcdefgh" * 4, bytes(32)]
    first, second = random.Random(1), random.Random(1)
    one = [mutated(seeds, first) for _ in range(300)]
    assert one == [mutated(seeds, second) for _ in range(300)]
    assert len(set(one)) > 250


class TestFindings:
    """What must not happen is found, printed, and happens again when replayed."""

    def test_an_error_that_is_not_documented(self) -> None:
        def read(data: bytes) -> None:
            if 0xFF in data:
                raise IndexError("out of range")
            raise MalformedResponseError("documented")

        tally = attack(Target("buggy", [bytes(8)], read), 1000, 1)
        assert tally.finding is not None
        assert "IndexError: out of range" in tally.finding.what
        assert 0xFF in tally.finding.data
        assert f"--replay 'buggy={tally.finding.data.hex()}'" in str(tally.finding)
        assert tally.inputs == tally.refused + 1

    def test_memory_that_one_number_asks_for(self) -> None:
        def read(data: bytes) -> None:
            bytes(1 << 24)

        assert "16777" in attempt(Target("greedy", [b""], read), b"", measured=True)[1]

    def test_time_without_bound(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(engine, "_MOST_SECONDS", 0.1)

        def read(data: bytes) -> None:
            started = time.thread_time()
            while time.thread_time() - started < 0.2:
                pass

        assert "took 0." in attempt(Target("slow", [b""], read), b"", measured=False)[1]

    def test_a_replay_gives_one_input_to_one_target(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        [answer] = [a for a in corpus.answers() if a.api.name == "PRODUCE" and a.version == 13]
        assert _replay(f"Produce v13={answer.body.hex()}") == 0
        assert capsys.readouterr().out == "read\n"
        assert _replay(f"Produce v13={answer.body[:-1].hex()}") == 0
        assert capsys.readouterr().out == "refused\n"
