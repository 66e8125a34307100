"""A headless Chromium, driven by its own debugging protocol over a websocket."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

# A browser's start on a busy machine, and whatever a page is waited for.
PATIENCE = 240.0

_SWITCHES = (
    "--headless=new",
    # CI runs as root, where Chromium refuses its sandbox; it sees our own page only.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--remote-debugging-port=0",
)


def chromium() -> str | None:
    """Return the path of a Chromium, if there is one."""
    return shutil.which("chromium")


class Tab:
    """One page of the browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self.complaints: list[str] = []

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Ask the browser, and return what it answers."""
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": params})
        while True:
            message = json.loads(await self._socket.receive_str(timeout=PATIENCE))
            if message.get("method") == "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(message["params"]))
            if message.get("id") == number:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result

    async def value(self, expression: str) -> Any:
        """Return what an expression of JavaScript is on the page."""
        answer = await self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def until(self, expression: str) -> None:
        """Wait until an expression is true; fail with what the page then says."""
        deadline = time.monotonic() + PATIENCE
        while not await self.value(f"Boolean({expression})"):
            if time.monotonic() > deadline:
                page = await self.value("document.body && document.body.innerText")
                raise AssertionError(f"never true: {expression}\n{page}\n{self.complaints}")
            await asyncio.sleep(0.1)

    async def picture(self) -> bytes:
        """Return the page as it looks, all of its height, as PNG."""
        height = await self.value("document.documentElement.scrollHeight")
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=1360, height=height, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip
        answer = await self.call("Page.captureScreenshot", format="png")
        return base64.b64decode(answer["data"])


@asynccontextmanager
async def browser_at(url: str, folder: Path) -> AsyncIterator[Tab]:
    """Open a page in a browser of its own, which is ended with all of its processes."""
    program = chromium()
    assert program is not None
    with (folder / "chromium.log").open("wb") as log:
        process = subprocess.Popen(
            [program, *_SWITCHES, f"--user-data-dir={folder / 'profile'}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "HOME": str(folder)},
            start_new_session=True,
        )
    try:
        port = await _port_of(folder, process)
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(PATIENCE)) as session:
            async with session.put(f"http://127.0.0.1:{port}/json/new?{url}") as answer:
                address = (await answer.json())["webSocketDebuggerUrl"]
            async with session.ws_connect(address, max_msg_size=0) as socket:
                tab = Tab(socket)
                await tab.call("Runtime.enable")
                yield tab
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(PATIENCE)


async def _port_of(folder: Path, process: subprocess.Popen[bytes]) -> int:
    """Return the port that the browser chose, which it writes to a file."""
    told = folder / "profile" / "DevToolsActivePort"
    deadline = time.monotonic() + PATIENCE
    while not told.exists() or "\n" not in told.read_text():
        log = (folder / "chromium.log").read_text(errors="replace")
        assert process.poll() is None, log
        assert time.monotonic() < deadline, log
        await asyncio.sleep(0.1)
    return int(told.read_text().split("\n")[0])
