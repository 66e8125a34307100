"""Settings files are read as Java reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from aioproducer.cli.settings import SettingsError, byte_count, parse_properties, read_settings


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("acks=all", {"acks": "all"}),
        ("acks = all", {"acks": "all"}),
        ("acks: all", {"acks": "all"}),
        ("acks all", {"acks": "all"}),
        ("acks", {"acks": ""}),
        ("acks=", {"acks": ""}),
        ("# one\n! two\n\n  \t\nacks=1", {"acks": "1"}),
        ("acks=1\nacks=all", {"acks": "all"}),
        ("a=1,\\\n   2,\\\n   3", {"a": "1,2,3"}),
        ("a=x\\\n# no comment", {"a": "x# no comment"}),
        ("a=ends\\\\\nb=2", {"a": "ends\\", "b": "2"}),
        ("path=C:\\\\x\\ty", {"path": "C:\\x\ty"}),
        ("name=caf\\u00e9", {"name": "café"}),
        ("a\\ b\\=c=d=e", {"a b=c": "d=e"}),
        ("a = b # kept", {"a": "b # kept"}),
        ("a=b \r\nc=d", {"a": "b ", "c": "d"}),
        ("a=open\\", {"a": "open"}),
        ("a=b\u2028c\x0b\x85 \nb=\u00a0x", {"a": "b\u2028c\x0b\x85 ", "b": "\u00a0x"}),
        ("a\u00a0b=c", {"a\u00a0b": "c"}),
        ("a=b\rc=d", {"a": "b", "c": "d"}),
        ("a=\\uD83D\\uDE00", {"a": "\U0001f600"}),
        ("", {}),
    ],
)
def test_a_properties_file_is_read_as_java_does(text: str, expected: dict[str, str]) -> None:
    assert parse_properties(text) == expected


def test_the_command_line_beats_the_file(tmp_path: Path) -> None:
    file = tmp_path / "producer.properties"
    file.write_text("bootstrap.servers=a:1\nacks=1\nlinger.ms=7\n")
    settings = read_settings(file, "b:2", ["acks=all", "batch.size = 100"])
    assert settings == {
        "bootstrap.servers": "b:2", "acks": "all", "linger.ms": "7", "batch.size": "100",
    }  # fmt: skip


def test_both_names_of_a_key_are_one(tmp_path: Path) -> None:
    file = tmp_path / "producer.properties"
    file.write_text("linger_ms=7\n")
    assert read_settings(file, None, ["linger.ms=9"]) == {"linger.ms": "9"}


def test_what_only_java_needs_is_left_out(tmp_path: Path) -> None:
    """A file that a Java producer uses is to be checked as it is."""
    file = tmp_path / "producer.properties"
    serializer = "org.apache.kafka.common.serialization.StringSerializer"
    file.write_text(f"key.serializer={serializer}\nvalue.serializer={serializer}\nacks=all\n")
    assert read_settings(file, None, []) == {"acks": "all"}


@pytest.mark.parametrize("option", ["acks", "=1", " =1", ""])
def test_an_option_without_a_key_or_value_is_refused(option: str) -> None:
    with pytest.raises(SettingsError, match="KEY=VALUE"):
        read_settings(None, None, [option])


@pytest.mark.parametrize(
    "option",
    [
        "sasl.password:hunter2",
        "sasl.password hunter2",
        "sasl.password: hunter2==",
        " sasl.password\thunter2=",
        "=hunter2",
        ":hunter2",
    ],
)
def test_what_stands_where_a_value_does_is_not_shown(option: str) -> None:
    with pytest.raises(SettingsError, match="KEY=VALUE") as caught:
        read_settings(None, None, [option])
    assert "hunter2" not in str(caught.value)
    assert ("sasl.password" in str(caught.value)) == ("sasl.password" in option)


def test_a_value_may_have_anything_in_it() -> None:
    options = ["a= b: c=d ", "sasl.jaas.config=one\ntwo"]
    assert read_settings(None, None, options) == {"a": "b: c=d", "sasl.jaas.config": "one\ntwo"}


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.properties: No such file"):
        read_settings(tmp_path / "nowhere.properties", None, [])
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="not a text file"):
        read_settings(binary, None, [])


def test_an_escape_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "producer.properties"
    file.write_text("a=\\u12\n")
    with pytest.raises(SettingsError, match=r"producer\.properties: four hexadecimal digits"):
        read_settings(file, None, [])


def test_a_file_that_is_no_utf8_is_read_as_java_reads_every_file(tmp_path: Path) -> None:
    file = tmp_path / "producer.properties"
    file.write_bytes(b"client.id=caf\xe9\n")
    assert read_settings(file, None, []) == {"client.id": "café"}
    file.write_bytes("client.id=café\n".encode())
    assert read_settings(file, None, []) == {"client.id": "café"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [("500", 500), ("500k", 5e5), ("20MB", 2e7), ("1.5MiB", 1.5 * 2**20), ("2 GB/s", 2e9)],
)
def test_numbers_of_bytes(text: str, expected: float) -> None:
    assert byte_count(text) == expected


@pytest.mark.parametrize("text", ["", "0", "-5", "many", "5 bytes", "1e6", "٣"])
def test_what_is_no_number_of_bytes_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="no number of bytes"):
        byte_count(text)
