"""What was recorded, read back and audited: `load`, `events`, `experiments`, `verify`, `recover`.

No open run is needed.  Reading never waits for a writer.  It shows what is intact whatever else is damaged (promise
P4), and no event before the whole commit that it stands in.

Where these look: on the server that `dash_url` names, else in `dash_root` if that is given, else the environment
variable `ML_DASH_ROOT`, else `.dash`.  A server is asked with the token that this machine keeps for it; NetworkError
and AuthenticationError say what it does not answer.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from itertools import chain

from .alarm import Alarm
from .clock import monotonic_s
from .errors import ConfigurationError, NetworkError, NotFoundError, RefusedError, StorageError
from .facts.codec import CodecError, events_of
from .facts.events import Event
from .ids import new_id
from .journal.appender import Appender
from .journal.damage import Damage
from .journal.drain import drain
from .journal.folder import JournalFolder
from .journal.format import CommitLine
from .journal.leftovers import dead_writers, try_drain
from .journal.redaction import finish_begun
from .journal.survey import Redacted, survey
from .opening.arguments import whole_number
from .prefix import parse_prefix
from .reading.following import Follow
from .reading.lineage import Lineage, blocks_of, forked_from, reading
from .reading.listing import folder_of, list_experiments, own_folder_of, root_of
from .reading.origins import damage_of, journals_of, of_journal
from .reading.points import commits_of, iso_time
from .reading.replay import Replay
from .reading.run_view import Run
from .reading.settled import settled
from .reading.sources import REFRESH_INTERVAL_S, check_local, current, is_on_server
from .reading.summary import Summary
from .reading.unread import Unread
from .state import UNDECODABLE, State

__all__ = ["Event", "Report", "Run", "Summary", "events", "experiments", "load", "recover", "verify"]

Root = str | os.PathLike[str] | None

DRAIN_INTERVAL_S = 1.0


@dataclass(frozen=True, slots=True)
class Report:
    """What `verify` found.

    `ok` says that every byte replays, except what was declared or has healed, and what a living writer may be writing
    at the end; `events` and `segments` are how many there are, `head` the hash that the chain ends in, `damage` every
    stretch of bytes that does not replay, `bytes` the size of all segments on disk, `redactions` what was taken out on
    purpose, `archived` how many segments are compressed, `damaged_spools` the files below the spool's folder that dead
    writers left and of which something could not be read: all that could is committed.
    """

    ok: bool
    events: int
    segments: int
    head: str
    damage: tuple[Damage, ...]
    bytes: int
    redactions: tuple[Redacted, ...] = ()
    archived: int = 0
    damaged_spools: tuple[str, ...] = ()


def load(
    prefix: str, *, dash_root: Root = None, dash_url: object = None, at: int | datetime | str | None = None
) -> Run:
    """An experiment as it is, as it was after event number `at`, or as it was at the time `at`.

    At a time means after the last event that was recorded by then; a datetime without a zone is local time.  It may
    also be given as text in ISO 8601.

    Raises PrefixError, NotFoundError where there is no such experiment, ConfigurationError where `at` lies outside its
    history, and StorageError where the folder cannot be read.
    """
    parsed = parse_prefix(prefix)
    folder = folder_of(parsed, root_of(dash_root, dash_url))
    at = _moment(at)
    with reading(folder):
        state, damage = settled(Replay(folder, at))
        damage = [*damage, *damage_of(folder)]
    if isinstance(at, int) and not 1 <= at <= state.seq:
        raise _outside(prefix, f"at={at}", Replay(folder).refresh())
    if isinstance(at, datetime) and not state.seq:
        raise _outside(prefix, f"at={at.isoformat()} is before its first event", Replay(folder).refresh())
    return Run(parsed, folder, state, damage, is_past=at is not None)


def _moment(at: object) -> int | datetime | None:
    if at is None:
        return None
    if isinstance(at, str):
        with suppress(ValueError):
            return datetime.fromisoformat(at.replace("Z", "+00:00"))
    if isinstance(at, datetime):
        # One of pandas cannot be taken for local time.
        return datetime.combine(at.date(), at.timetz())
    number = whole_number(at)
    if number is None:
        raise ConfigurationError(
            f"at={at!r:.100}: expected the number of an event, a datetime, or a time in ISO 8601 such as "
            "'2026-03-01T14:30:00'"
        )
    return number


def _outside(prefix: str, what: str, state: State) -> ConfigurationError:
    if state.created_us is None or state.time_us is None:
        return ConfigurationError(f"{what}: {prefix!r} has no events yet")
    return ConfigurationError(
        f"{what}: {prefix!r} has events 1 to {state.seq}, the first recorded at {iso_time(state.created_us)} and the "
        f"last at {iso_time(state.time_us)}"
    )


def events(
    prefix: str,
    *,
    dash_root: Root = None,
    dash_url: object = None,
    after: int | None = 0,
    follow: bool = False,
) -> Iterator[Event]:
    """Every event behind number `after`, in order; `Event` has `seq type time data writer session`.

    A fork counts its own events from 1; what it has from its parent has the numbers up to 0, and is given too where
    `after` is negative, all of it where it is None.  Numbers in the payloads of those are the parent's.

    Where several machines have recorded the experiment, their commits stand in the order of their times. One that comes
    late changes the numbers behind its place.

    With `follow=True` the iterator does not end: it waits for what other processes record and gives each event within
    a fraction of a second of its commit, as `tail -f` does, until the caller stops.  What processes had accepted when
    they died is committed meanwhile, where the folder can be written to; else it shows without `follow` only.  What
    another machine has recorded is given when it comes, also late, with the number that it has then; so numbers may go
    back and repeat there, and each event is given once all the same.

    What only a newer release can decode are events of type `(undecodable)`, without payload.

    Raises what `load` raises.  Following raises NotFoundError once the experiment is removed; a server that does not
    answer any more is asked again, after one warning.
    """
    if after is not None and (isinstance(after, bool) or not isinstance(after, int)):
        raise ConfigurationError(f"after={after!r:.100}: expected the number of an event, 0 for all of them")
    folder = folder_of(parse_prefix(prefix), root_of(dash_root, dash_url))
    if after is not None and after < 0 and forked_from(folder) is None:
        raise ConfigurationError(f"after={after}: {prefix!r} is no fork, so its events count from 1; 0 for all of them")
    if not follow:
        return _committed(folder, after)
    inherited = (each for each in _committed(folder, after) if each.seq <= 0) if after is None or after < 0 else ()
    return chain(inherited, _followed(folder, max(after or 0, 0)))


def experiments(
    pattern: str = "**",
    *,
    dash_root: Root = None,
    dash_url: object = None,
    status: str | None = None,
    tags: list[str] | tuple[str, ...] | str | None = None,
) -> list[Summary]:
    """The experiments whose prefix matches, those first that were opened last.

    `pattern`: `*`, `?` and `[…]` stand for characters of one part, `**` for any number of parts; a pattern without any
    of them, or of one part, matches everything in that folder.  `status` and `tags` choose further; an experiment has
    to have all the tags.  One that cannot be read has its `error` instead of a `status`.

    Raises ConfigurationError, and NotFoundError where `dash_root` does not exist.
    """
    return list_experiments(root_of(dash_root, dash_url), pattern, status, tags)


def verify(prefix: str, *, dash_root: Root = None, dash_url: object = None) -> Report:
    """Checks the hash chain from the first byte to the last, trusting no checkpoint.

    Of what a fork has from its parent it checks that it is there and has not changed, as part of `ok` and `damage`.
    Where several machines have recorded the experiment each of the journals is checked; `events`, `segments` and
    `bytes` are those of all of them, and `head` is the SHA-256 of their heads, sorted and joined.

    Raises PrefixError, NotFoundError, ConfigurationError as `load` does, and JournalVersionError where a newer release
    wrote the journal.
    """
    folder = folder_of(parse_prefix(prefix), root_of(dash_root, dash_url))
    with reading(folder):
        journals = journals_of(folder)
        found = [survey(each) for each in journals]
        damage = [of_journal(folder, *each) for each in zip(journals, (each.damage for each in found), strict=True)]
    inherited = Lineage(folder).damage()
    heads = [each.head for each in found]
    return Report(
        all(each.ok for each in found) and not any(not each.declared for each in inherited),
        sum(each.events for each in found),
        sum(each.segments for each in found),
        heads[0] if len(heads) == 1 else sha256("".join(sorted(heads)).encode("ascii")).hexdigest(),
        (*chain.from_iterable(damage), *inherited),
        sum(each.bytes for each in found),
        tuple(chain.from_iterable(each.redactions for each in found)),
        sum(each.archived for each in found),
        tuple(chain.from_iterable(each.damaged_spools for each in found)),
    )


def recover(prefix: str, *, dash_root: Root = None, dash_url: object = None) -> list[Damage]:
    """Makes a damaged journal fit to be written to, and gives what of it is given up.

    No byte is changed: a new segment declares which bytes do not replay.  What dead processes had accepted is
    committed, and a redaction that was begun is finished.  Raises what `load` raises, and StorageError or LockError
    where the folder cannot be written to.
    """
    check_local(dash_url, "recovering")
    folder = own_folder_of(parse_prefix(prefix), root_of(dash_root))
    appender = Appender(folder, new_id())
    try:
        declared = appender.recover()
        if dead_writers(folder):
            with appender.at_end():
                drain(folder, appender)
        finish_begun(folder)
    except OSError as error:
        raise StorageError(
            f"{folder.path} cannot be written to, so nothing can be declared there: {error}. Recover it as a user who "
            "may write there"
        ) from error
    finally:
        appender.close()
    return declared


def _committed(folder: JournalFolder, after: int | None) -> Iterator[Event]:
    _drain(folder)
    for line in commits_of(folder, after):
        yield from _events_in(line, after)


def _followed(folder: JournalFolder, after: int) -> Iterator[Event]:
    unread = Unread(folder, after)
    due_s = 0.0
    alarm = Alarm()
    follow = Follow([folder])
    try:
        while True:
            if monotonic_s() >= due_s:
                with reading(folder):
                    # What a server has comes first to the cache, where nothing is left behind.
                    now = _current(folder, alarm)
                if now != folder:
                    follow.close()
                    folder, follow = now, Follow([now])
                    unread.go_on_in(folder)
                _drain(folder)
                is_brought = is_on_server(folder) or len(journals_of(folder)) > 1
                due_s = monotonic_s() + (REFRESH_INTERVAL_S if is_brought else DRAIN_INTERVAL_S)
            with reading(folder):
                for line, behind in unread.commits():
                    yield from _events_in(line, behind)
            if not folder.exists():
                raise NotFoundError(f"the experiment in {folder.experiment} was removed while it was followed")
            follow.wait(max(0.0, due_s - monotonic_s()))
    finally:
        follow.close()


def _current(folder: JournalFolder, alarm: Alarm) -> JournalFolder:
    """As it was where the server does not answer: whoever follows a training for days meets a restart."""
    try:
        return current(folder)
    except NetworkError as error:
        if isinstance(error, RefusedError) and error.status < 500:
            raise
        alarm.sound("network", f"{error}. It is asked again until it answers")
        return folder


def _drain(folder: JournalFolder) -> None:
    with reading(folder):
        if dead_writers(folder):
            try_drain(folder)


def _events_in(line: CommitLine, after: int | None) -> Iterator[Event]:
    """The events of a commit behind number `after`; those that this release cannot decode have no payload."""
    if after is not None and line.last <= after:
        return
    try:
        blocks = blocks_of(line)
        found = events_of(blocks, line.first, line.time_us, line.writer, line.session)
    except CodecError:
        found = _what_can_be_decoded(line)
    for event in found:
        if after is None or event.seq > after:
            yield event


def _what_can_be_decoded(line: CommitLine) -> list[Event]:
    found = {}
    try:
        for block in blocks_of(line):
            with suppress(CodecError):
                events = events_of([block], line.first, line.time_us, line.writer, line.session)
                found.update({event.seq: event for event in events})
    except CodecError:
        found.clear()
    return [
        found.get(seq) or Event(seq, UNDECODABLE, line.time_us, {}, line.writer, line.session)
        for seq in range(line.first, line.last + 1)
    ]
