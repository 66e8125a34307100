"""Tokens by client credentials; the network is a function here."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aioproducer.credentials import OAuthToken
from aioproducer.errors import AuthenticationError, ClusterConnectionError
from aioproducer.runtime.token_endpoint import TokenEndpoint
from tests.runtime.world import now

URL = "https://issuer.test/token"


def endpoint_that(
    monkeypatch: pytest.MonkeyPatch, answers: list[Any], **settings: Any
) -> TokenEndpoint:
    """Return an endpoint whose attempts meet ``answers``, the last one for ever."""
    endpoint = TokenEndpoint(url=URL, client_id="me", client_secret="s3cret", **settings)

    def post(self: TokenEndpoint) -> tuple[int, bytes]:
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        status, body = answer
        return status, body if isinstance(body, bytes) else json.dumps(body).encode()

    monkeypatch.setattr(TokenEndpoint, "_post", post)
    return endpoint


async def test_the_token_of_the_answer_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = endpoint_that(monkeypatch, [(200, {"access_token": "t0ken"})])
    assert await endpoint() == OAuthToken("t0ken")


async def test_its_life_is_known_if_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1000.0)
    endpoint = endpoint_that(monkeypatch, [(200, {"access_token": "t", "expires_in": 60})])
    assert (await endpoint()).expires_at_ms == 1_060_000


@pytest.mark.parametrize("life", [0, -1, "60", True, None, 1e12])
async def test_a_life_that_makes_no_sense_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, life: Any
) -> None:
    endpoint = endpoint_that(monkeypatch, [(200, {"access_token": "t", "expires_in": life})])
    assert (await endpoint()).expires_at_ms is None


async def test_what_may_pass_is_tried_again_with_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [ConnectionRefusedError(), (503, b""), (200, {"access_token": "t0ken"})]
    endpoint = endpoint_that(monkeypatch, answers)
    started = now()
    assert (await endpoint()).value == "t0ken"
    assert 0.2 < now() - started < 1


async def test_it_is_given_up_in_time_and_may_be_tried_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    endpoint = endpoint_that(monkeypatch, [(503, b"")], retry_for_ms=3000)
    started = now()
    with pytest.raises(ClusterConnectionError, match="HTTP 503") as failure:
        await endpoint()
    assert not isinstance(failure.value, AuthenticationError)
    assert now() - started <= 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 415])
async def test_a_refusal_is_final_at_once(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    body = {"error": "invalid_client", "error_description": "no such client"}
    endpoint = endpoint_that(monkeypatch, [(status, body)])
    with pytest.raises(AuthenticationError) as refusal:
        await endpoint()
    assert f"HTTP {status}, invalid_client (no such client)" in str(refusal.value)
    assert "s3cret" not in str(refusal.value)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", {"access_token": 5}, {"token": "x"}])
async def test_an_answer_without_a_token_is_refused_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, body: Any
) -> None:
    endpoint = endpoint_that(monkeypatch, [(200, body)])
    with pytest.raises(AuthenticationError, match="without an access_token"):
        await endpoint()


async def test_a_refusal_that_is_no_json_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = endpoint_that(monkeypatch, [(401, b"you sent me:s3cret")])
    with pytest.raises(AuthenticationError, match=r"HTTP 401$"):
        await endpoint()


async def test_a_file_holds_a_token_too(tmp_path: Path) -> None:
    path = tmp_path / "a token"
    path.write_text("t0ken\n")
    assert (await TokenEndpoint(url=path.as_uri())()).value == "t0ken"


async def test_a_missing_file_may_come(tmp_path: Path) -> None:
    endpoint = TokenEndpoint(url=(tmp_path / "none").as_uri(), retry_for_ms=200)
    with pytest.raises(ClusterConnectionError, match="FileNotFoundError"):
        await endpoint()


def test_the_secret_is_not_shown() -> None:
    assert "s3cret" not in repr(TokenEndpoint(url=URL, client_id="me", client_secret="s3cret"))


@pytest.mark.parametrize(("encode", "pair"), [(False, "a:b c%"), (True, "a:b+c%25")])
def test_id_and_secret_go_into_the_header(encode: bool, pair: str) -> None:
    endpoint = TokenEndpoint(url=URL, client_id="a", client_secret="b c%", urlencode_header=encode)
    assert endpoint._basic() == "Basic " + base64.b64encode(pair.encode()).decode()


async def test_cancelling_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = endpoint_that(monkeypatch, [(503, b"")])
    asking: Callable[[], Any] = endpoint
    task = asyncio.ensure_future(asking())
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
