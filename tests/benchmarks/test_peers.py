"""The clients that are compared."""

from __future__ import annotations

import pytest

from benchmarks.foreign import go_client, java_client
from benchmarks.peers import OURS, PEERS, PURE
from benchmarks.standin import build


def test_this_producer_runs_as_installed_and_as_plain_python(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIOPRODUCER_PURE", "1")
    assert "AIOPRODUCER_PURE" not in PEERS[OURS].surroundings()
    assert PEERS[PURE].surroundings()["AIOPRODUCER_PURE"] == "1"


def test_without_its_toolchain_a_client_is_missing_not_broken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("shutil.which", lambda *_args, **_kwargs: None)
    monkeypatch.setattr(java_client, "java_release", lambda: None)
    assert PEERS["java"].missing() == "Java 17"
    assert PEERS["franz-go"].missing() == "Go"
    monkeypatch.setattr(java_client, "java_release", lambda: 21)
    assert PEERS["java"].missing() == "javac"
    assert build.compiler() is None
    with pytest.raises(build.BuildError, match="no C compiler"):
        build.build()
    with pytest.raises(build.BuildError, match="Go is not installed"):
        go_client.prepare()


def test_the_version_of_franz_go_is_that_of_its_module() -> None:
    assert go_client.version().split(".")[0] == "1"
