"""The exit statuses, and the table that documents them."""

from __future__ import annotations

import re
import signal
from pathlib import Path

from aioproducer.cli import WRONG_USE
from aioproducer.cli.demo import COULD_NOT_RUN, DIFFERENT
from aioproducer.cli.doctor import FINDINGS, INCOMPLETE
from aioproducer.cli.exit_status import Exit

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"


def test_the_table_has_every_status() -> None:
    rows = re.findall(r"^\| (\d+) \| .+ \|$", PAGE.read_text(), re.MULTILINE)
    assert [int(row) for row in rows] == [int(status) for status in Exit]


def test_signals_count_as_a_shell_counts_them() -> None:
    assert Exit.INTERRUPTED == 128 + signal.SIGINT
    assert Exit.TERMINATED == 128 + signal.SIGTERM
    assert Exit.BROKEN_PIPE == 128 + signal.SIGPIPE


def test_no_command_has_statuses_of_its_own() -> None:
    assert (WRONG_USE, FINDINGS, INCOMPLETE) == (Exit.WRONG_USE, Exit.FAILED, Exit.INCOMPLETE)
    assert (DIFFERENT, COULD_NOT_RUN) == (Exit.FAILED, Exit.WRONG_USE)
