"""Whether tests that a page or a table names are there."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent


def is_a_test(test_id: str) -> bool:
    """Return whether ``tests/file.py::Class::test_name`` (the class or both may lack) exists."""
    path, *names = test_id.split("::")
    file = ROOT / path
    if not file.is_file():
        return False
    found = _names_in(file)
    return not names or "::".join(names) in found


@cache
def _names_in(file: Path) -> frozenset[str]:
    return frozenset(_names(ast.parse(file.read_text()).body, ""))


def _names(body: list[ast.stmt], before: str) -> list[str]:
    names = []
    for node in body:
        if isinstance(node, ast.ClassDef):
            names.append(before + node.name)
            names += _names(node.body, f"{before}{node.name}::")
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            names.append(before + node.name)
    return names
