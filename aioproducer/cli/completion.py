"""`aioproducer completion SHELL`: what a shell needs to complete commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from aioproducer.cli.exit_status import Exit

SHELLS = ("bash", "zsh", "fish")
_PROGRAM = "aioproducer"
_VARIABLE = "_AIOPRODUCER_COMPLETE"


@click.command(short_help="Print what a shell needs to complete.")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> int:
    """Print a script that has SHELL complete commands and options.

    \b
    bash:  eval "$(aioproducer completion bash)"    in ~/.bashrc
    zsh:   eval "$(aioproducer completion zsh)"     in ~/.zshrc
    fish:  aioproducer completion fish | source     in ~/.config/fish/config.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None
    root = ctx.find_root().command
    click.echo(kind(root, {}, _PROGRAM, _VARIABLE).source())
    return Exit.OK
