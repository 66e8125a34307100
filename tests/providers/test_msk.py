"""MSK IAM, with a signer that is made of nothing: no cloud can be reached from here."""

from __future__ import annotations

import sys
import types
from typing import Any

import pytest

from aioproducer.config import ProducerConfig
from aioproducer.errors import AuthenticationError, ClusterConnectionError, ConfigurationError
from aioproducer.providers.msk import MskIamTokens
from aioproducer.runtime.login import login_for


class Signer:
    """Has the functions of Amazon's, and tells how it was called."""

    calls: list[tuple[str, ...]] = []
    error: Exception | None = None

    @classmethod
    def _answer(cls, *call: str) -> tuple[str, int]:
        cls.calls.append(call)
        if cls.error is not None:
            raise cls.error
        return "t0ken", 32503680000000

    @classmethod
    def generate_auth_token(cls, region: str) -> tuple[str, int]:
        return cls._answer(region)

    @classmethod
    def generate_auth_token_from_profile(cls, region: str, profile: str) -> tuple[str, int]:
        return cls._answer(region, "profile", profile)

    @classmethod
    def generate_auth_token_from_role_arn(cls, region: str, role: str) -> tuple[str, int]:
        return cls._answer(region, "role", role)


@pytest.fixture
def signer(monkeypatch: pytest.MonkeyPatch) -> type[Signer]:
    Signer.calls, Signer.error = [], None
    module = types.ModuleType("aws_msk_iam_sasl_signer")
    vars(module)["MSKAuthTokenProvider"] = Signer
    monkeypatch.setitem(sys.modules, "aws_msk_iam_sasl_signer", module)
    return Signer


@pytest.mark.parametrize(
    ("options", "call"),
    [
        ({}, ("eu-west-1",)),
        ({"profile": "p"}, ("eu-west-1", "profile", "p")),
        ({"role_arn": "arn"}, ("eu-west-1", "role", "arn")),
    ],
)
async def test_a_token_is_signed(
    signer: type[Signer], options: dict[str, str], call: tuple[str, ...]
) -> None:
    token = await MskIamTokens("eu-west-1", **options)()
    assert (token.value, token.expires_at_ms) == ("t0ken", 32503680000000)
    assert signer.calls == [call]


def test_contradicting_arguments_are_refused(signer: type[Signer]) -> None:
    with pytest.raises(ConfigurationError, match="not both"):
        MskIamTokens("eu-west-1", profile="p", role_arn="arn")


def test_a_missing_signer_is_told_with_the_line_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aws_msk_iam_sasl_signer", None)
    with pytest.raises(ConfigurationError, match=r"aioproducer\[msk-iam\]"):
        MskIamTokens("eu-west-1")


# Named as botocore names them.
HTTPClientError = type("HTTPClientError", (Exception,), {})
ConnectTimeoutError = type("ConnectTimeoutError", (HTTPClientError,), {})
NoCredentialsError = type("NoCredentialsError", (Exception,), {})


@pytest.mark.parametrize(
    ("error", "kind"),
    [(ConnectTimeoutError(), ClusterConnectionError), (NoCredentialsError(), AuthenticationError)],
)
async def test_a_cloud_that_is_away_is_told_from_credentials_that_are(
    signer: type[Signer], error: Exception, kind: type[Any]
) -> None:
    signer.error = error
    config = ProducerConfig.create(
        "h:1",
        security_protocol="SASL_SSL",
        sasl_mechanism="OAUTHBEARER",
        token_provider=MskIamTokens("eu-west-1"),
    )
    with pytest.raises(ClusterConnectionError) as failure:
        await login_for(config).client("broker")
    assert type(failure.value) is kind
