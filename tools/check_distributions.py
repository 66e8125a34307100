"""Build the sdist and the wheels, install each into a fresh environment, and use it there.

    python tools/check_distributions.py [--pure-only] [--python PYTHON]

The compiled wheel is made from the sdist, as pip would, and the pure one with
``AIOPRODUCER_NO_EXTENSIONS=1``. Without a C compiler the compiled one is left out, which is said.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_CHECK = Path(__file__).with_name("check_installed.py")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pure-only", action="store_true", help="do not compile")
    parser.add_argument("--python", default=sys.executable, help="the interpreter to install for")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="aioproducer-dist-") as scratch:
        folder = Path(scratch)
        source = _tracked_files(folder / "source")
        _build(source, folder / "dist", ["--sdist"])
        (sdist,) = (folder / "dist").glob("*.tar.gz")
        _has_all_sources(sdist)
        unpacked = _unpack(sdist, folder)
        pure = _wheel(unpacked, folder / "pure", {"AIOPRODUCER_NO_EXTENSIONS": "1"})
        assert pure.name.endswith("-py3-none-any.whl"), pure.name
        assert not [name for name in _names(pure) if name.endswith((".so", ".pyd", ".c"))]
        _try_out(pure, given.python, "pure", folder / "pure-env")
        if given.pure_only:
            return
        if shutil.which("cc") is None:
            print("there is no C compiler: the compiled wheel is not checked")
            return
        compiled = pip_wheel(unpacked, folder / "compiled", given.python)
        assert "-none-" not in compiled.name, compiled.name
        assert not [name for name in _names(compiled) if name.endswith(".c")]
        _try_out(compiled, given.python, "compiled", folder / "compiled-env")


def _tracked_files(target: Path) -> Path:
    """Copy what git has, so that nothing that merely lies about gets in."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.split("\0"):
        if name and (ROOT / name).is_file():
            place = target / name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, place)
    return target


def _build(source: Path, target: Path, arguments: list[str]) -> None:
    command = [sys.executable, "-m", "build", *arguments, "--outdir", str(target), str(source)]
    _run(command, dict(os.environ))


def _wheel(source: Path, target: Path, environment: dict[str, str]) -> Path:
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(target), str(source)]
    _run(command, {**os.environ, **environment})
    (wheel,) = target.glob("*.whl")
    return wheel


def pip_wheel(source: Path, target: Path, python: str) -> Path:
    """Compile for ``python``, failing where an install would fall back to the pure package."""
    command = [python, "-m", "pip", "wheel", "--no-deps", "--quiet", "-w", str(target), str(source)]
    _run(command, {**os.environ, "AIOPRODUCER_REQUIRE_EXTENSIONS": "1"})
    (wheel,) = target.glob("*.whl")
    return wheel


def _unpack(sdist: Path, folder: Path) -> Path:
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    return unpacked


def _has_all_sources(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = [
        path.relative_to(ROOT).as_posix()
        for suffix in ("py", "pyi", "pxd")
        for path in (ROOT / "aioproducer").rglob(f"*.{suffix}")
    ]
    missing = {*wanted, "aioproducer/py.typed", "setup.py", "LICENSE", "README.md"} - names
    assert not missing, f"the sdist lacks {sorted(missing)}"


def _names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def _try_out(wheel: Path, python: str, build: str, environment: Path) -> None:
    _run([python, "-m", "venv", str(environment)], dict(os.environ))
    scripts = "Scripts" if os.name == "nt" else "bin"
    inside = str(environment / scripts / "python")
    _run([inside, "-m", "pip", "install", "--quiet", str(wheel)], dict(os.environ))
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    print(f"{wheel.name}: ", end="", flush=True)
    _run([inside, str(_CHECK), build], clean, directory=environment, quiet=False)


def _run(
    command: list[str],
    environment: dict[str, str],
    *,
    directory: Path | None = None,
    quiet: bool = True,
) -> None:
    done = subprocess.run(
        command,
        env=environment,
        cwd=directory,
        stdout=subprocess.PIPE if quiet else None,
        stderr=subprocess.STDOUT if quiet else None,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout or ''}")


if __name__ == "__main__":
    main()
