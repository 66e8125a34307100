"""The scripts that shells read, and what they ask us."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from aioproducer.cli import WRONG_USE, main
from aioproducer.cli.completion import SHELLS

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_has_its_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert f"_AIOPRODUCER_COMPLETE={shell}_complete" in script


def test_another_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "cmd"]) == WRONG_USE
    assert "'bash', 'zsh', 'fish'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("pro", ["produce"]),
        ("produce orders --json", ["--json", "--json-lines"]),
        ("produce orders --compression ", ["none", "gzip", "snappy", "lz4", "zstd"]),
    ],
)
def test_bash_completes_commands_options_and_values(
    words: str, expected: list[str], tmp_path: Path
) -> None:
    bash = shutil.which("bash")
    assert bash is not None
    program = tmp_path / "aioproducer"
    program.write_text(f'#!{bash}\nexec "{sys.executable}" -m aioproducer "$@"\n')
    program.chmod(0o755)
    script = f"""
        eval "$(aioproducer completion bash)"
        COMP_WORDS=(aioproducer {words}); COMP_CWORD={len(words.split(" "))}
        _aioproducer_completion aioproducer
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(
        [bash, "--norc", "-c", script],
        cwd=ROOT, env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert sorted(done.stdout.split()) == sorted(expected)
