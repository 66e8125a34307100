"""The typed examples are right where they say so, and wrong where they say so, to mypy."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "tests" / "typing" / "serializers.py"
_IGNORE = re.compile(r"  # type: ignore.*")


def test_the_document_shows_them() -> None:
    document = (ROOT / "docs" / "serialization.md").read_text()
    blocks = re.findall(r"```python typed\n(.*?)```", document, re.DOTALL)
    assert len(blocks) == 3
    code = _IGNORE.sub("", EXAMPLES.read_text())
    for block in blocks:
        assert re.sub(r"  # error.*", "", block) in code
    assert blocks[2].count("# error") == 3


def test_mypy_finds_what_is_wrong_and_nothing_else(tmp_path: Path) -> None:
    if shutil.which("mypy", path=str(Path(sys.executable).parent)) is None:
        pytest.skip("mypy is not installed")
    lines = EXAMPLES.read_text().splitlines()
    wrong = {number for number, line in enumerate(lines, 1) if _IGNORE.search(line)}
    bare = tmp_path / "bare.py"
    bare.write_text("\n".join(_IGNORE.sub("", line) for line in lines))
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", str(bare)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    told = re.findall(r"bare\.py:(\d+): error", done.stdout)
    assert {int(number) for number in told} == wrong, done.stdout + done.stderr
    assert len(wrong) >= 6
