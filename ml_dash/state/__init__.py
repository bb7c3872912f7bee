"""State: what an experiment is after some of its events, and the fold that derives it.  One name for all rooms of it.

nouns           the frozen dataclasses
status          how an experiment stands, from its sessions
series          metrics and tracks: adding columns of points
parameters      the flat view of parameters, kept free of contradictions
draft           a state under construction
corrections     what events say after they were corrected
redactions      values that were taken out of the bytes of a commit
session_events  what events say of sessions and writers
stream_events   what they say of metrics, tracks, log lines and output
file_events     what they say of saved files
fold            events → state
attempts        which points count where a training went back
supersessions   which attempt took the place of which steps of another one
forks           what a fork begins with
joining         what a machine begins with that joins others
standing        files that are not deleted
differences     what differs between two states
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
from .plain_state import FOLD_VERSION, from_plain_state, glance_of, to_plain_state
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
    "glance_of",
    "status_of",
    "to_plain_state",
]
