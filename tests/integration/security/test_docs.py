"""docs/security.md shows what the tests run, and says what the producer says."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.security import snippets

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "security.md").read_text()
# The formatter sets off a function by two blank lines at the top level, and by one within another.
BLOCKS = [
    re.sub(r"\n{3,}", "\n\n", block)
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
]
PROVIDERS = [block for block in BLOCKS if "aioproducer.providers" in block]
FUNCTIONS = [
    function
    for _, function in inspect.getmembers(snippets, inspect.iscoroutinefunction)
    if function.__module__ == snippets.__name__
]

# What the program fills in, and where its words are cut.
FILLED_IN = (
    r"Authentication failed|SCRAM-SHA-512|127\.0\.0\.1|kafka@|ConnectionRefusedError|\{|\(|\.\.\."
)

pytestmark = pytest.mark.own_cluster


def body_of(function: Callable[..., object]) -> str:
    """Return the body of a snippet, as the page shows it."""
    return textwrap.dedent(inspect.getsource(function).partition(") -> None:\n")[2])


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_each_snippet_is_on_the_page_letter_for_letter(function: Callable[..., object]) -> None:
    assert body_of(function) in BLOCKS


def test_the_page_shows_nothing_else() -> None:
    """But the providers for clouds, which no test can reach."""
    assert len(PROVIDERS) == 2
    assert set(BLOCKS) - set(PROVIDERS) == {body_of(function) for function in FUNCTIONS}


@pytest.mark.parametrize("block", PROVIDERS)
def test_the_examples_of_the_providers_are_programs(block: str) -> None:
    compile(block, "docs/security.md", "exec")


def test_every_message_of_the_page_is_in_the_source() -> None:
    """Reduced to its letters: the source breaks lines, and fills in names."""
    table = re.findall(r"^\| [^|]+ \| `([^`]+)` \|$", PAGE, re.MULTILINE)
    source = "".join(path.read_text() for path in (ROOT / "aioproducer").rglob("*.py"))
    letters = re.sub(r"\W|f(?=\")", "", re.sub(r"\"\s*f?\"", "", source))
    assert len(table) > 10
    for message in table:
        words = re.split(FILLED_IN, message)
        longest = max(words, key=len)
        assert re.sub(r"\W", "", longest) in letters, message
