"""Settings from the command line and from files in Java's properties format."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from aioproducer.config_table import BY_NAME, Key, Refused

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}
_BYTES = re.compile(r"(\d+(?:\.\d+)?)\s*(|k|m|g|ki|mi|gi)b?(?:/s)?", re.IGNORECASE | re.ASCII)
# Java knows three blanks and three ends of a line; Python's \\s and splitlines() know many more.
_LINE_END = re.compile(r"\r\n|\n|\r")
_CONTINUED = re.compile(r"(?<!\\)(?:\\\\)*\\\Z")
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}
_ENTRY = re.compile(r"((?:\\.|[^\\=: \t\f])*)[ \t\f]*[=:]?[ \t\f]*(.*)", re.DOTALL)

_OPTION = re.compile(r"\s*([^=:\s]+)\s*=(.*)", re.DOTALL)
_KEY_ENDS = re.compile(r"[=:\s]")


class SettingsError(ValueError):
    """A file or an option cannot be read; the message says which and where."""


def read_settings(
    file: Path | None, bootstrap_server: str | None, properties: Sequence[str]
) -> dict[str, object]:
    """Return the settings of a file, with those of the command line above them.

    Raises:
        SettingsError: the file is missing or damaged, or an option is not KEY=VALUE.
    """
    settings: dict[str, object] = {} if file is None else dict(_read(file))
    for text in properties:
        option = _OPTION.fullmatch(text)
        if option is None:
            # No more of it is shown: what comes behind the key may be a password.
            key = _KEY_ENDS.split(text.strip(), maxsplit=1)[0]
            words = f"{key!r} has no = behind it" if key else "the key is missing"
            raise SettingsError(f"-X takes KEY=VALUE; {words}")
        settings[_plain(option[1])] = option[2].strip()
    if bootstrap_server is not None:
        settings["bootstrap.servers"] = bootstrap_server
    return settings


def parse_properties(text: str) -> dict[str, str]:
    r"""Return the entries of a file in Java's properties format; a later one of a key counts.

    Raises:
        SettingsError: four hexadecimal digits do not follow \u.
    """
    found = {}
    for line in _logical_lines(text):
        match = _ENTRY.fullmatch(line)
        assert match is not None
        found[_unescaped(match[1])] = _unescaped(match[2])
    return found


def byte_count(text: str) -> float:
    """Return a number of bytes such as 500k, 20MB or 1.5MiB.

    Raises:
        SettingsError: it is something else, or nothing.
    """
    match = _BYTES.fullmatch(text.strip())
    value = float(match[1]) * _UNITS[match[2].lower()] if match else 0.0
    if value <= 0:
        raise SettingsError(f"{text!r} is no number of bytes; write 500k, 20MB or 1.5MiB")
    return value


def _read(file: Path) -> dict[str, str]:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise SettingsError(f"cannot read {file}: {error.strerror}") from error
    if b"\0" in data:
        raise SettingsError(f"{file} is not a text file")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        # What Java takes every file for.
        text = data.decode("latin-1")
    try:
        entries = parse_properties(text)
    except SettingsError as error:
        raise SettingsError(f"cannot read {file}: {error}") from error
    settings: dict[str, str] = {}
    for name, value in entries.items():
        key = BY_NAME.get(name)
        if not (name or value):
            continue
        if key is not None and _says_nothing(key, value):
            continue
        settings[_plain(name)] = value
    return settings


def _says_nothing(key: Key, value: str) -> bool:
    """Return whether a file made for Java sets what only Java needs, or nothing at all."""
    only_java = key.python in ("key_serializer", "value_serializer") and value.startswith(
        "org.apache.kafka.common.serialization."
    )
    return only_java or (isinstance(key.status, Refused) and not value)


def _plain(name: str) -> str:
    key = BY_NAME.get(name)
    return name if key is None else key.kafka


def _logical_lines(text: str) -> Iterator[str]:
    """Put together what a backslash at the end continues; leave out comments and empty lines."""
    begun = ""
    lines = _LINE_END.split(text)
    if len(lines) > 1 and not lines[-1]:
        del lines[-1]
    for number, raw in enumerate(lines, 1):
        line = raw.lstrip(" \t\f")
        if not begun and (not line or line[0] in "#!"):
            continue
        if not _CONTINUED.search(line):
            yield begun + line
            begun = ""
            continue
        begun += line[:-1]
        if number == len(lines) and not begun and not text.endswith("\r\n"):
            # A backslash alone that ends a file is an entry to Java, of an empty key.
            yield ""
    if begun:
        yield begun


def _unescaped(text: str) -> str:
    def replacement(match: re.Match[str]) -> str:
        code = match[1]
        if code == "u":
            raise SettingsError(r"four hexadecimal digits have to follow \u")
        return chr(int(code[1:], 16)) if len(code) == 5 else _ESCAPES.get(code, code)

    # Java's characters are halves of those beyond 16 bits: two escapes make one.
    return (
        _ESCAPE.sub(replacement, text).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    )
