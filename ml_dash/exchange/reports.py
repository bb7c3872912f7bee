"""What an import or export carried over, counted, and what it did not: nothing is dropped silently."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

Series = tuple[str | None, str]
"""A metric's name and a field of it."""


class Tally:
    """Counts while a source is read.

    `values` are the values read of each field of each metric; `kept` what else was carried over, by kind; `left_out`
    what could not be, by kind; `notes` are sentences for people.
    """

    def __init__(self) -> None:
        self.values: Counter[Series] = Counter()
        self.kept: Counter[str] = Counter()
        self.left_out: Counter[str] = Counter()
        self.notes: list[str] = []

    def read(self, name: str | None, key: str) -> None:
        """A value of a metric was read in the source."""
        self.values[name, key] += 1

    def keep(self, kind: str, count: int = 1) -> None:
        self.kept[kind] += count

    def leave_out(self, kind: str, count: int = 1, note: str | None = None) -> None:
        if count:
            self.left_out[kind] += count
        if note is not None:
            self.note(note)

    def note(self, sentence: str) -> None:
        if sentence not in self.notes:
            self.notes.append(sentence)


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of one experiment of a source.

    `outcome` is "imported", "replaced" (`force=True`; the journal before is kept), "already imported" (nothing was
    done, and the counts are empty) or "failed" (one of several; `notes` has the error).  `values_read` counts what the
    source has of each field of each metric and `values_written` what was read back from the new journal: they are
    equal, else the import fails.  `left_out` says by kind what could not be carried over.
    """

    source: str
    format: str
    prefix: str
    outcome: str
    events: int = 0
    values_read: dict[Series, int] = field(default_factory=dict)
    values_written: dict[Series, int] = field(default_factory=dict)
    kept: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain, for `--json`; metrics by name, the unnamed one under "", then fields."""
        metrics: dict[str, dict[str, dict[str, int]]] = {}
        for (name, key), count in self.values_read.items():
            written = self.values_written.get((name, key), 0)
            metrics.setdefault(name or "", {})[key] = {"read": count, "written": written}
        return {
            "source": self.source,
            "format": self.format,
            "prefix": self.prefix,
            "outcome": self.outcome,
            "events": self.events,
            "values_read": sum(self.values_read.values()),
            "values_written": sum(self.values_written.values()),
            "metrics": metrics,
            "kept": self.kept,
            "left_out": self.left_out,
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What became of one experiment: `files` that were written ("-" is standard output), `counts` of what is in them
    by kind, and by kind what the format could not say; `is_damaged` that the journal holds more than can be read."""

    prefix: str
    format: str
    files: tuple[str, ...]
    counts: dict[str, int]
    left_out: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    is_damaged: bool = False

    def as_dict(self) -> dict[str, Any]:
        return {
            "prefix": self.prefix,
            "format": self.format,
            "files": list(self.files),
            "counts": self.counts,
            "left_out": self.left_out,
            "notes": list(self.notes),
            "is_damaged": self.is_damaged,
        }
