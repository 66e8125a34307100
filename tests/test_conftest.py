"""What a run must find, by REQUIRE in the environment."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests import postgres
from tests.conftest import by_a_thread, required, skip_or_fail


def test_nothing_is_required_unless_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REQUIRE", raising=False)
    assert required() == frozenset()
    with pytest.raises(pytest.skip.Exception, match="no server here"):
        skip_or_fail("postgres", "no server here")


@pytest.mark.parametrize("names", ["postgres", "kafka,postgres", " kafka , postgres ,"])
def test_what_is_named_fails_where_it_is_absent(
    monkeypatch: pytest.MonkeyPatch, names: str
) -> None:
    monkeypatch.setenv("REQUIRE", names)
    assert "postgres" in required()
    with pytest.raises(pytest.fail.Exception, match="REQUIRE names postgres, but no server here"):
        skip_or_fail("postgres", "no server here")


def test_naming_another_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUIRE", "kafka")
    with pytest.raises(pytest.skip.Exception):
        skip_or_fail("postgres", "no server here")


def test_a_name_that_nothing_has_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt name would require nothing."""
    monkeypatch.setenv("REQUIRE", "kafka,postgress")
    with pytest.raises(pytest.UsageError, match=r"postgress; there is .*kafka, postgres"):
        required()


def test_a_database_that_is_named_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://somewhere/else")
    with postgres.a_server() as url:
        assert url == "postgresql://somewhere/else"


def test_without_a_server_the_reason_names_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(postgres, "DEBIAN", tmp_path)
    with (
        pytest.raises(postgres.PostgresMissingError, match=r"DATABASE_URL.*initdb.*postgresql\)"),
        postgres.a_server(),
    ):
        raise AssertionError("there is none")


def test_a_limit_on_uvloop_keeps_its_seconds_and_is_watched_by_a_thread() -> None:
    assert by_a_thread(None).kwargs == {"method": "thread"}
    limit = by_a_thread(pytest.mark.timeout(900).mark)
    assert (limit.args, limit.kwargs) == ((900,), {"method": "thread"})
    assert by_a_thread(pytest.mark.timeout(timeout=7).mark).kwargs["timeout"] == 7
