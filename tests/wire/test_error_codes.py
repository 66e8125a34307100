from __future__ import annotations

import kafka.errors
import pytest
from kio.schema.errors import ErrorCode as KioErrorCode

from aioproducer.wire.error_codes import NAMES, ErrorCode, name_of
from tests.kafka_tables import kafka_errors


def test_codes_and_names_are_those_of_apaches_own_client():
    assert [(code.value, code.name) for code in ErrorCode] == [
        (error.code, error.name) for error in kafka_errors()
    ]


def test_codes_and_names_are_those_of_kio():
    assert {code.name.lower(): code.value for code in ErrorCode} == {
        code.name: code.value for code in KioErrorCode
    }


def test_each_code_that_kafka_python_knows_is_there():
    known = {
        cls.errno
        for cls in vars(kafka.errors).values()
        if isinstance(cls, type) and getattr(cls, "errno", None) is not None
    }

    assert known <= set(NAMES)


def test_codes_have_no_gap():
    assert sorted(ErrorCode) == list(range(-1, 134))


@pytest.mark.parametrize("code", ErrorCode)
def test_a_known_code_is_called_by_its_name(code):
    assert name_of(int(code)) == code.name


@pytest.mark.parametrize("code", [134, 999, -2, 32767, -32768])
def test_a_code_newer_than_the_list_is_called_by_its_number(code):
    assert name_of(code) == f"UNKNOWN({code})"
