"""The page for users who test says what runs: each of its programs is run as a user would."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.own_cluster
ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "testing.md"
INI = """
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
filterwarnings = error
"""


def programs(kind: str = "") -> dict[str, str]:
    """Return the page's programs by the names of their files."""
    found = re.findall(r"```python\n# (\S+\.py),?([^\n]*)\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return {name.rstrip(","): text for name, note, text in found if note.strip() == kind}


def test_every_snippet_is_a_program_with_a_name() -> None:
    text = PAGE.read_text()
    assert text.count("```python") == len(re.findall(r"```python\n# \S+\.py", text))


def test_the_programs_that_need_no_cluster_pass(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makeini(INI)
    for name, text in programs().items():
        (pytester.path / name).write_text(text)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    outcomes = result.parseoutcomes()
    assert set(outcomes) == {"passed"}
    assert outcomes["passed"] >= len(programs())


def test_the_programs_that_use_sockets_pass(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("AIOPRODUCER_BOOTSTRAP", raising=False)
    pytester.makeini(INI + "aioproducer_kafka = embedded\n")
    for name, text in programs("on sockets").items():
        (pytester.path / name).write_text(text)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    outcomes = result.parseoutcomes()
    assert set(outcomes) == {"passed"}
    assert outcomes["passed"] >= len(programs("on sockets"))
    result.stdout.fnmatch_lines(["*embedded cluster, 3 mock brokers of librdkafka*"])
