"""An experiment's state as JSON, the same for every command that prints one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..clock import to_datetime
from ..history import Run, Summary
from ..state import Correction, FieldState, FileState, MetricState, Redaction, Session, TrackState
from ..state.nouns import Fork
from ..state.supersessions import Attempt, Supersession


def json_run(run: Run) -> dict[str, Any]:
    """Everything `ml_dash.load` knows but points and log lines, which have commands of their own."""
    state = run.state
    return {
        "prefix": run.prefix,
        "status": str(run.status),
        "silentSince": run.silent_since,
        "seq": run.seq,
        "created": run.created,
        "updated": run.updated,
        "description": run.description,
        "tags": list(run.tags),
        "bindrs": list(run.bindrs),
        "metadata": run.metadata,
        "params": dict(run.params),
        "fork": json_fork(run.fork) if run.fork is not None else None,
        "sessions": [json_session(session) for session in run.sessions],
        "attempts": [json_attempt(attempt, run.supersessions) for attempt in run.attempts],
        # JSON has no null among its keys: the unnamed metric stands in a list with the others.
        "metrics": [json_metric(metric) for metric in state.metrics.values()],
        "tracks": [json_track(track) for track in state.tracks.values()],
        "files": [json_file(file) for file in state.files.values()],
        "logs": dict(state.log_counts),
        "corrections": [json_correction(correction) for correction in state.corrections.values()],
        "redactions": [json_redaction(redaction) for redaction in state.redactions.values()],
        "unknown": dict(state.unknown),
        "damage": len(run.damage),
    }


def json_summary(summary: Summary) -> dict[str, Any]:
    """One experiment of a list; `error` says why it cannot be read."""
    return {
        "prefix": summary.prefix,
        "status": str(summary.status) if summary.status is not None else None,
        "silentSince": summary.silent_since,
        "seq": summary.seq,
        "sessions": summary.sessions,
        "created": summary.created,
        "started": summary.started,
        "updated": summary.updated,
        "description": summary.description,
        "tags": list(summary.tags),
        "bindrs": list(summary.bindrs),
        "damage": len(summary.damage),
        "forkedFrom": summary.forked_from,
        "error": summary.error,
    }


def json_fork(fork: Fork) -> dict[str, Any]:
    return {"prefix": fork.prefix, "seq": fork.seq, "journal": fork.journal, "hash": fork.hash}


def json_attempt(attempt: Attempt, supersessions: Iterable[Supersession]) -> dict[str, Any]:
    """`supersedes` are the steps of other attempts that do not count any more because of this one."""
    return {
        "name": attempt.name,
        "session": attempt.session,
        "began_seq": attempt.began_seq,
        "ended_seq": attempt.ended_seq,
        "rewound": dict(attempt.rewound),
        "supersedes": [
            {
                "attempt": each.of,
                "field": each.field,
                "first": each.first,
                "last": each.last,
                "above_first": each.is_rewind,
                "metrics": list(each.metrics),
            }
            for each in supersessions
            if each.by == attempt.name
        ],
    }


def json_correction(correction: Correction) -> dict[str, Any]:
    return {
        "seq": correction.seq,
        "corrected": correction.corrected,
        "data": correction.data,
        "reason": correction.reason,
        "by": correction.by,
        "time": to_datetime(correction.time_us),
    }


def json_redaction(redaction: Redaction) -> dict[str, Any]:
    return {
        "seq": redaction.seq,
        "redacted": redaction.redacted,
        "field": redaction.field,
        "reason": redaction.reason,
        "by": redaction.by,
        "time": to_datetime(redaction.time_us),
    }


def json_session(session: Session) -> dict[str, Any]:
    return {
        "id": session.id,
        "attempt": session.attempt,
        "status": str(session.status),
        "reason": session.reason,
        "error": session.error,
        "started": to_datetime(session.started_us),
        "ended": to_datetime(session.ended_us) if session.ended_us is not None else None,
        "host": session.host,
        "pid": session.pid,
        "rank": session.rank,
        "inherited": session.is_inherited,
        "writers": list(session.writers),
    }


def json_metric(metric: MetricState) -> dict[str, Any]:
    return {
        "name": metric.name,
        "description": metric.description,
        "tags": list(metric.tags),
        "points": metric.count,
        "fields": json_fields(metric.fields),
    }


def json_fields(fields: Mapping[str, FieldState]) -> dict[str, Any]:
    return {
        name: {
            "last": field.last,
            "min": field.min,
            "max": field.max,
            "mean": field.sum / field.count if field.count else None,
            "count": field.count,
        }
        for name, field in fields.items()
    }


def json_track(track: TrackState) -> dict[str, Any]:
    return {
        "topic": track.name,
        "entries": track.count,
        "first_ts": track.first_ts,
        "last_ts": track.last_ts,
        "fields": list(track.fields),
    }


def json_file(file: FileState) -> dict[str, Any]:
    return {
        "id": file.id,
        "path": file.path,
        "filename": file.filename,
        "sizeBytes": file.size_bytes,
        "checksum": file.checksum,
        "uploadedAt": to_datetime(file.uploaded_us),
        "deletedAt": to_datetime(file.deleted_us) if file.deleted_us is not None else None,
    }
