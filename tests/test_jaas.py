"""`sasl.jaas.config` as Java's users write it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioproducer.jaas import parse_jaas

PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule"


@pytest.mark.parametrize(
    ("text", "module", "options"),
    [
        (
            f'{PLAIN} required username="alice" password="alice-secret";',
            "PlainLoginModule",
            {"username": "alice", "password": "alice-secret"},
        ),
        (
            f'{PLAIN}  required\n  username = "alice"\n  password="a=b; \\"c\\" \\\\d";\n',
            "PlainLoginModule",
            {"username": "alice", "password": 'a=b; "c" \\d'},
        ),
        ("ScramLoginModule REQUIRED username=u password=p tokenauth=true;", "ScramLoginModule",
         {"username": "u", "password": "p", "tokenauth": "true"}),
        (
            "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;",
            "OAuthBearerLoginModule",
            {},
        ),
        (f'{PLAIN} required username="" password="=";', "PlainLoginModule",
         {"username": "", "password": "="}),
    ],
)  # fmt: skip
def test_what_java_takes_is_understood(text: str, module: str, options: dict[str, str]) -> None:
    entry = parse_jaas(text)
    assert entry.module == module
    assert entry.options == options


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "with the ; at the end"),
        (f'{PLAIN} required username="alice" password="s3cret"', "with the ; at the end"),
        (f'{PLAIN} required username="alice" password="s3cret;', "never closed"),
        ('com.example.OtherModule required password="s3cret";', "not known here"),
        (f'{PLAIN} username="alice" password="s3cret";', "flag such as `required`"),
        (f'{PLAIN} required username "s3cret";', "its options as"),
        (f'{PLAIN} required "username"="s3cret";', "its options as"),
        (f'{PLAIN} required username="s3cret" username="s3cret";', "twice"),
        (f'{PLAIN} required a="s3cret"; {PLAIN} required;', "one login module only"),
    ],
)
def test_what_is_wrong_is_told_without_the_secrets(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as refusal:
        parse_jaas(text)
    assert "s3cret" not in str(refusal.value)


def test_the_options_are_not_shown() -> None:
    assert "s3cret" not in repr(parse_jaas(f'{PLAIN} required username="a" password="s3cret";'))


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse_jaas(text)
    except ValueError as error:
        assert str(error)


@given(st.dictionaries(st.sampled_from(["username", "password", "x"]), st.text(), max_size=3))
def test_any_value_survives_quoting(options: dict[str, str]) -> None:
    quoted = " ".join(
        '{}="{}"'.format(name, value.replace("\\", "\\\\").replace('"', '\\"'))
        for name, value in options.items()
    )
    assert parse_jaas(f"{PLAIN} required {quoted};").options == options
