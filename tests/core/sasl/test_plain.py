"""PLAIN: RFC 4616."""

from __future__ import annotations

import pytest

from aioproducer.core.sasl.plain import PlainClient
from aioproducer.errors import AuthenticationError


def test_name_and_password_go_out_at_once_and_nothing_after() -> None:
    client = PlainClient("tim", "tanstaaftanstaaf")
    assert client.step(b"") == b"\0tim\0tanstaaftanstaaf"
    assert client.step(b"") is None


def test_other_scripts_are_utf_8() -> None:
    assert PlainClient("Kurt", "xip\u5bc6").step(b"") == "\0Kurt\0xip\u5bc6".encode()


@pytest.mark.parametrize(("name", "password"), [("", "p"), ("n", ""), ("a\0b", "p"), ("n", "p\0")])
def test_what_cannot_be_sent_is_refused_without_repeating_it(name: str, password: str) -> None:
    with pytest.raises(AuthenticationError) as refusal:
        PlainClient(name, password)
    assert repr(password) not in str(refusal.value)
