"""`ml-dash doctor`: whether everything that recording needs is in order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
from click.exceptions import Exit
from rich.table import Table
from rich.text import Text

from ..errors import NotFoundError
from ..opening import environment_variables
from ..opening.left_to_ship import state_roots
from ..opening.place import DEFAULT_ROOT, find_place
from ..reading.listing import prefixes_below, root_of
from . import doctor_surroundings as surroundings
from .commands import EXIT_FAILED, Source, reads_experiments
from .doctor_file_system import examine
from .doctor_leftovers import leftovers, unshipped
from .finding import Finding, Verdict
from .output import Output

SIGNS = {Verdict.WELL: ("✓", "green"), Verdict.NOTE: ("!", "yellow"), Verdict.WRONG: ("✗", "bold red")}


@click.command("doctor")
@reads_experiments
def command(source: Source, output: Output) -> None:
    """Look whether everything that recording needs is in order; exit code 1 if something is wrong.

    The file system of the dash root is tried out: locks by two processes, syncing, mapped files. So are the keychain,
    and the server where --dash-url or ML_DASH_API_URL names one. Below the root it looks for what crashes and damage
    have left and what has not arrived at its server, and says what to do about it. No token is ever printed.

    Example: ml-dash doctor --dash-root /scratch/dash
    """
    found: list[Finding] = []
    with output.busy("looking"):
        found += _findings(source)
    is_well = not any(finding.verdict is Verdict.WRONG for finding in found)
    if output.as_json:
        output.json({"ok": is_well, "findings": [_json(finding) for finding in found]})
    elif output.is_plain:
        for finding in found:
            cells = finding.verdict.value, finding.section, finding.name, finding.text, finding.advice
            output.cells(" ".join(cell.split()) for cell in cells)
    else:
        _print(found, output)
    if not is_well:
        raise Exit(EXIT_FAILED)


def _findings(source: Source) -> Iterator[Finding]:
    yield from surroundings.versions()
    yield from surroundings.variables()
    root = find_place(DEFAULT_ROOT if source.dash_root is None else source.dash_root, None).root
    yield from examine(root)
    yield from _in_experiments(root)
    named = source.dash_url or environment_variables.text("ML_DASH_API_URL")
    yield from surroundings.keychain(named)
    if named is not None:
        yield from surroundings.server(named)


def _in_experiments(root: Path) -> Iterator[Finding]:
    try:
        prefixes = prefixes_below(root_of(root))
    except NotFoundError:
        return
    yield from leftovers(root, prefixes)
    yield from unshipped([root, *state_roots()])


def _json(finding: Finding) -> dict[str, str]:
    return {
        "verdict": finding.verdict.value,
        "section": finding.section,
        "name": finding.name,
        "text": finding.text,
        "advice": finding.advice,
    }


def _print(found: list[Finding], output: Output) -> None:
    for section in dict.fromkeys(finding.section for finding in found):
        output.line(Text(f"\n{section}", style="bold"))
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(width=1)
        grid.add_column(no_wrap=True, overflow="ellipsis", max_width=max(16, output.console.width // 3))
        grid.add_column(overflow="fold")
        for finding in found:
            if finding.section != section:
                continue
            sign, style = SIGNS[finding.verdict]
            text = Text(finding.text)
            if finding.advice:
                text.append(f"\n→ {finding.advice}", style="cyan" if finding.verdict is Verdict.WRONG else "dim")
            grid.add_row(Text(sign, style=style), Text(finding.name), text)
        output.console.print(grid)
    wrong, notes = (sum(finding.verdict is verdict for finding in found) for verdict in (Verdict.WRONG, Verdict.NOTE))
    summary = Text(
        f"\n{wrong} wrong, " if wrong else "\nnothing is wrong, ", style="bold red" if wrong else "bold green"
    )
    output.line(summary.append(f"{notes} to note", style="default"))
