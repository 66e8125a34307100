"""The error of a value that a serializer cannot write."""

from __future__ import annotations

import pytest

from aioproducer.serializers import UnfitValueError


@pytest.mark.parametrize("kind", [TypeError, ValueError])
def test_it_is_caught_as_what_it_replaces(kind: type[Exception]) -> None:
    with pytest.raises(kind, match="a number is wanted"):
        raise UnfitValueError("amount: a number is wanted")
