"""A producer does not follow into a forked process: its loop and sockets are the parent's."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import TopicFactory

_PROGRAM = """
import asyncio, os, sys
from aioproducer import AsyncProducer, WrongLoopError

async def main(bootstrap, topic):
    async with AsyncProducer(bootstrap) as producer:
        await producer.send(topic, b"before")
        child = os.fork()
        if child == 0:
            try:
                producer.send(topic, b"from the child")
            except WrongLoopError as error:
                print(error, flush=True)
                os._exit(7)
            os._exit(1)
        _, status = os.waitpid(child, 0)
        metadata = await producer.send(topic, b"after")
        print("child", os.waitstatus_to_exitcode(status), "offset", metadata.offset)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.core
def test_a_forked_child_is_told_to_make_a_producer_of_its_own(
    bootstrap: str, topic: TopicFactory
) -> None:
    """The child is refused with words that help; the parent's producer goes on."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, bootstrap, topic(1)],
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert "forked processes need a producer of their own" in done.stdout, done
    assert done.stdout.splitlines()[-1] == "child 7 offset 1", done
