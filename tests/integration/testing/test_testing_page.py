"""The programs of docs/testing.md that use sockets, run as a user would."""

from __future__ import annotations

import pytest

from tests.testing.test_testing_page import INI, ROOT, programs

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.own_cluster


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
