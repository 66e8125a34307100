"""Tokens for Amazon MSK with IAM, from Amazon's own signer."""

from __future__ import annotations

import asyncio
import importlib
from typing import Any

from aioproducer.credentials import OAuthToken
from aioproducer.errors import ConfigurationError

_PASSING = frozenset({"ConnectionError", "HTTPClientError"})
"""Bases of botocore's errors about the network, which say nothing about the credentials."""


class MskIamTokens:
    """Call it, get a token signed with the AWS credentials of this process.

    Args:
        region: the region of the cluster, such as ``eu-west-1``.
        profile: the profile of the AWS configuration to sign with.
        role_arn: the role to assume; not together with a profile.

    Raises:
        ConfigurationError: the signer is not installed, or the arguments contradict.
    """

    def __init__(self, region: str, *, profile: str = "", role_arn: str = "") -> None:
        if profile and role_arn:
            raise ConfigurationError("MskIamTokens: give a profile or a role_arn, not both")
        try:
            signer = importlib.import_module("aws_msk_iam_sasl_signer")
        except ImportError as error:
            raise ConfigurationError(
                'MSK IAM needs another package: pip install "aioproducer[msk-iam]"'
            ) from error
        self._sign: Any = signer.MSKAuthTokenProvider
        self._region = region
        self._profile = profile
        self._role_arn = role_arn

    async def __call__(self) -> OAuthToken:
        """Sign a token on a worker thread, as the signer may ask AWS for credentials.

        Cancelling abandons the wait.
        """
        token, expires_at_ms = await asyncio.get_running_loop().run_in_executor(None, self._ask)
        return OAuthToken(token, expires_at_ms)

    def _ask(self) -> tuple[str, int]:
        try:
            if self._profile:
                answer = self._sign.generate_auth_token_from_profile(self._region, self._profile)
            elif self._role_arn:
                answer = self._sign.generate_auth_token_from_role_arn(self._region, self._role_arn)
            else:
                answer = self._sign.generate_auth_token(self._region)
        except Exception as error:
            # The signer lets through whatever its HTTP client raises; names tell them apart.
            if _PASSING & {base.__name__ for base in type(error).__mro__}:
                raise OSError("AWS cannot be reached") from error
            raise
        token, expires_at_ms = answer
        return token, int(expires_at_ms)
