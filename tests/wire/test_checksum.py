"""The checksum is that of the crc32c package, however it was found."""

from __future__ import annotations

import subprocess
import sys

import crc32c as package
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioproducer.wire import checksum


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_it_is_that_of_the_package_and_goes_on_from_a_part(first: bytes, second: bytes) -> None:
    assert checksum.crc32c(first) == package.crc32c(first)
    assert checksum.crc32c(second, checksum.crc32c(first)) == package.crc32c(first + second)


def test_the_vector_of_rfc_3720() -> None:
    assert checksum.crc32c(bytes(32)) == 0x8A9136AA


def test_importing_it_does_not_import_the_package() -> None:
    """Which would take longer than all the rest."""
    code = "import sys, aioproducer.wire.checksum; print('crc32c' in sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=250, check=True
    )
    assert run.stdout.split() == ["False"]


def test_an_extension_that_is_elsewhere_is_found_through_the_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "crc32c")
    monkeypatch.setattr(checksum, "_NAME", "crc32c._somewhere_else")
    assert checksum._from_the_extension() is None
    assert checksum._from_the_package()(b"abc") == package.crc32c(b"abc")
