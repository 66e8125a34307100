"""Compiles the modules that have a ``.pxd`` beside them, if that can be done here.

All of them or none: a module that was compiled against another needs that one compiled too. What
goes wrong is told and leaves a package of pure Python, which works. ``AIOPRODUCER_NO_EXTENSIONS=1``
makes such a package on purpose, ``AIOPRODUCER_REQUIRE_EXTENSIONS=1`` fails instead of making one.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import warnings
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

REQUIRED = os.environ.get("AIOPRODUCER_REQUIRE_EXTENSIONS", "") not in ("", "0")
HERE = Path(__file__).parent
# Their declarations are inlined where they are used; the modules themselves stay Python.
INLINED = {
    Path("aioproducer/inlined.py"),
    Path("aioproducer/send_slot.py"),
    Path("aioproducer/core/key_hash.py"),
}


def _is_stale() -> bool:
    """Return whether bodies that others inline are newer than what was made of them.

    Cython does not follow declarations that import each other, as those of send_slot do.
    """
    made = [path.stat().st_mtime for path in HERE.glob("build/cython/**/*.c")]
    bodies = [HERE / source.with_suffix(".pxd") for source in INLINED]
    return bool(made) and max(path.stat().st_mtime for path in bodies) > min(made)


def extensions() -> list[Extension]:
    """Return what to compile; nothing where Cython is not there or is not wanted."""
    if os.environ.get("AIOPRODUCER_NO_EXTENSIONS", "") not in ("", "0"):
        return []
    if sys.implementation.name != "cpython" or sys.byteorder != "little":
        return []
    # Not shown safe there, and an extension that does not say it is would bring the GIL back.
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        return []
    try:
        from Cython.Build import cythonize
    except ImportError:
        if REQUIRED:
            raise
        warnings.warn("no Cython: a package of pure Python is made", stacklevel=1)
        return []
    # Without debugging information: it doubles the time to compile, and nobody asks for it.
    flags = [] if os.name == "nt" else ["-O2", "-g0"]
    modules = []
    for declarations in sorted(HERE.glob("aioproducer/**/*.pxd")):
        source = declarations.with_suffix(".py").relative_to(HERE)
        if source in INLINED:
            continue
        name = ".".join(source.with_suffix("").parts)
        modules.append(Extension(name, [source.as_posix()], extra_compile_args=flags))
    return list(
        cythonize(
            modules,
            language_level=3,
            build_dir="build/cython",
            nthreads=0,
            force=_is_stale(),
            compiler_directives={
                "annotation_typing": False,
                "initializedcheck": False,
            },
        )
    )


class BuildAllOrNone(build_ext):
    """Compiles every extension, or leaves none behind."""

    def run(self) -> None:
        try:
            super().run()
        except Exception as error:  # compilers fail in many ways
            if REQUIRED:
                raise
            warnings.warn(f"not compiled, the package is pure Python: {error!r}", stacklevel=1)
            for extension in self.extensions:
                built = [self.get_ext_fullpath(extension.name)]
                built.append(os.path.join(HERE, self.get_ext_filename(extension.name)))
                for path in built:
                    Path(path).unlink(missing_ok=True)
            self.extensions = []


setup(ext_modules=extensions(), cmdclass={"build_ext": BuildAllOrNone})
