"""The snippets about transactions in the documents do what the text around them says."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer

import aioproducer
from aioproducer import AsyncProducer
from aioproducer.offsets import group_metadata
from tests.conftest import TopicFactory
from tests.integration.transactions.helpers import new_id, visible

ROOT = Path(__file__).parents[3]
ORDER, STOCK = b"one espresso machine", b"-1 espresso machine"


def snippets(document: str) -> list[str]:
    """The Python blocks of a document that have to do with transactions."""
    text = (ROOT / document).read_text()
    found = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [snippet for snippet in found if "transaction" in snippet]


class Names:
    """Stands for the addresses and topics of the documents: real ones, used by this test alone."""

    def __init__(self, bootstrap: str, topic: TopicFactory) -> None:
        self.bootstrap = bootstrap
        self.topics = {name: topic() for name in ("orders", "inventory", "invoices")}
        self._suffix = new_id()

    def put_into(self, snippet: str) -> str:
        for name, real in self.topics.items():
            snippet = snippet.replace(f'"{name}"', f'"{real}"')
        snippet = snippet.replace('"localhost:9092"', f'"{self.bootstrap}"')
        snippet = re.sub(
            r'(transactional_id|group_id)="(\S+)"', rf'\1="\2-{self._suffix}"', snippet
        )
        return snippet.replace("timeout_ms=5000", "timeout_ms=1000")

    async def run(self, snippet: str) -> None:
        """Run a snippet as the interactive `python -m asyncio` would."""
        code = compile(self.put_into(snippet), "<snippet>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        names: dict[str, Any] = {
            **{name: getattr(aioproducer, name) for name in aioproducer.__all__},
            "AIOKafkaConsumer": AIOKafkaConsumer,
            "group_metadata": group_metadata,
        }
        outcome = eval(code, names)
        if inspect.isawaitable(outcome):
            await outcome

    async def visible(self, name: str) -> list[bytes | None]:
        return await visible(self.bootstrap, self.topics[name])


@pytest.fixture
def names(bootstrap: str, topic: TopicFactory) -> Names:
    return Names(bootstrap, topic)


DOCUMENTS = ["README.md", "docs/transactions.md"]


@pytest.mark.parametrize("document", DOCUMENTS)
async def test_the_first_snippet_commits_both_records(names: Names, document: str) -> None:
    await names.run(snippets(document)[0])
    assert await names.visible("orders") == [ORDER]
    assert await names.visible("inventory") == [STOCK]


@pytest.mark.parametrize("document", DOCUMENTS)
async def test_the_last_snippet_makes_an_invoice_of_each_order_once(
    names: Names, document: str
) -> None:
    async with AsyncProducer(names.bootstrap) as producer:
        orders = [b"%d" % number for number in range(100)]
        await asyncio.gather(*(producer.send(names.topics["orders"], each) for each in orders))
    async with asyncio.timeout(240):
        found: list[bytes | None] = []
        while len(found) < len(orders):
            # Ends when no record came for a while, however many there are: the next one goes on.
            await names.run(snippets(document)[-1])
            found = await names.visible("invoices")
    # Another run begins where the last one ended.
    await names.run(snippets(document)[-1])
    assert await names.visible("invoices") == [b"invoice for " + each for each in orders]


async def test_the_snippets_about_errors_commit_once_where_there_are_none(names: Names) -> None:
    retrying, by_name = snippets("docs/transactions.md")[1:3]
    await names.run(retrying)
    assert await names.visible("inventory") == [STOCK]
    await names.run(by_name)
    assert await names.visible("orders") == [ORDER, ORDER]


def test_every_snippet_is_run_by_a_test_above() -> None:
    assert len(snippets("README.md")) == 2
    assert len(snippets("docs/transactions.md")) == 4
