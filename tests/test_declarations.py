"""What the compiler is told of a module agrees with the module, before anybody compiles it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "aioproducer"
DECLARATIONS = sorted(PACKAGE.rglob("*.pxd"))
_CLASS = re.compile(r"^cdef class (\w+)(\(\w+\))?:\n((?:[ \t]+.*\n|\n)*)", re.MULTILINE)
_ATTRIBUTE = re.compile(r"^    cdef (?!inline)(?:public |readonly )?[\w.* ]*?(\w+)$", re.MULTILINE)
_FUNCTION = re.compile(r"^ *c(?:p?)def (?:inline )?[\w.* ]*?(\w+)\(([^)]*)\)", re.MULTILINE)


def classes(text: str) -> dict[str, tuple[str, str]]:
    """The base and the body of each class of a ``.pxd``, by its name."""
    return {name: (base or "", body) for name, base, body in _CLASS.findall(text + "\n")}


def attributes(body: str) -> set[str]:
    return set(_ATTRIBUTE.findall(body))


def signatures(body: str) -> dict[str, tuple[int, int]]:
    """How many arguments each function has, and how many of them may be left out."""
    found = {}
    for name, arguments in _FUNCTION.findall(body):
        given = [each.strip() for each in arguments.split(",") if each.strip()]
        found[name] = (len(given), sum(each.endswith("=*") for each in given))
    return found


def python_signatures(body: list[ast.stmt]) -> dict[str, tuple[int, int]]:
    found = {}
    for each in body:
        if isinstance(each, ast.FunctionDef):
            arguments = each.args
            found[each.name] = (
                len(arguments.posonlyargs) + len(arguments.args),
                len(arguments.defaults),
            )
    return found


def assigned(tree: ast.ClassDef) -> set[str]:
    """The attributes that methods of a class give to ``self``."""
    found = set()
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and isinstance(node.value, ast.Name)
            and node.value.id == "self"
        ):
            found.add(node.attr)
    return found


@pytest.mark.parametrize(
    "path", DECLARATIONS, ids=lambda path: path.relative_to(PACKAGE).as_posix()
)
def test_declarations_agree_with_their_module(path: Path) -> None:
    tree = ast.parse(path.with_suffix(".py").read_text())
    text = path.read_text()
    in_python = {each.name: each for each in tree.body if isinstance(each, ast.ClassDef)}
    for name, (base, body) in classes(text).items():
        there = in_python[name]
        if not base and "cdef dict __dict__" not in body:
            assert assigned(there) <= attributes(body), f"{name} lacks attributes in {path.name}"
        _agree(signatures(body), python_signatures(there.body), f"{path.name}: {name}")
    outside = _CLASS.sub("", text + "\n")
    _agree(signatures(outside), python_signatures(tree.body), path.name)


def _agree(
    declared: dict[str, tuple[int, int]], defined: dict[str, tuple[int, int]], where: str
) -> None:
    for name, signature in declared.items():
        if name in defined:
            assert signature == defined[name], (
                f"{where}.{name}: arguments, and those with a default"
            )


def test_what_disagrees_is_found() -> None:
    text = "cdef class Story:\n    cdef public double at\n\n    cpdef leaves(self, double now=*)\n"
    ((_, body),) = classes(text).values()
    assert attributes(body) == {"at"}
    assert signatures(body) == {"leaves": (2, 1)}
    code = "class Story:\n    def leaves(self, now):\n        self.by = now\n"
    (there,) = ast.parse(code).body
    assert isinstance(there, ast.ClassDef)
    assert not assigned(there) <= attributes(body)
    with pytest.raises(AssertionError, match=r"Story\.leaves"):
        _agree(signatures(body), python_signatures(there.body), "Story")
