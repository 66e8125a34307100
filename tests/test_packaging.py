"""What is built agrees with what is promised."""

from __future__ import annotations

import fnmatch
import re
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
WHEELS: dict[str, Any] = PROJECT["tool"]["cibuildwheel"]


def promised() -> list[str]:
    """The versions of Python that the classifiers name."""
    prefix = "Programming Language :: Python :: 3."
    return [
        line.removeprefix(prefix)
        for line in PROJECT["project"]["classifiers"]
        if line.startswith(prefix)
    ]


def test_a_wheel_is_built_for_each_python_that_is_promised() -> None:
    assert WHEELS["build"] == [f"cp3{minor}-*" for minor in promised()]
    assert PROJECT["project"]["requires-python"] == f">=3.{promised()[0]}"


def test_none_is_built_for_free_threaded_interpreters() -> None:
    def is_built(name: str) -> bool:
        chosen = any(fnmatch.fnmatchcase(name, each) for each in WHEELS["build"])
        return chosen and not any(fnmatch.fnmatchcase(name, each) for each in WHEELS["skip"])

    assert is_built("cp314-manylinux_x86_64")
    assert not is_built("cp314t-manylinux_x86_64")
    assert "Py_GIL_DISABLED" in (ROOT / "setup.py").read_text()


def test_wheels_must_be_compiled_and_are_tried_out() -> None:
    assert WHEELS["environment"] == {"AIOPRODUCER_REQUIRE_EXTENSIONS": "1"}
    command = WHEELS["test-command"].split()
    script = command[1].replace("{project}/", "")
    assert (ROOT / script).is_file()
    assert command[2] == "compiled"


def test_declarations_are_in_the_sdist_and_have_their_sources() -> None:
    declarations = list((ROOT / "aioproducer").rglob("*.pxd"))
    assert declarations
    for path in declarations:
        assert path.with_suffix(".py").is_file(), path
    assert re.search(r"recursive-include aioproducer .*\*\.pxd", (ROOT / "MANIFEST.in").read_text())


def test_every_system_that_is_named_has_wheels() -> None:
    assert {name for name in ("linux", "macos", "windows") if name in WHEELS} == {
        "linux",
        "macos",
        "windows",
    }
    page = (ROOT / "docs" / "packaging.md").read_text()
    assert "| macOS, Windows | untested |" in page
