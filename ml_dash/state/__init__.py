"""State: what an experiment is after some of its events, and the fold that derives it.  One name for all rooms of it.

nouns           the frozen dataclasses
status          how an experiment stands, from its sessions
series          metrics and tracks: adding columns of points
parameters      the flat view of parameters, kept free of contradictions
draft           a state under construction
corrections     what events say after they were corrected
redactions      values that were taken out of the bytes of a commit
session_events  what events say of sessions and writers
fold            events → state
plain_state     state ↔ plain JSON, for the checkpoint

Pure: no I/O.
"""

from .fold import UNDECODABLE, CommitFacts, Fold, apply, blocks_before, fold, fold_commit
from .nouns import (
    EMPTY,
    Correction,
    FieldState,
    FileState,
    FrozenDict,
    MetricState,
    Redaction,
    Session,
    State,
    TrackState,
    WriterState,
)
from .plain_state import FOLD_VERSION, from_plain_state, to_plain_state
from .status import Status, status_of

__all__ = [
    "EMPTY",
    "FOLD_VERSION",
    "UNDECODABLE",
    "CommitFacts",
    "Correction",
    "FieldState",
    "FileState",
    "Fold",
    "FrozenDict",
    "MetricState",
    "Redaction",
    "Session",
    "State",
    "Status",
    "TrackState",
    "WriterState",
    "apply",
    "blocks_before",
    "fold",
    "fold_commit",
    "from_plain_state",
    "status_of",
    "to_plain_state",
]
