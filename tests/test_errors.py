from __future__ import annotations

import copy
import pickle

import pytest

from aioproducer import errors
from aioproducer.errors import (
    BrokerError,
    BufferExhaustedError,
    ClusterConnectionError,
    ConfigurationError,
    DeliveryTimeoutError,
    MessageTooLargeError,
    NotLeaderOrFollowerError,
    ProducerError,
    ProducerStateError,
    ProducerTimeoutError,
    RecordTooLargeError,
    broker_error,
    broker_error_classes,
)
from aioproducer.wire.error_codes import ErrorCode
from tests.kafka_tables import kafka_errors

ALL_CLASSES = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, ProducerError)
]
FAILURES = [error for error in kafka_errors() if error.code != 0]


def class_name_of(kafka_name: str) -> str:
    words = kafka_name.split("_")
    if words[-1] in ("EXCEPTION", "ERROR"):
        del words[-1]
    return "".join(word.capitalize() for word in words) + "Error"


@pytest.mark.parametrize("expected", FAILURES, ids=lambda error: error.name)
def test_each_code_of_kafka_has_a_class_named_after_it(expected):
    cls = broker_error_classes()[expected.code]

    assert cls is getattr(errors, class_name_of(expected.name))
    assert cls.code == expected.code
    assert cls().name == expected.name
    assert cls.retriable is expected.retriable


def test_classes_and_code_table_hold_the_same_codes():
    assert set(broker_error_classes()) == set(map(int, ErrorCode)) - {ErrorCode.NONE}
    assert {code: cls().name for code, cls in broker_error_classes().items()} == {
        code.value: code.name for code in ErrorCode if code is not ErrorCode.NONE
    }


def test_a_place_that_the_words_of_the_cause_have_told_is_not_told_again():
    cause = ProducerError("no such topic", topic="orders")
    assert str(ProducerError(f"gave up: {cause}", topic="orders")).count("orders") == 1
    assert str(ProducerError(f"gave up: {cause}", topic="others")).endswith("(topic 'others')")


@pytest.mark.parametrize("cls", ALL_CLASSES)
def test_every_error_can_be_made_bare_and_says_something(cls):
    error = cls()

    assert str(error)
    assert cls.__doc__
    assert error.persisted == "no"
    assert error.topic is None
    assert error.partition is None
    assert error.attempts == 0


@pytest.mark.parametrize(
    "cls",
    [
        cls
        for cls in ALL_CLASSES
        if cls
        not in (
            ProducerError,
            ProducerStateError,
            ProducerTimeoutError,
        )
    ],
)
def test_every_error_says_what_next(cls):
    assert cls.what_next.endswith(".")


def test_the_words_of_a_broker_error_name_the_code_and_the_place():
    error = broker_error(6, "moved away", topic="orders", partition=3, attempts=2)

    assert type(error) is NotLeaderOrFollowerError
    assert error.broker_message == "moved away"
    assert str(error) == (
        "NOT_LEADER_OR_FOLLOWER (6): moved away (topic 'orders', partition 3, after 2 attempts)"
    )
    assert error.message == "NOT_LEADER_OR_FOLLOWER (6): moved away"


def test_without_words_of_the_broker_the_code_is_explained():
    assert str(broker_error(29)) == (
        "TOPIC_AUTHORIZATION_FAILED (29): The principal may not write to this topic."
    )


def test_an_unknown_code_keeps_its_number():
    error = broker_error(999, "from the future", persisted="maybe")

    assert type(error) is BrokerError
    assert error.code == 999
    assert error.name == "UNKNOWN(999)"
    assert error.persisted == "maybe"
    assert not error.retriable
    assert str(error) == "unknown error code 999: from the future"
    assert BrokerError.code == -1


def test_arguments_override_what_the_class_says():
    error = NotLeaderOrFollowerError(retriable=False, what_next="Wait.")

    assert not error.retriable
    assert error.what_next == "Wait."
    assert NotLeaderOrFollowerError.retriable
    assert NotLeaderOrFollowerError.what_next != "Wait."


def test_errors_are_caught_by_the_builtin_that_python_programs_expect():
    assert issubclass(ConfigurationError, ValueError)
    assert issubclass(ProducerStateError, RuntimeError)
    assert issubclass(ProducerTimeoutError, TimeoutError)
    with pytest.raises(TimeoutError, match="too late"):
        raise DeliveryTimeoutError("too late")


def test_a_record_too_large_for_the_broker_is_caught_like_one_too_large_for_the_client():
    error = broker_error(10)

    assert type(error) is MessageTooLargeError
    assert isinstance(error, RecordTooLargeError)
    assert error.code == 10


@pytest.mark.parametrize(
    "error",
    [
        DeliveryTimeoutError("late", persisted="maybe", topic="t", partition=1, attempts=4),
        broker_error(6, "moved", topic="t"),
        broker_error(999),
        ClusterConnectionError("nobody there", addresses=("a:1", "b:2")),
        ConfigurationError("wrong"),
        BufferExhaustedError("full", retriable=False, what_next="Stop."),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_replica_is_equal_but_has_a_traceback_of_its_own(error):
    cause = OSError("unplugged")
    try:
        raise error from cause
    except ProducerError:
        twin = error.replica()

    assert type(twin) is type(error)
    assert twin is not error
    assert vars(twin) == vars(error)
    assert str(twin) == str(error)
    assert twin.__cause__ is cause
    assert twin.__traceback__ is None
    assert error.__traceback__ is not None


def test_a_note_added_to_one_replica_does_not_show_in_another():
    error = DeliveryTimeoutError("late")
    error.add_note("first")
    twin = error.replica()
    twin.add_note("second")

    assert error.__notes__ == ["first"]
    assert twin.__notes__ == ["first", "second"]


def test_a_replica_of_a_subclass_with_other_arguments_can_be_made():
    class OwnError(ProducerError):
        def __init__(self, number: int) -> None:
            super().__init__(f"number {number}")
            self.number = number

    twin = OwnError(7).replica()

    assert twin.number == 7
    assert str(twin) == "number 7"


@pytest.mark.parametrize("cls", ALL_CLASSES)
def test_errors_survive_pickle_and_copy(cls):
    error = cls("words", persisted="maybe", topic="t", partition=0, attempts=1)

    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(twin) is cls
        assert str(twin) == str(error)
        assert vars(twin) == vars(error)
