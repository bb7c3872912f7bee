"""The command `ml-dash`, also `python -m ml_dash`.

    commands      the group, and what every command shares: roots, `--json`, exit codes
    list_command show log diff events tail verify recover archive redact export import_command
    ship pull login logout whoami profile serve server_command doctor demo completion version       a file a command
    output damage        tables for people, plain lines in a pipe, JSON for programs; what is damaged, as the last word
    state_form wording event_words figures moment       states, values, events, numbers and moments as text
    naming        which experiments a command is about
    list_columns log_entries tail_screen doctor_…       what a command with much to show shows
    completing    what Tab offers

`spec/command-line.md` is normative.

Exit codes: 0 well; 1 failed, with one line on stderr that says why; 2 the command itself was wrong.
"""

from __future__ import annotations


def main() -> None:
    """Runs the command line and exits."""
    # Here and not above: `import ml_dash.cli` must cost nothing to those who only want the package.
    from .commands import run

    run()
