"""The names of aiokafka's errors, and what stands for them where it is not installed."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import Any

import aiokafka.errors
import pytest

from aioproducer.compat.aiokafka import errors

THEIRS = {
    name: cls
    for name, cls in vars(aiokafka.errors).items()
    if inspect.isclass(cls) and issubclass(cls, Exception)
}
OWN = errors.make_classes()


def test_every_error_of_aiokafka_has_its_name_here() -> None:
    assert set(OWN) == set(THEIRS)
    assert errors.__all__ == sorted(THEIRS)


@pytest.mark.parametrize("name", sorted(THEIRS))
def test_where_aiokafka_is_installed_its_own_classes_are_raised(name: str) -> None:
    assert getattr(errors, name) is THEIRS[name]


@pytest.mark.parametrize("name", sorted(THEIRS))
def test_the_classes_for_elsewhere_are_like_them(name: str) -> None:
    own, theirs = OWN[name], THEIRS[name]

    assert own.__name__ == theirs.__name__
    assert [base.__name__ for base in own.__mro__] == [base.__name__ for base in theirs.__mro__]
    for attribute in ("retriable", "invalid_metadata"):
        assert getattr(own, attribute, None) == getattr(theirs, attribute, None)
    if name != "BrokerResponseError":
        assert getattr(own, "errno", None) == getattr(theirs, "errno", None)
    if name not in ("BrokerResponseError", "CommitFailedError"):
        assert str(own("words")) == str(theirs("words"))


@pytest.mark.parametrize("code", [-1, 0, 3, 6, 10, 56, 79, 4711])
def test_a_code_leads_to_the_same_class(code: int) -> None:
    assert errors.for_code(code) is aiokafka.errors.for_code(code)


def test_another_name_is_no_error() -> None:
    with pytest.raises(AttributeError, match="no error 'Nonsense'"):
        _ = errors.Nonsense


_WITHOUT = """
import sys
sys.modules["aiokafka"] = None
from aioproducer.compat.aiokafka import AIOKafkaProducer, TopicPartition, RecordMetadata
from aioproducer.compat.aiokafka.errors import KafkaError, KafkaTimeoutError
assert KafkaError.__module__ == "aioproducer.compat.aiokafka.errors"
assert issubclass(KafkaTimeoutError, KafkaError)
assert TopicPartition("t", 1) == ("t", 1)
print(RecordMetadata._fields)
"""


def test_without_aiokafka_everything_is_there_all_the_same() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT], capture_output=True, text=True, timeout=250, check=False
    )

    fields: Any = aiokafka.structs.RecordMetadata._fields
    assert (done.stderr, done.stdout.strip()) == ("", str(fields))
