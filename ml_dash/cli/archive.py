"""`ml-dash archive`: compresses what of a journal is not appended to any more."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click
from click.exceptions import Exit
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from ..recording.archiving import Archived, OnProgress, archive
from .commands import EXIT_FAILED, Source, reads_experiments
from .naming import names_experiments
from .output import Output
from .wording import size


@click.command("archive")
@names_experiments
@click.option("--undo", is_flag=True, help="Make archived segments plain again.")
@reads_experiments
def command(prefixes: tuple[str, ...], undo: bool, source: Source, output: Output) -> None:
    """Compress the sealed segments of experiments, all but the newest one of each.

    They are verified before, read back and compared byte for byte before the originals go, and replay the same
    afterwards; no event is dropped. Saved files stay as they are. Needs `pip install 'ml_dash[archive]'`. Exit code 1
    if a segment had to be left as it is.

    Example: ml-dash archive alice/mnist/baseline
    """
    is_complete = True
    for prefix in prefixes:
        with _progress(prefix) as progress:
            done = archive(prefix, undo=undo, progress=progress, **source.arguments)
        is_complete = is_complete and not done.left
        if output.as_json:
            output.json({"prefix": prefix, "undo": undo, **_json(done)})
        else:
            _print(prefix, undo, done, output)
    if not is_complete:
        raise Exit(EXIT_FAILED)


@contextmanager
def _progress(prefix: str) -> Iterator[OnProgress]:
    """A bar on stderr, while somebody looks."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(binary_units=True), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"verifying {prefix}", total=None)
        yield lambda done, total: bar.update(task, description=f"rewriting {prefix}", completed=done, total=total)


def _json(done: Archived) -> dict[str, object]:
    return {
        "segments": list(done.segments),
        "bytes_before": done.bytes_before,
        "bytes_after": done.bytes_after,
        "left": [{"segment": each.segment, "reason": each.reason} for each in done.left],
    }


def _print(prefix: str, undo: bool, done: Archived, output: Output) -> None:
    verb = "plain again" if undo else "archived"
    if done.segments:
        count = f"{len(done.segments)} segment{'s' if len(done.segments) > 1 else ''}"
        output.line(f"{prefix}: {count} {verb}, {size(done.bytes_before)} are {size(done.bytes_after)} now")
    elif not done.left:
        nothing = "no segment is archived" if undo else "nothing to archive: the newest segment stays as it is"
        output.line(f"{prefix}: {nothing}")
    for each in done.left:
        output.line(f"{prefix}: segment {each.segment:08d} was left as it is: {each.reason}")
