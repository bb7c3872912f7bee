"""One wandb run, record by record, as events of one session."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from operator import attrgetter
from pathlib import Path
from typing import Any

from ..errors import StorageError
from ..facts.events import (
    EXPERIMENT_DESCRIBED,
    LOG_WRITTEN,
    METRIC_LOGGED,
    OUTPUT_WRITTEN,
    PARAMS_SET,
    RUN_COMPLETED,
    RUN_FAILED,
    RUN_STARTED,
    Event,
)
from ..opening.secrets_mask import mask_arguments
from ..recording.output_lines import Lines
from ..recording.param_forms import flatten
from .reports import Tally
from .sources import Author, Target, file_saved, split_name
from .wandb_records import as_dict, nested, pairs, seconds_us

HEAD = frozenset(("header", "run", "environment", "config", "telemetry", "files", "metric", "summary"))
"""Records that may stand before the first that a program wrote: what the run itself is."""
BOOKKEEPING = frozenset(
    ("header", "footer", "telemetry", "files", "final", "run", "environment", "request", "preempting")
)
"""Records that hold nothing besides what is read from them elsewhere."""
SYSTEM = "system"
_ROW = ("_step", "_runtime")
_LEVELS = {"INFO": "info", "WARN": "warn", "WARNING": "warn", "ERROR": "error"}


class Session:
    """`head` are the records before the first that the program wrote."""

    def __init__(self, log: Path, target: Target, tally: Tally, head: list[Any]) -> None:
        self._folder = log.parent
        self._log = log
        self._target = target
        self._tally = tally
        self._author = Author()
        self._lines = {"stdout": Lines(), "stderr": Lines()}
        self._run: Any = None
        self._environment: dict[str, Any] = {}
        self._summary: dict[tuple[str, ...], Any] = {}
        self._metrics: list[dict[str, Any]] = []
        self._exit_code: int | None = None
        for record in head:
            self._look_at(record)
        began_us = seconds_us(self._run.start_time) if self._run is not None else 0
        self._began_us = began_us or int(log.stat().st_mtime * 1_000_000)
        self._last_us = self._began_us

    # -- begin and end -------------------------------------------------------------------------------------------

    def begin(self) -> Iterator[Event]:
        run = self._run
        if run is None:
            self._tally.note(f"{self._log.name} has no run record: name, configuration, tags and notes are unknown")
        environment = {**self._described_environment(), "imported": self._target.imported}
        started = {
            "session": self._author.session,
            "prefix": self._target.prefix,
            "host": (run.host if run is not None else "") or environment.get("host"),
            "pid": None,
            "rank": None,
            "environment": environment,
        }
        yield self._author.event(self._began_us, RUN_STARTED, started)
        described: dict[str, Any] = {"metadata": {"wandb": self._identity()}}
        if run is not None and run.notes:
            described["description"] = run.notes
            self._tally.keep("notes, as description")
        if run is not None and run.tags:
            described["tags"] = list(run.tags)
            self._tally.keep("tags", len(run.tags))
        yield self._author.event(self._began_us, EXPERIMENT_DESCRIBED, described)
        if run is not None:
            yield from self._params(run.config.update, self._began_us)

    def end(self) -> Event:
        session = {"session": self._author.session}
        if self._exit_code == 0:
            return self._author.event(self._last_us, RUN_COMPLETED, session)
        if self._exit_code is None:
            self._tally.note(f"{self._log.name} has no end: the run died, or is going on; it stands as failed, lost")
            return self._author.event(self._last_us, RUN_FAILED, {**session, "reason": "lost", "error": None})
        error = {"type": "SystemExit", "message": f"exit code {self._exit_code}", "traceback": ""}
        return self._author.event(self._last_us, RUN_FAILED, {**session, "reason": "stated", "error": error})

    def _identity(self) -> dict[str, Any]:
        run = self._run
        found: dict[str, Any] = {"id": self._log.stem.removeprefix("run-")}
        for key in ("display_name", "run_group", "job_type", "entity", "project", "sweep_id"):
            if run is not None and getattr(run, key):
                found[{"display_name": "name", "run_group": "group"}.get(key, key)] = getattr(run, key)
        if self._metrics:
            found["define_metric"] = self._metrics
        return found

    def _described_environment(self) -> dict[str, Any]:
        """As a session's environment has it; what it has no word for stands under `wandb`."""
        known: dict[str, Any] = {}
        with suppress(OSError, ValueError):
            # Releases before 0.19 wrote it to a file.
            known = json.loads((self._folder / "files" / "wandb-metadata.json").read_bytes())
        known = {**known, **self._environment}
        known.pop("started_at", None)
        git = known.pop("git", None)
        program, arguments = known.pop("program", None), known.pop("args", [])
        environment: dict[str, Any] = {
            "python": str(known.pop("python", "")).removeprefix("CPython ") or None,
            "platform": known.pop("os", None),
            "user": known.pop("username", None),
            "executable": known.pop("executable", None),
            "cwd": known.pop("root", None),
            "argv": mask_arguments([program, *arguments] if program else list(arguments), {}),
            "git": {"commit": git.get("commit"), "dirty": None, "branch": None} if isinstance(git, dict) else None,
            "packages": self._packages(),
        }
        if known:
            environment["wandb"] = known
        return environment

    def _packages(self) -> dict[str, str]:
        try:
            lines = (self._folder / "files" / "requirements.txt").read_text("utf-8", "replace").splitlines()
        except OSError:
            return {}
        return dict(line.split("==", 1) for line in lines if "==" in line)

    # -- what the program recorded -------------------------------------------------------------------------------

    def follow(self, records: Iterable[Any]) -> Iterator[Event]:
        """The events of all records, in order."""
        for record in records:
            kind = record.WhichOneof("record_type")
            handle = getattr(self, f"_on_{kind}", None)
            if handle is not None:
                yield from handle(getattr(record, kind))
            elif kind not in BOOKKEEPING:
                self._tally.leave_out(f"{kind or 'unknown'} record")
        for stream, lines in self._lines.items():
            for text in lines.finish():
                yield self._output(stream, text, self._last_us)
        if self._summary:
            self._tally.keep("summary values, as metadata", len(self._summary))
            summary = nested((list(path), value) for path, value in self._summary.items())
            metadata = {"wandb": {**self._identity(), "summary": summary}}
            yield self._author.event(self._last_us, EXPERIMENT_DESCRIBED, {"metadata": metadata})

    def _look_at(self, record: Any) -> None:
        kind = record.WhichOneof("record_type")
        if kind == "run" and self._run is None:
            self._run = record.run
        elif kind == "environment":
            self._environment |= as_dict(record.environment)

    def _at(self, time_us: int) -> int:
        self._last_us = max(self._last_us, time_us)
        return time_us

    def _on_history(self, history: Any) -> Iterator[Event]:
        row = nested(pairs(history.item))
        row.setdefault("_step", int(history.step.num))
        stamp = row.pop("_timestamp", None)
        shared = {key: row.pop(key) for key in _ROW if key in row}
        if isinstance(stamp, int | float) and not isinstance(stamp, bool):
            time_us = self._at(round(stamp * 1_000_000))
            shared["_ts"] = stamp
        else:
            time_us = self._last_us
        metrics: dict[str | None, dict[str, Any]] = {}
        for top, value in row.items():
            if top == "_wandb":
                continue
            name, key = split_name(top)
            metrics.setdefault(name, {}).update(_fields(key, value))
        for name, fields in (metrics or {None: {}}).items():
            fields = {**shared, **fields}
            for key in fields:
                self._tally.read(name, key)
            yield self._author.event(time_us, METRIC_LOGGED, {"name": name, "fields": fields})

    def _on_stats(self, stats: Any) -> Iterator[Event]:
        time_us = self._at(seconds_us(stats.timestamp))
        fields = {"_ts": time_us / 1_000_000, **{".".join(path): value for path, value in pairs(stats.item)}}
        for key in fields:
            self._tally.read(SYSTEM, key)
        yield self._author.event(time_us, METRIC_LOGGED, {"name": SYSTEM, "fields": fields})

    def _on_output_raw(self, output: Any) -> Iterator[Event]:
        stream = "stdout" if output.output_type == output.STDOUT else "stderr"
        time_us = self._at(seconds_us(output.timestamp) or self._last_us)
        for text in self._lines[stream].feed(output.line.encode("utf-8", "surrogatepass")):
            yield self._output(stream, text, time_us)

    _on_output = _on_output_raw

    def _output(self, stream: str, text: str, time_us: int) -> Event:
        self._tally.keep("output lines")
        return self._author.event(time_us, OUTPUT_WRITTEN, {"stream": stream, "text": text})

    def _on_config(self, config: Any) -> Iterator[Event]:
        yield from self._params(config.update, self._last_us)
        self._tally.leave_out("removed configuration key", len(config.remove))

    def _params(self, items: Iterable[Any], time_us: int) -> Iterator[Event]:
        found = nested(pairs(items))
        found.pop("_wandb", None)
        params = flatten(found)
        if params:
            self._tally.keep("parameters", len(params))
            yield self._author.event(time_us, PARAMS_SET, {"params": params})

    def _on_summary(self, summary: Any) -> Iterator[Event]:
        for path, value in pairs(summary.update):
            if path[0] != "_wandb":
                self._summary[tuple(path)] = value
        for each in summary.remove:
            self._summary.pop(tuple(each.nested_key) or (each.key,), None)
        return iter(())

    def _on_metric(self, metric: Any) -> Iterator[Event]:
        said = as_dict(metric)
        self._metrics.append({key: value for key, value in said.items() if not key.startswith("_")})
        self._tally.keep("metric definitions, as metadata")
        return iter(())

    def _on_alert(self, alert: Any) -> Iterator[Event]:
        self._tally.keep("alerts, as log lines")
        data = {
            "message": f"{alert.title}: {alert.text}" if alert.title else alert.text,
            "level": _LEVELS.get(alert.level.upper(), "info"),
            "metadata": {"alert": alert.title},
        }
        yield self._author.event(self._last_us, LOG_WRITTEN, data)

    def _on_exit(self, exited: Any) -> Iterator[Event]:
        self._exit_code = int(exited.exit_code)
        self._at(self._began_us + int(exited.runtime) * 1_000_000)
        return iter(())

    # -- files ---------------------------------------------------------------------------------------------------

    def files(self) -> Iterator[Event]:
        """The files of the run, each at the time when it was written, in that order."""
        folder = self._folder / "files"
        found = sorted(path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
        events = []
        for path in found:
            name = path.relative_to(folder)
            try:
                content = self._target.store.copy_in(str(path))
                time_us = max(self._began_us, int(path.stat().st_mtime * 1_000_000))
            except (OSError, StorageError) as error:
                self._tally.leave_out("file that cannot be read", 1, f"{name}: {error}")
                continue
            self._tally.keep("files")
            where = "/" + "/".join(name.parts[:-1])
            events.append(self._author.saved(time_us, file_saved(content, where, name.name)))
        self._tally.leave_out("debug log of wandb itself", sum(1 for _ in self._folder.glob("logs/*.log")))
        for event in sorted(events, key=attrgetter("time_us")):
            self._at(event.time_us)
            yield event


def _fields(key: str, value: Any) -> dict[str, Any]:
    """A value of a history as fields: what is inside an object stands under dotted names, media stay whole."""
    if isinstance(value, dict) and "_type" not in value and value:
        return {f"{key}.{name}": inner for name, inner in flatten(value).items()}
    return {key: value}
