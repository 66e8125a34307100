"""What the commands say by their exit status; docs/cli.md has the table."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """The exit status of every command."""

    OK = 0
    FAILED = 1
    """Records were not delivered, a difference or a finding was found, the cluster refused."""
    WRONG_USE = 2
    """Arguments, settings or files that make no sense."""
    INCOMPLETE = 3
    """The doctor could not look at everything."""
    MALFORMED = 4
    """A line of the input is no record; what stands before it was delivered."""
    INTERRUPTED = 130
    """Ctrl-C, as a shell counts it: 128 and the number of the signal."""
    BROKEN_PIPE = 141
    """Whoever read the output has left, as with `| head`."""
    TERMINATED = 143
    """SIGTERM."""
