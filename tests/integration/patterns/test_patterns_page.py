"""The page about patterns says what runs: each of its snippets is run, and looked at in Kafka."""

from __future__ import annotations

import os
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml

import aioproducer
from aioproducer.patterns import TransactionalProducerPool
from tests.conftest import TopicFactory
from tests.integration.committed import is_at, read_settled_async

PAGE = Path(__file__).parents[3] / "docs" / "transactions-patterns.md"


def _snippets(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.mark.parametrize("number", range(len(_snippets("python"))))
async def test_a_snippet_does_what_the_page_says(
    number: int, bootstrap: str, topic: TopicFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders, inventory = topic(), topic()
    monkeypatch.setenv("POD_NAME", f"{orders}-0")
    names: dict[str, Any] = {
        **{name: getattr(aioproducer, name) for name in aioproducer.__all__},
        "TransactionalProducerPool": TransactionalProducerPool,
        "os": os,
    }
    source = _snippets("python")[number]
    if "def book" not in source and "book" in source:
        source = _snippets("python")[1].split("\n\n\n")[0] + "\n\n\n" + source
    for name, real in (
        ("localhost:9092", bootstrap),
        ('"orders"', repr(orders)),
        ('"inventory"', repr(inventory)),
        ('"orders-tx-"', repr(f"{orders}-")),
        ('"outbox-orders"', repr(f"outbox-{orders}")),
        # A slow machine's.
        ("timeout=10)", "timeout=200)"),
    ):
        source = source.replace(name, real)
    body = textwrap.indent(source, "    ")
    exec(compile(f"async def snippet():\n{body}\n    return locals()\n", str(PAGE), "exec"), names)
    left = await names["snippet"]()

    if "pool = Transactional" in source:
        assert left["pool"].prefix == f"{orders}-{orders}-0-"
        assert left["pool"].idle == 4
        await left["pool"].close()
        return
    values = [r.value for r in await read_settled_async(bootstrap, orders)]
    assert values[0] == b"one espresso machine"
    if "inventory" in source:
        records = await read_settled_async(bootstrap, inventory)
        assert [record.value for record in records] == [b"-1 espresso machine"]
    if "outbox" in source:
        assert values == [b"one espresso machine", b"two cups"]
        await is_at(bootstrap, f"outbox-{orders}", orders, 18)


def test_the_stateful_set_is_one() -> None:
    (source,) = _snippets("yaml")
    manifest = yaml.safe_load(source)
    assert manifest["kind"] == "StatefulSet"
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    (variable,) = container["env"]
    assert variable["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"
    assert f'os.environ["{variable["name"]}"]' in PAGE.read_text()
