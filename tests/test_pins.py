"""The rules about versions of other packages, and that ours keep them."""

from __future__ import annotations

import copy
import tomllib
from typing import Any

import pytest

from tools.check_pins import ROOT, main, problems

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_our_requirements_keep_the_rules(capsys: pytest.CaptureFixture[str]) -> None:
    assert main() == 0, capsys.readouterr().err


@pytest.mark.parametrize(
    ("requirement", "words"),
    [
        ("something", "no lower bound"),
        ("something<3", "no lower bound"),
        ("something[extra]; sys_platform == 'linux'", "no lower bound"),
        ("something==1.2", "pinned to one release"),
        ("ruff>=0.17", "no upper bound"),
    ],
)
def test_what_breaks_them_is_named(requirement: str, words: str) -> None:
    project = copy.deepcopy(PROJECT)
    project["project"]["dependencies"].append(requirement)
    (problem,) = problems(project)
    assert problem == f"{requirement}: {'is' if 'pinned' in words else 'has'} {words}"
