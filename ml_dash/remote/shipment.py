"""One journal on its way to one server, a step at a time: promise P6.

1. The server is asked where its copy ends, and what follows from that is a table (`batches.py`).  Nothing that this
   machine remembers decides it.
2. A batch goes out with the hash that it continues.  Whether its answer is lost, the batch is doubled or another one
   overtakes it: the server has it once or not at all, and after whatever went wrong it is asked anew.
3. Commits first, then the content of saved files, a part between one look at the journal and the next; also where each
   look finds something, if it is little.
4. What cannot be mended by trying again is an error or a `problem`: two continuations of one journal, damage on this
   machine, a line that is too long for the server.  The journal on this machine is changed by none of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..clock import monotonic_s
from ..errors import DivergedError, NetworkError, RefusedError
from ..journal.chain import Position
from ..journal.folder import JournalFolder
from ..state.redactions import declaration
from . import cursor
from .batches import BATCH_BYTES_START, BatchSize, Next
from .blobs import FileShipment
from .compression import best_encoding, compressed
from .cursor import Mark
from .local_bytes import Batch, LocalBytes
from .mending import has_line
from .protocol import BATCH_BYTES, Head
from .server import Server, Verdict

SAVE_INTERVAL_S = 1.0
STALE_MAX = 3


@dataclass(frozen=True, slots=True)
class Step:
    """What a step has done and what is left, as far as is known.  `is_idle`: nothing is left that can travel now."""

    sent_bytes: int
    left_bytes: int
    left_files: int
    left_file_bytes: int
    is_idle: bool
    problems: tuple[str, ...] = ()


class Shipment:
    """Of the journal in `folder`, which is the experiment `prefix`, to `server`.  Used by one thread at a time, and by
    one process: `shipper.py` elects it.

    `encoding` is how batches are compressed; without it what this machine can and the way to the server needs.
    """

    def __init__(
        self,
        folder: JournalFolder,
        prefix: str,
        server: Server,
        *,
        encoding: str | None = None,
        batch_bytes_max: int = BATCH_BYTES,
    ) -> None:
        self._folder = folder
        self._prefix = prefix
        self.server = server
        self._encoding = encoding or best_encoding(server.url)
        self._local = LocalBytes(folder)
        self._size = BatchSize(batch_bytes_max, min(batch_bytes_max, BATCH_BYTES_START))
        self._at: Position | None = None
        self._is_known = False
        self._journal: str | None = None
        self._stale = 0
        self._saved_s = -SAVE_INTERVAL_S
        self._is_saved = False
        self._too_long: str | None = None
        self._hint = cursor.marks(folder).get(server.url, Mark())
        self._files = FileShipment(folder, prefix.split("/", 1)[0], self._hint.files)
        self._look_for_files = True
        self._is_turn_of_files = False

    def close(self) -> None:
        """Keeps the hint; closes what is open."""
        self._save(is_due=True)
        self._local.close()
        self.server.close()

    def check(self) -> None:
        """Sends nothing.  Raises DivergedError where the copy goes on differently, and what `Server` raises."""
        try:
            self._local.look()
            if self._local.journal is not None:
                head = self.server.head(self._prefix, self._local.journal)
                # Looked at again: another process of this machine may have recorded and shipped meanwhile.
                self._local.look()
                self._continue(head)
        finally:
            self._local.close()

    def step(self) -> Step:
        """One batch, or one part of a file.  Raises DivergedError, AuthenticationError, NetworkError, OSError and
        JournalVersionError; the next step then begins by asking the server."""
        try:
            sent = self._step()
        except BaseException:
            self._is_known = False
            raise
        is_idle = sent is None
        self._save(is_due=is_idle)
        left = self._local.bytes_behind(self._at) if not is_idle or self._problems() else 0
        return Step(sent or 0, left, self._files.waiting, self._files.waiting_bytes, is_idle, tuple(self._problems()))

    def _step(self) -> int | None:
        """How many bytes went; None where there is nothing to do."""
        self._local.look()
        journal = self._local.journal
        if journal is None:
            return None
        if not self._is_known or journal != self._journal:
            self._ask(journal)
        batch = self._local.after(self._at, self._size.bytes)
        # Where somebody records without end there is always a batch; once they are small, files take turns with them.
        is_turn_of_files = self._is_turn_of_files and (batch is None or len(batch.data) < self._size.bytes)
        if batch is not None and not (is_turn_of_files and self._has_files()):
            self._is_turn_of_files = True
            return self._send(journal, batch)
        self._is_turn_of_files = False
        if not self._has_files():
            return None
        self._is_saved = False
        return self._files.step(self.server)

    def _has_files(self) -> bool:
        if self._look_for_files:
            self._files.look()
            self._look_for_files = False
        return self._files.waiting > 0

    def _problems(self) -> list[str]:
        found = list(self._files.problems)
        if (blocked := self._local.blocked) is not None:
            found.append(
                f"{self._folder.path} is damaged in segment {blocked.segment:08d} at byte {blocked.offset}: "
                f"{blocked.what}. What lies behind that cannot be shipped; restore the file from a copy, and it can"
            )
        return found if self._too_long is None else [*found, self._too_long]

    # -- where the server's copy ends ----------------------------------------------------------------------------

    def _ask(self, journal: str) -> None:
        head = self.server.head(self._prefix, journal)
        if self._hint.files and not _has_reached(head, self._hint.head):
            # It has not what it had acknowledged, so it may have lost files as well: of each it is asked.
            self._files.acknowledged.clear()
            self._look_for_files = True
        self._hint = Mark()
        self._journal = journal
        self._continue(head)

    def _continue(self, head: Head | None) -> None:
        if head is None:
            self._at = None
        else:
            what_next, at = self._local.locate(head)
            if what_next is not Next.GO_ON:
                raise DivergedError(self._diverged(head, is_beyond=what_next is Next.BEYOND))
            self._at = at
        self._is_known, self._is_saved = True, False

    def _diverged(self, head: Head, *, is_beyond: bool) -> str:
        own, here, url = self._local.newest_end(), self._folder.path, self.server.url
        copy = f"the copy on {url} ends in segment {head.segment:08d} at byte {head.offset}, event {head.next_seq - 1}"
        if is_beyond and own is not None and has_line(self.server, self._prefix, own):
            return (
                f"{here} has lost its end: {copy}, and this one in segment {own.segment:08d} at byte {own.offset}, "
                f"event {own.next_seq - 1}. A file was cut, or an older copy put in its place. Nothing was changed. "
                f"`ml-dash pull {self._prefix} --dash-root {root_of(self._folder)} --dash-url {url}` brings back what "
                "is missing; call it before anything is recorded there"
            )
        return (
            f"{here} and its copy on {url} go on differently: {copy}, and that line does not stand here. Probably a "
            "copy or a backup of this folder was gone on with by itself. Neither side was changed. To keep both, move "
            f"{self._folder.experiment} to the folder of another prefix and ship it as that; `ml-dash pull "
            f"{self._prefix} --dash-root FOLDER --dash-url {url}` brings down the copy"
        )

    # -- sending -------------------------------------------------------------------------------------------------

    def _send(self, journal: str, batch: Batch) -> int:
        # Before it goes: it may be stored, and its answer lost.
        self._look_for_files = self._look_for_files or batch.names_files
        if batch.redactions:
            self.server.redact(self._prefix, journal, [declaration(each) for each in batch.redactions])
        began_s = monotonic_s()
        try:
            answer = self.server.append(
                self._prefix,
                journal,
                batch.segment,
                batch.offset,
                compressed(batch.data, self._encoding),
                after=batch.after,
                encoding=self._encoding,
            )
        except RefusedError as error:
            return self._refused(error, batch)
        except NetworkError:
            self._size.refused()
            raise
        if answer.verdict is Verdict.DIVERGED and answer.head is not None:
            raise DivergedError(self._diverged(answer.head, is_beyond=False))
        if answer.verdict is not Verdict.STORED:
            return self._is_stale(answer.head)
        self._stale, self._too_long = 0, None
        self._size.acknowledged(len(batch.data), monotonic_s() - began_s)
        end = batch.end
        if answer.head is not None and (answer.head.segment, answer.head.offset) == (end.segment, end.offset):
            self._at, self._is_saved = end, False
        else:
            self._continue(answer.head)
        return len(batch.data)

    def _refused(self, error: RefusedError, batch: Batch) -> int:
        if error.status == 415 and self._encoding != "gzip":
            self._encoding = "gzip"
            return 0
        if error.status != 413:
            raise error
        if batch.data.count(b"\n") > 1:
            self._size.bytes_max = max(1, len(batch.data) // 2)
            self._size.bytes = self._size.bytes_max
            return 0
        self._too_long = (
            f"a line of {len(batch.data):,} bytes, event {batch.end.next_seq - 1} of {self._prefix}, is longer than "
            f"{self.server.url} takes: {error}. What lies behind it stays on this machine"
        )
        raise RefusedError(self._too_long, error.status, error.name) from error

    def _is_stale(self, head: Head | None) -> int:
        """The server is elsewhere than we thought: nothing is lost, the next batch begins there."""
        self._stale += 1
        if self._stale > STALE_MAX:
            self._stale = 0
            raise NetworkError(f"{self.server.url} does not answer as agreed: it refuses what continues its own copy")
        self._continue(head)
        return 0

    def _save(self, *, is_due: bool) -> None:
        if self._is_saved or (not is_due and monotonic_s() - self._saved_s < SAVE_INTERVAL_S):
            return
        at = self._at
        head = None if at is None else Head(at.journal, at.segment, at.offset, at.next_seq, at.hash, 0)
        try:
            cursor.save(self._folder, self.server.url, Mark(head, frozenset(self._files.acknowledged)))
        except OSError:
            # It is a hint.
            return
        self._saved_s, self._is_saved = monotonic_s(), True


def _has_reached(head: Head | None, hint: Head | None) -> bool:
    if head is None or hint is None:
        return False
    return head.journal == hint.journal and (head.segment, head.offset) >= (hint.segment, hint.offset)


def root_of(folder: JournalFolder) -> str:
    """The dash root that an experiment's folder is below."""
    return str(folder.experiment.parents[len(folder.prefix.split("/")) - 1])
