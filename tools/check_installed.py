"""Is what was installed whole, and of the build that it should be?

    python tools/check_installed.py compiled|pure

Run with the interpreter that it was installed for, from anywhere but the repository. Needs nothing
but the package and what it depends on.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import pkgutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

# Kafka's own test vectors: org.apache.kafka.common.utils.UtilsTest.
_MURMUR2 = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536}
# What is imported with packages that are optional.
_OPTIONAL = ("aioproducer.testing", "aioproducer.providers", "aioproducer.observe.exporters")


def main(expected: str) -> None:
    import aioproducer
    from aioproducer.core.murmur2 import murmur2

    here = Path(aioproducer.__file__).parent
    assert not (here.parent / "pyproject.toml").exists(), f"{here} is the repository's own"
    found = "compiled" if aioproducer.accelerated else "pure"
    assert found == expected, f"this is the {found} build, not the {expected} one"
    assert version("aioproducer") == aioproducer.__version__
    assert (here / "py.typed").is_file()
    for key, value in _MURMUR2.items():
        assert (murmur2(key) - value) % 2**32 == 0, key
    _import_everything(aioproducer)
    asyncio.run(_nobody_answers())
    if expected == "compiled":
        _runs_pure_when_told()
    print(f"aioproducer {aioproducer.__version__}, {found}, Python {sys.version.split()[0]}: ok")


def _import_everything(package: object) -> None:
    path, name = package.__path__, package.__name__  # type: ignore[attr-defined]
    for module in pkgutil.walk_packages(path, f"{name}.", onerror=lambda _: None):
        if module.name.endswith("__main__") or module.name.startswith(_OPTIONAL):
            continue
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            assert not (error.name or "").startswith("aioproducer"), error


async def _nobody_answers() -> None:
    """A record goes through the hot path up to a broker that is not there."""
    import aioproducer

    async with aioproducer.AsyncProducer("127.0.0.1:1", max_block_ms=50) as producer:
        try:
            await producer.send("orders", b"value", key=b"key")
        except aioproducer.ProducerTimeoutError:
            return
    raise AssertionError("nobody listens there")


def _runs_pure_when_told() -> None:
    environment = {**os.environ, "AIOPRODUCER_PURE": "1"}
    script = "import aioproducer; raise SystemExit(aioproducer.accelerated)"
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)


if __name__ == "__main__":
    main(sys.argv[1])
