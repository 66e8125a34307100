"""Which loop a command runs on."""

from __future__ import annotations

import asyncio
import sys

import pytest

from aioproducer.cli.loops import run_on
from aioproducer.cli.settings import SettingsError


async def module_of_the_loop() -> str:
    return type(asyncio.get_running_loop()).__module__


def test_the_loop_is_the_one_that_is_named() -> None:
    pytest.importorskip("uvloop")
    assert run_on("asyncio", module_of_the_loop()).startswith("asyncio")
    assert run_on("uvloop", module_of_the_loop()) == "uvloop"
    assert run_on("auto", module_of_the_loop()) == "uvloop"


def test_without_uvloop_auto_is_asyncio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert run_on("auto", module_of_the_loop()).startswith("asyncio")
    with pytest.raises(SettingsError, match=r"pip install \"aioproducer\[uvloop\]\""):
        run_on("uvloop", module_of_the_loop())
