"""`ml_dash.redact`: takes a leaked secret out of the bytes of a journal, and leaves a trace of that.

This is the one rewrite there is.  Its order survives a kill at any moment:

 1. Under the journal's lock everything there is is synced.  Then an `event.redacted` is appended and synced: it says
    which commit, which bytes of it, and what stands there instead (`journal/format.py` has what that makes valid).
 2. Only then the bytes are replaced, by as many others, and synced, and what else may hold the value is freed of it.
    `journal/redaction.py` has the order.  Killed before all of it is done, the next one who opens the journal to
    record, or redacts again, finishes it; `verify` and `doctor` say so until then.
 3. A spool that the event went through must be gone: the writer's session has to be over.

A reader that was folding at this moment may write the cache once more, from before; the next reader replaces that one.
What cannot be reached from here keeps the value: copies, backups, file system snapshots, a terminal, other events that
say the same, and the memory of processes that have read it.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import ConfigurationError, ExperimentError, StorageError
from ..facts.codec import CodecError, decode_events
from ..facts.events import EVENT_REDACTED, EXPERIMENT_FORKED, Event
from ..history import Root
from ..ids import new_id
from ..journal.appender import Appender
from ..journal.checkpoint import Trust
from ..journal.declarations import Place, declared_in
from ..journal.drain import drain, is_alive
from ..journal.folder import JournalFolder
from ..journal.format import HASH_TAIL_BYTES, CommitLine, chain_hash, patched, stated_hash
from ..journal.reader import JournalReader
from ..journal.redaction import begin, bytes_of, finish, finishing
from ..journal.writer import refuse_if_held
from ..prefix import parse_prefix
from ..reading.listing import own_folder_of, root_of
from ..reading.origins import own_number, whole
from ..reading.sources import check_local
from ..state.forks import born_of, fork_of
from ..state.nouns import Redaction
from .redaction_places import patches_for
from .remarks import event_at, remark_batch, who


@dataclass(frozen=True, slots=True)
class Found:
    """The commit that holds an event, as it stands: `text` is its line without newline, `before` the hash before."""

    line: CommitLine
    text: bytes
    before: str
    journal: str


def redact(
    prefix: str,
    seq: int,
    field: str | None = None,
    *,
    reason: str,
    dash_root: Root = None,
    dash_url: object = None,
) -> int:
    """Replaces a value that event number `seq` recorded by a marker, `[redacted]***`, in the bytes of the journal.

    Gives the number of the event that says so:

        ml_dash.redact("alice/ml/a", 3, "db.password", reason="a password, replaced since")

    `field` is a field of a point or entry, a key of parameters, or a member of another payload (`message`,
    `metadata.token`, `environment.argv`): it, or every text in it.  Without it, every text of a point, entry,
    parameters, log line or description.  Texts are redacted, and numbers of two digits and more that `field` names;
    where all events of a run say the same text, it goes in all of them.  Everything that is read from then on, at
    whatever `at=`, shows the marker.

    The session that recorded it must be over.  Raises ConfigurationError where there is no such event or value, or it
    stands in a form that has no room for a marker; ExperimentError where its writer lives; what `load` raises;
    StorageError or LockError where the journal cannot be written to.
    """
    if not isinstance(reason, str) or not reason.strip():
        raise ConfigurationError(f"reason={reason!r:.100}: expected text that says why the value had to go")
    check_local(dash_url, "redacting")
    folder = own_folder_of(parse_prefix(prefix), root_of(dash_root))
    refuse_if_held(folder, "Redacting")
    seq = own_number(folder, seq)
    event = event_at(folder, prefix, seq)
    trust = Trust(folder)
    appender = Appender(folder, new_id(), trusted=trust, on_sealed=trust.sealed)
    try:
        with finishing(folder) as finished:
            redacted = _redact(folder, appender, event, field, reason, finished)
        # Where it was merged with those of other machines, that is done anew, without the value.
        whole(folder)
        return redacted
    except OSError as error:
        raise StorageError(
            f"{folder.path} cannot be written to: {error}. The value may still be there; redact it again as a user who "
            "may write"
        ) from error
    finally:
        appender.close()


def _redact(
    folder: JournalFolder, appender: Appender, event: Event, field: str | None, reason: str, finished: set[Place]
) -> int:
    # Who is dead stays dead, so what its spool holds is in the journal behind this.
    if is_alive(folder, event.writer):
        raise ExperimentError(
            f"event {event.seq} was recorded by a process that is still recording, and its spool may hold the value. "
            "End that session, then redact"
        )
    with appender.at_end():
        drain(folder, appender)
    # A fence behind the commit: only so is what stands there told from a torn tail once it has changed.
    appender.sync()
    # All reading is done without the journal's lock, for which whoever records would wait: nobody else declares or
    # replaces anything meanwhile.
    found, earlier = _find(folder, event.seq)
    patches = patches_for(found.line, len(found.text), event, field)
    declared = earlier.patches if earlier is not None else {}
    patches = {**declared, **patches}
    if patches != declared:
        with appender.at_end():
            seq = _declare(folder, appender, found, event, field, reason, patches)
    elif earlier is not None and (
        (earlier.segment, earlier.offset) in finished or patched(found.text, patches) != found.text
    ):
        # Whoever declared it was killed, or the disk failed, before order 2 was done.
        seq = earlier.seq
    else:
        raise ConfigurationError(f"nothing of event {event.seq} is left to redact: a marker stands there already")
    finish(folder)
    return seq


def _declare(
    folder: JournalFolder,
    appender: Appender,
    found: Found,
    event: Event,
    field: str | None,
    reason: str,
    patches: dict[str, str],
) -> int:
    """Order 1.  Raises ConfigurationError where what would stand there cannot be decoded."""
    body = patched(found.text, patches)[:-HASH_TAIL_BYTES]
    line = found.line
    try:
        events = body[len(body) - len(line.events) :]
        for block in decode_events(events, line.count):
            block.check()
            payloads = list(block.payloads())
            if event.type == block.type == EXPERIMENT_FORKED and born_of(payloads[0]).fork != fork_of(event.data):
                raise ValueError("a fork must still be one, of the same parent")
    except (CodecError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigurationError(f"event {event.seq} holds that in a form that has no room for a marker") from error
    payload = {
        "seq": event.seq,
        "field": field,
        "reason": reason,
        "by": who(),
        "segment": line.segment,
        "offset": line.offset,
        "bytes": line.end - line.offset,
        "hash": line.hash,
        "now": chain_hash(found.before, found.journal, body),
        "patches": patches,
    }
    at = appender.position
    assert at is not None
    begin(folder)
    appender.append([remark_batch(EVENT_REDACTED, payload, event.session)])
    appender.sync()
    return at.next_seq


# -- where an event stands ---------------------------------------------------------------------------------------


def _find(folder: JournalFolder, seq: int) -> tuple[Found, Redaction | None]:
    """The commit of event `seq`, and the last declaration about it."""
    reader, found, declared = JournalReader(folder), None, dict[Place, Redaction]()
    for line in reader.commits():
        if line.first <= seq <= line.last:
            before, position = _hash_before(folder, line), reader.position
            if before is None or position is None:
                break
            text = bytes_of(folder, line.segment, line.offset, line.end - line.offset - 1)
            found = Found(line, text, before, position.journal)
        declared.update({(each.segment, each.offset): each for each in declared_in(line)})
    if found is None:
        raise StorageError(
            f"event {seq} of {folder.path} stands behind damage and cannot be redacted; look at `verify`"
        )
    return found, declared.get((found.line.segment, found.line.offset))


def _hash_before(folder: JournalFolder, line: CommitLine) -> str | None:
    start = max(0, line.offset - HASH_TAIL_BYTES - 1)
    return stated_hash(bytes_of(folder, line.segment, start, line.offset - start - 1))
