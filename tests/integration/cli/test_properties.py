"""Settings files are read as java.util.Properties itself reads them."""

from __future__ import annotations

import base64
import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from aioproducer.cli.settings import SettingsError, parse_properties
from aioproducer.testing.java import java_program
from tests.conftest import skip_or_fail

ORACLE = Path(__file__).with_name("ReadProperties.java")

# All that means something to the format, and a little that does not.
PIECES = (
    "acks", "linger.ms", "a", "b", "é", "1", "=", ":", " ", "\t", "\f", "\\", "\\\\", "\\\n",
    "\\\r\n", "\\\r", "\n", "\r", "\r\n", "#", "!", "\\u0041", "\\u00e9", "\\uD83D\\uDE00",
    "\\u12", "\\u", "\\t", "\\n", "\\r", "\\f", "\\=", "\\:", "\\ ", "\\#", "\\q", "\u00a0",
    "\u2028", "\x0b", "\x1c", "\x85", "\"", "'", ",", "=\\\n  ",
)  # fmt: skip
TEXTS = 4000


def texts() -> list[str]:
    rng = random.Random(20_240_607)
    return ["".join(rng.choices(PIECES, k=rng.randint(0, 14))) for _ in range(TEXTS)]


def ours(text: str) -> dict[str, str] | None:
    try:
        # Half of a character is a question mark where Java writes UTF-8.
        found = parse_properties(text).items()
        return {key.replace("\ufffd", "?"): value.replace("\ufffd", "?") for key, value in found}
    except SettingsError:
        return None


def told_by_java(line: str) -> dict[str, str] | None:
    if line == "malformed":
        return None
    pairs = re.findall(r"'([^']*)'='([^']*)'", line)
    return {_text(key): _text(value) for key, value in pairs}


def _text(encoded: str) -> str:
    return base64.b64decode(encoded).decode("utf-8")


@pytest.mark.own_cluster
def test_every_text_means_what_it_means_to_java() -> None:
    java = java_program()
    if java is None or shutil.which("javac") is None:
        skip_or_fail("toolchains", "javac is not installed: Java's own reader cannot be asked")
    asked = texts()
    lines = "\n".join(base64.b64encode(text.encode()).decode() for text in asked)
    done = subprocess.run(
        [java, "-Xshare:auto", "-XX:TieredStopAtLevel=1", str(ORACLE)],
        input=lines + "\n", capture_output=True, text=True, timeout=240, check=True,
    )  # fmt: skip
    answers = done.stdout.splitlines()
    assert len(answers) == len(asked)
    malformed = 0
    for text, line in zip(asked, answers, strict=True):
        theirs = told_by_java(line)
        malformed += theirs is None
        assert ours(text) == theirs, repr(text)
    # It is asked about both kinds.
    assert 100 < malformed < TEXTS / 2
