"""The command line as shells use it: completion, pipes that are closed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from aioproducer.cli.exit_status import Exit

ROOT = Path(__file__).parents[3]

# It needs processes and no Kafka.
pytestmark = pytest.mark.own_cluster


@pytest.mark.parametrize("last", ["--help", "--version"])
def test_output_that_nobody_reads_leaves_no_complaint(last: str) -> None:
    """What is printed stands in a buffer until the end, and fails only there."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "aioproducer", last],
            stdout=closed, stderr=subprocess.PIPE, cwd=ROOT, check=False,
        )  # fmt: skip
    assert done.returncode in (1, Exit.BROKEN_PIPE)
    assert done.stderr == b""


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
        capture_output=True, text=True, timeout=240, check=True,
    )  # fmt: skip
    assert sorted(done.stdout.split()) == sorted(expected)
