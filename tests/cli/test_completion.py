"""The scripts that shells read; bash runs its own in tests/integration/cli."""

from __future__ import annotations

import pytest

from aioproducer.cli import WRONG_USE, main
from aioproducer.cli.completion import SHELLS


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_has_its_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert f"_AIOPRODUCER_COMPLETE={shell}_complete" in script


def test_another_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "cmd"]) == WRONG_USE
    assert "'bash', 'zsh', 'fish'" in capsys.readouterr().err
