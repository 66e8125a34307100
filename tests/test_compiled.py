"""The hot files run compiled or as they are written, and the package says which."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

import aioproducer
from aioproducer.compiled import HOT as HOT_MODULES
from aioproducer.compiled import VARIABLE, SourcesOnly, is_compiled, tell_once

PACKAGE = Path(aioproducer.__file__).parent
HOT = sorted(PACKAGE.rglob("*.pxd"))
INLINED = {"inlined", "key_hash", "send_slot"}

_TELL = """
import aioproducer, sys
print(aioproducer.accelerated, *(
    name for name, module in sorted(sys.modules.items())
    if name.startswith("aioproducer.") and not (module.__file__ or "").endswith(".py")
))
"""


def _told(pure: str) -> list[str]:
    environment = {**os.environ, VARIABLE: pure}
    environment["PYTHONPATH"] = os.pathsep.join([str(PACKAGE.parent), *sys.path])
    command = [sys.executable, "-c", _TELL]
    run = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=250, check=True
    )
    return run.stdout.split()


def test_with_the_variable_set_everything_runs_from_its_source() -> None:
    assert _told("1") == ["False"]


@pytest.mark.parametrize("unset", ["", "0"])
def test_what_is_compiled_is_used_otherwise(unset: str) -> None:
    """All of it or nothing: one module compiled against another needs that one compiled."""
    there = {path.name.partition(".")[0] for path in PACKAGE.rglob("*" + EXTENSION_SUFFIXES[0])}
    accelerated, *modules = _told(unset)
    assert accelerated == str(bool(there))
    assert {name.rpartition(".")[2] for name in modules} == there
    assert there in (set(), {path.stem for path in HOT} - INLINED)


def test_the_list_of_what_is_compiled_is_complete() -> None:
    names = {".".join(path.relative_to(PACKAGE).with_suffix("").parts) for path in HOT}
    assert {name for name in names if name.rpartition(".")[2] not in INLINED} == set(HOT_MODULES)


def test_a_package_that_is_partly_compiled_runs_from_its_sources(tmp_path: Path) -> None:
    copy = tmp_path / "aioproducer"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("*.so", "*.pyd", "__pycache__"))
    (copy / f"story{EXTENSION_SUFFIXES[0]}").write_bytes(b"no extension")
    environment = {**os.environ, VARIABLE: ""}
    environment["PYTHONPATH"] = os.pathsep.join([str(tmp_path), *sys.path])
    code = "import aioproducer; print(aioproducer.__file__, aioproducer.accelerated)"
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=250,
        cwd=tmp_path, check=True,
    )  # fmt: skip
    assert run.stdout.split() == [str(copy / "__init__.py"), "False"]
    assert "only partly compiled (awaitable, core.batch" in run.stderr


def test_no_extension_is_older_than_its_source() -> None:
    """It would run what the source no longer says; ``make`` compiles before it tests."""
    for declarations in HOT:
        extension = declarations.with_suffix(EXTENSION_SUFFIXES[0])
        if extension.exists():
            newest = max(
                declarations.stat().st_mtime, declarations.with_suffix(".py").stat().st_mtime
            )
            assert extension.stat().st_mtime >= newest, f"{extension.name} is out of date"


def test_the_tests_run_the_way_they_were_told() -> None:
    if os.environ.get(VARIABLE, "") not in ("", "0"):
        assert aioproducer.accelerated is False
    assert aioproducer.accelerated == is_compiled("aioproducer.delivery")
    assert not is_compiled("aioproducer.compiled")


def test_sources_are_found_for_this_package_alone() -> None:
    finder = SourcesOnly()
    found = finder.find_spec("aioproducer.delivery", [str(PACKAGE)])
    assert found is not None and (found.origin or "").endswith("delivery.py")
    assert finder.find_spec("aioproducer", None) is None
    assert finder.find_spec("json.decoder", [str(PACKAGE)]) is None
    assert finder.find_spec("aioproducer.nothing", [str(PACKAGE)]) is None


def test_each_process_says_once_which_way_it_takes(caplog: pytest.LogCaptureFixture) -> None:
    tell_once.cache_clear()
    logger = logging.getLogger("aioproducer")
    with caplog.at_level(logging.INFO, logger="aioproducer"):
        for _ in range(3):
            tell_once(logger, "1.2.3")
    how = "compiled" if aioproducer.accelerated else "pure Python, uncompiled"
    assert [record.getMessage() for record in caplog.records] == [f"aioproducer 1.2.3, {how}"]
