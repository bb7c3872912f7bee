"""The command `ml-dash`, also `python -m ml_dash`.

    commands      the group, and what every command shares: roots, `--json`, exit codes
    list_command show events verify recover redact demo version       a file a command
    output        tables for people, plain lines in a pipe, JSON for programs
    state_form wording figures moment       states, values, numbers and moments as text

Exit codes: 0 well; 1 failed, with one line on stderr that says why; 2 the command itself was wrong.
"""

from __future__ import annotations


def main() -> None:
    """Runs the command line and exits."""
    # Here and not above: `import ml_dash.cli` must cost nothing to those who only want the package.
    from .commands import run

    run()
