"""aiokafka's values: its own classes here, equal ones elsewhere."""

from __future__ import annotations

from typing import Any

import aiokafka.structs
import pytest

from aioproducer.compat.aiokafka import structs


@pytest.mark.parametrize("name", structs.__all__)
def test_they_are_aiokafka_s_own_with_equal_ones_for_elsewhere(name: str) -> None:
    theirs: Any = getattr(aiokafka.structs, name)

    assert getattr(structs, name) is theirs
    assert getattr(structs, f"_{name}")._fields == theirs._fields
