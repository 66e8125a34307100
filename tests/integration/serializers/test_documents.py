"""Every program of docs/serialization.md runs, and prints what stands below it."""

from __future__ import annotations

import contextlib
import io
import re
import sys
import types
from pathlib import Path

import pytest

from tests.conftest import TopicFactory
from tests.serializers import messages

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "serialization.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", TEXT, re.DOTALL)
REGISTRY = "http://localhost:8081/apis/ccompat/v7"


def test_every_program_says_what_it_prints() -> None:
    assert len(PROGRAMS) == TEXT.count("```python\n") == TEXT.count("```text\n") >= 9


def test_every_format_has_one() -> None:
    programs = "".join(program for program, _ in PROGRAMS)
    for name in ("Avro", "Protobuf", "JsonSchema", "Json"):
        assert f"{name}Serializer(" in programs or f"{name}Serializer[" in programs
    for name in ("on_thread", "PerTopic", "AvroDeserializer", "ProtobufDeserializer"):
        assert f"{name}(" in programs


# Plain functions: each program runs a loop of its own.
@pytest.mark.parametrize("number", range(len(PROGRAMS)))
def test_it_runs(
    number: int,
    bootstrap: str,
    topic: TopicFactory,
    schema_registry: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program, printed = PROGRAMS[number]
    generated = types.ModuleType("orders_pb2")
    generated.__dict__.update(Order=messages.Order, Money=messages.Money)
    monkeypatch.setitem(sys.modules, "orders_pb2", generated)
    for name in ("orders", "inventory"):
        if f'"{name}' in program:
            # Topics and subjects of this test alone.
            program = program.replace(f'"{name}', f'"{topic()}')
    program = program.replace("localhost:9092", bootstrap)
    # A slow machine's.
    program = program.replace(f'"{REGISTRY}"', f'"{schema_registry}", {{"timeout": 120}}')
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(program, f"docs/serialization.md, program {number}", "exec"), {})
    assert output.getvalue() == printed
