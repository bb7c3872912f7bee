"""`ml-dash completion`: the script that makes the shell complete `ml-dash` commands."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from .commands import COMPLETE_VARIABLE, PROGRAM, group
from .output import Output

SHELLS = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def command(shell: str, as_json: bool) -> None:
    """Print the script that completes commands, options, prefixes, metrics and parameters when Tab is pressed.

    \b
    bash: add to ~/.bashrc                    eval "$(ml-dash completion bash)"
    zsh:  add to ~/.zshrc, behind compinit    eval "$(ml-dash completion zsh)"
    fish: run once      ml-dash completion fish > ~/.config/fish/completions/ml-dash.fish

    Example: eval "$(ml-dash completion bash)"
    """
    found = get_completion_class(shell)
    assert found is not None
    script = found(group, {}, PROGRAM, COMPLETE_VARIABLE).source()
    if as_json:
        Output(as_json).json({"shell": shell, "script": script})
    else:
        click.echo(script)
