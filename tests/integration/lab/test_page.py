"""The lab's page in a real browser: buttons are pushed, and the figures move."""

from __future__ import annotations

import asyncio
import os
import struct
import time
from pathlib import Path

import pytest

from tests.conftest import skip_or_fail
from tests.integration.lab.browser import PATIENCE, Tab, browser_at, chromium

ROOT = Path(__file__).parents[3]
PICTURE = ROOT / "docs" / "images" / "lab.png"

# In how long a run the page is looked at: for the docs, until it has something to show.
_RECORDS, _SEEN = (400_000, 150_000) if os.environ.get("LAB_PICTURE") else (20_000, 10_100)
_NUMBER = "Number(document.getElementById('{}').textContent.replace(/[^0-9.]/g, ''))"


@pytest.mark.timeout(900)
def test_buttons_are_pushed_and_the_figures_are_live(lab: str, tmp_path: Path) -> None:
    if chromium() is None:
        skip_or_fail("chromium", "chromium is not installed")
    asyncio.run(_look(lab, tmp_path))


async def _look(lab: str, folder: Path) -> None:
    async with browser_at(f"{lab}/", folder) as tab:
        await tab.call(
            "Emulation.setDeviceMetricsOverride",
            width=1360, height=900, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip
        await tab.until("document.querySelector('.pill.up')")
        for priority in ("HIGH", "NORMAL", "LOW", "NORMAL"):
            await tab.value(f"document.querySelector('select').value = '{priority}'")
            await _push(tab, "priority-order")
            await tab.until(f"{_answer('priority-order')}.startsWith('{priority} ')")
        for run, records in (("low-latency", 100), ("benchmark", 10_000)):
            await tab.value(f"document.querySelector('[data-run={run}] input').value = {records}")
            await _push(tab, run)
            await tab.until(f"{_answer(run)}.startsWith('{run}: ')")
        # The last is looked at while it runs: figures of this moment, not of what was.
        await tab.value(
            f"document.querySelector('[data-run=high-throughput] input').value = {_RECORDS}"
        )
        await _until_it_moves(tab)
        await tab.until(f"{_NUMBER.format('delivered')} > {_SEEN}")
        picture = await tab.picture()
        await _everything_is_shown(tab)
        await tab.until(f"{_answer('high-throughput')}.startsWith('high-throughput: ')")
        assert tab.complaints == []
        await _a_refusal_is_shown(tab)
    _is_a_picture(picture)
    if os.environ.get("LAB_PICTURE"):
        PICTURE.write_bytes(picture)


async def _until_it_moves(tab: Tab) -> None:
    """Push, and again if a run was over before the page had looked."""
    await _push(tab, "high-throughput")
    deadline = time.monotonic() + PATIENCE
    button = "document.querySelector('[data-run=high-throughput] button')"
    while not await tab.value(f"{_NUMBER.format('rate')} > 0 && {_layers('throughput')}"):
        assert time.monotonic() < deadline, await tab.value("document.body.innerText")
        if not await tab.value(f"{button}.disabled"):
            await _push(tab, "high-throughput")
        await asyncio.sleep(0.1)


async def _push(tab: Tab, run: str) -> None:
    await tab.value("document.getElementById('answer').textContent = ''")
    await tab.value(f"document.querySelector('[data-run={run}] button').click()")


def _answer(run: str) -> str:
    return "document.getElementById('answer').textContent"


def _layers(name: str) -> str:
    """Whether the chart has a layer of this producer with some height."""
    return (
        f"[...document.querySelectorAll('#chart polygon')].some(p =>"
        f" p.getAttribute('fill') === 'var(--{name})' && p.getBBox().height > 1)"
    )


async def _everything_is_shown(tab: Tab) -> None:
    await tab.until("document.querySelectorAll('#latency .dot').length >= 9")
    await tab.until("[...document.querySelectorAll('#fill i')].some(i => i.offsetWidth > 0)")
    await tab.until("[...document.querySelectorAll('#seals i')].some(i => i.offsetWidth > 0)")
    await tab.until("document.querySelectorAll('#seal-legend .key').length > 0")
    # All six partitions of the topic that the runs write to have got something.
    await tab.until(
        "[...document.querySelectorAll('#partitions > div:first-child .col i')]"
        ".filter(i => i.offsetHeight > 1).length === 6"
    )
    # The lane of HIGH orders, and at least one other.
    await tab.until(
        "[...document.querySelectorAll('#partitions > div:nth-child(2) .col i')]"
        ".filter(i => i.offsetHeight > 1).length >= 2"
    )
    await tab.until("document.querySelectorAll('#diagnosis li').length > 0")
    await tab.until("document.querySelectorAll('#runs tr:not(.none)').length >= 2")


async def _a_refusal_is_shown(tab: Tab) -> None:
    await tab.value("document.querySelector('[data-run=low-latency] input').max = ''")
    await tab.value("document.querySelector('[data-run=low-latency] input').value = 999999")
    await _push(tab, "low-latency")
    await tab.until("document.getElementById('answer').className === 'bad'")
    assert "422: count" in await tab.value("document.getElementById('answer').textContent")


def _is_a_picture(picture: bytes) -> None:
    assert picture.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", picture[16:24])
    assert width == 1360
    assert height > 800
    assert len(picture) < 300_000


def test_the_picture_in_the_docs_is_one() -> None:
    """Made by LAB_PICTURE=1 and the test above."""
    _is_a_picture(PICTURE.read_bytes())
    for page in ("README.md", "docs/lab.md"):
        assert "images/lab.png" in (ROOT / page).read_text()
