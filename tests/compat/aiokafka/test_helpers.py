"""The TLS context of aiokafka's helpers."""

from __future__ import annotations

import inspect
import ssl
from pathlib import Path

import aiokafka.helpers
import pytest

from aioproducer.compat.aiokafka.helpers import create_ssl_context


def test_it_takes_what_aiokafka_s_takes() -> None:
    own = inspect.signature(create_ssl_context).parameters
    assert list(own) == list(inspect.signature(aiokafka.helpers.create_ssl_context).parameters)


def test_it_checks_the_broker_and_reads_the_files_that_are_named(tmp_path: Path) -> None:
    context = create_ssl_context()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    with pytest.raises(FileNotFoundError):
        create_ssl_context(certfile=tmp_path / "nothing.pem")
