"""What `ml-dash log` shows: commits, those that follow each other and hold nothing but points and lines as one entry.

1. A commit in which anything else happened, such as a changed parameter or a saved file, is an entry of its own.
2. What was chosen away is not counted, but known: a parameter's old value is what it was, chosen or not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ..facts.events import PARAMS_SET, RUN_STARTED, VALUE_CORRECTED, WRITER_JOINED, Event
from ..reading.audit import LoggedCommit, Stream
from .event_words import Narrator

_Key = TypeVar("_Key", str, Stream)


@dataclass(frozen=True, slots=True)
class Author:
    """A process that recorded; what is not known of it is None."""

    writer: str
    user: str | None = None
    host: str | None = None
    pid: int | None = None
    rank: int | None = None

    def __str__(self) -> str:
        """`alice@node1 pid 4711 rank 0`."""
        place = "@".join(part for part in (self.user, self.host) if part) or f"writer {self.writer}"
        pid = f" pid {self.pid}" if self.pid is not None else ""
        return f"{place}{pid}" + (f" rank {self.rank}" if self.rank is not None else "")


@dataclass(frozen=True, slots=True)
class Told:
    """An event that stands for itself, in words; `changes` are `(parameter, old, new)`."""

    event: Event
    words: str
    changes: list[tuple[str, Any, Any]]


@dataclass(slots=True)
class Entry:
    """One or more commits that follow each other.  `authors` are the processes and how many events each recorded."""

    first: int
    last: int
    since_us: int
    until_us: int
    hash: str
    commits: int = 0
    sessions: dict[str, int | None] = field(default_factory=dict)
    authors: dict[Author, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    streams: dict[Stream, int] = field(default_factory=dict)
    told: list[Told] = field(default_factory=list)

    @property
    def is_quiet(self) -> bool:
        return not self.told

    def add(self, commit: LoggedCommit, author: Author, attempt: int | None) -> None:
        self.last, self.until_us, self.hash = commit.last, commit.time_us, commit.hash
        self.commits += 1
        self.sessions[commit.session] = attempt
        _count(self.counts, commit.counts)
        _count(self.streams, commit.streams)
        self.authors[author] = self.authors.get(author, 0) + commit.last - commit.first + 1


@dataclass(frozen=True, slots=True)
class Choice:
    """Which commits are shown, and what of them; everything where nothing is given."""

    since_us: int | None = None
    until_us: int | None = None
    session: str | None = None
    writer: str | None = None
    types: tuple[str, ...] = ()
    param: str | None = None

    def has(self, commit: LoggedCommit, author: Author, attempt: int | None) -> bool:
        if self.since_us is not None and commit.time_us < self.since_us:
            return False
        if self.until_us is not None and commit.time_us > self.until_us:
            return False
        if self.session is not None and self.session != str(attempt) and not commit.session.startswith(self.session):
            return False
        if self.writer is not None and not commit.writer.startswith(self.writer):
            words = {author.user, author.host, f"{author.user}@{author.host}", str(author.pid)}
            return self.writer in words
        return True

    def of(self, told: Iterable[Told], narrator: Narrator) -> list[Told]:
        chosen = [each for each in told if not self.types or each.event.type in self.types]
        if self.param is None:
            return chosen
        return [found for each in chosen if (found := self._of_param(each, narrator)) is not None]

    def counts(self, counts: dict[str, int]) -> dict[str, int]:
        if self.param is not None:
            return {}
        return {kind: count for kind, count in counts.items() if not self.types or kind in self.types}

    def _of_param(self, told: Told, narrator: Narrator) -> Told | None:
        changes = [change for change in told.changes if self._is_param(change[0])]
        if told.event.type == VALUE_CORRECTED and isinstance(data := told.event.data.get("data"), dict):
            return told if any(map(self._is_param, data)) else None
        return Told(told.event, narrator.words(told.event, changes), changes) if changes else None

    def _is_param(self, key: str) -> bool:
        assert self.param is not None
        return key == self.param or key.startswith(f"{self.param}.")


def entries(commits: Iterable[LoggedCommit], choice: Choice, narrator: Narrator) -> Iterator[Entry]:
    """What is shown of these commits, which stand in order, oldest first."""
    authors: dict[str, Author] = {}
    entry: Entry | None = None
    for commit in commits:
        attempt = narrator.attempt(commit.session)
        told = [_tell(event, narrator) for event in commit.events]
        author = _author(commit, authors)
        if not choice.has(commit, author, attempt):
            continue
        told = choice.of(told, narrator)
        chosen = choice.counts(commit.counts)
        if not told and not chosen:
            continue
        if entry is not None and not (entry.is_quiet and not told):
            yield entry
            entry = None
        if entry is None:
            entry = Entry(commit.first, commit.last, commit.time_us, commit.time_us, commit.hash)
        streams = {stream: count for stream, count in commit.streams.items() if stream[0] in chosen}
        shown = LoggedCommit(
            commit.first, commit.last, commit.time_us, commit.writer, commit.session, commit.hash, chosen, streams, ()
        )
        entry.add(shown, author, attempt)
        entry.told += told
    if entry is not None:
        yield entry


def _count(counts: dict[_Key, int], more: dict[_Key, int]) -> None:
    for key, count in more.items():
        counts[key] = counts.get(key, 0) + count


def _tell(event: Event, narrator: Narrator) -> Told:
    changes = narrator.changes(event) if event.type == PARAMS_SET else []
    return Told(event, narrator.words(event, changes), changes)


def _author(commit: LoggedCommit, known: dict[str, Author]) -> Author:
    """Who recorded a commit, as far as its events or earlier ones say."""
    for event in commit.events:
        data = event.data
        if event.type in (RUN_STARTED, WRITER_JOINED):
            environment = data.get("environment") or {}
            parent = known.get(str(data.get("parent")), Author(""))
            user = environment.get("user", parent.user) if isinstance(environment, dict) else None
            known[event.writer] = Author(event.writer, user, data.get("host"), data.get("pid"), data.get("rank"))
        elif isinstance(by := data.get("by"), str) and event.writer not in known:
            user, _, host = by.partition("@")
            known[event.writer] = Author(event.writer, user, host or None)
    found = known.get(commit.writer)
    if found is None:
        # What `expect` commits has a writer of its own, in a session that somebody opened.
        opened = known.get(commit.session, Author(""))
        found = known[commit.writer] = Author(commit.writer, opened.user, opened.host)
    return found
