"""The public names: what is promised is there, and nothing else."""

from __future__ import annotations

import importlib
import inspect

import pytest

import aioproducer
from aioproducer import errors


def test_every_name_is_there_and_sorted() -> None:
    assert list(aioproducer.__all__) == sorted(aioproducer.__all__)
    for name in aioproducer.__all__:
        assert getattr(aioproducer, name) is not None


def test_nothing_else_is_there() -> None:
    found = {
        name
        for name, value in vars(aioproducer).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert found <= set(aioproducer.__all__)


@pytest.mark.parametrize("name", [n for n in aioproducer.__all__ if not n.startswith("__")])
def test_every_public_class_and_function_is_described(name: str) -> None:
    public = getattr(aioproducer, name)
    if inspect.isclass(public) or inspect.isfunction(public):
        assert inspect.getdoc(public)


def test_the_parents_of_public_errors_are_public() -> None:
    for name in aioproducer.__all__:
        public = getattr(aioproducer, name)
        if inspect.isclass(public) and issubclass(public, Exception):
            for parent in public.__mro__:
                if parent.__module__ == errors.__name__:
                    assert parent.__name__ in aioproducer.__all__


def test_every_public_method_of_the_producer_is_described() -> None:
    for name, method in vars(aioproducer.AsyncProducer).items():
        if not name.startswith("_") and inspect.isfunction(method):
            assert inspect.getdoc(method), name


def test_the_version_is_the_distribution_s() -> None:
    assert aioproducer.__version__ == importlib.import_module("aioproducer.version").__version__
    assert aioproducer.__version__.count(".") == 2
