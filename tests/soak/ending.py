"""Everything compared, once nobody records any more; what differs is a violation."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from hashlib import sha256
from itertools import islice
from pathlib import Path

import ml_dash
from ml_dash.facts.events import EVENT_REDACTED, VALUE_CORRECTED, Event
from ml_dash.remote.server import Server
from ml_dash.state import EMPTY, Fold, State
from ml_dash.state.corrections import corrections_in

from .account import CORRECTIONS, MAIN, Account
from .keeper import is_redacted, secrets, ship
from .ledger import Ledger, ledgers
from .life import STATED, Life
from .model import Lived
from .reader import journal_id, journal_of
from .recording import Specification
from .world import SHARED, Journal, World, valid_bytes

_SECRET = re.compile(rb"sk-[0-9a-f]{32}")


def compare(world: World) -> dict[str, int]:
    """What was compared, in numbers."""
    for number, journal in enumerate(world.journals(), start=1):
        wanted = Specification(9_000_000 + number * 100, "end", journal, "complete", 1, 0, True)
        (world.home / "lives" / str(wanted.life)).write_text(f"{journal.machine}\n{journal.prefix}")
        with world.guarding(f"last session in {journal}"):
            Life(world, wanted).close_up()
    for machine in ("one", "two", "small"):
        if any(each.machine == machine for each in world.journals()):
            shipped = ship(world, machine)
            if shipped.returncode:
                world.violation("ship", f"{machine}: {shipped.stdout}{shipped.stderr}")
    accounts: dict[Journal, Account] = {}
    for journal in world.journals():
        with world.guarding(f"end of {journal}"):
            accounts[journal] = Comparison(world, journal).compare()
    compare_ledgers(world, accounts)
    with world.guarding("the merged view"):
        compare_merged(world, accounts)
    with world.guarding("what is left over"):
        look_for_leftovers(world)
        look_for_secrets(world)
    return {
        "journals": len(accounts),
        "events in journals": sum(each.seq for each in accounts.values()),
        "files saved": sum(len(each.checksums) for each in accounts.values()),
        "sessions": sum(len(each.model.sessions) for each in accounts.values() if each.model is not None),
        "redactions carried out": len(list((world.home / "redacted").iterdir())),
    }


class Comparison:
    """One journal: events, state, attempts, statuses, files, the server's copy, the archive and back."""

    def __init__(self, world: World, journal: Journal) -> None:
        self.world = world
        self.journal = journal
        self.root = world.root(journal.machine)
        self.folder = world.folder(journal)
        self.is_fork = journal.prefix.startswith("soak/forks/")
        self.account = Account(self._is_wrong, counts=journal.prefix != SHARED, models=True)

    def _is_wrong(self, what: str) -> None:
        self.world.violation(f"{self.journal}", what)

    def compare(self) -> Account:
        self._read()
        self._statuses()
        self._attempts()
        self._files()
        self._copy()
        self._archive()
        return self.account

    def _read(self) -> None:
        """Every event, and the state at some of them and at the end."""
        assert self.account.model is not None
        if self.is_fork:
            for event in ml_dash.events(self.journal.prefix, dash_root=self.root, after=None):
                if event.seq > 0:
                    break
                self.account.model.add(event)
        remarks: list[Event] = []
        for event in ml_dash.events(self.journal.prefix, dash_root=self.root):
            self.account.add(event)
            if event.type in (VALUE_CORRECTED, EVENT_REDACTED):
                remarks.append(event)
        for seq in {max(1, self.account.seq // 2), self.account.seq}:
            seen = ml_dash.load(self.journal.prefix, dash_root=self.root, at=seq).state
            if repr(seen) != repr(self._folded(seq, [each for each in remarks if each.seq <= seq])):
                self._is_wrong(f"the state at event {seq} is not the fold of the events up to it")
        report = ml_dash.verify(self.journal.prefix, dash_root=self.root)
        if not report.ok or report.events != self.account.seq or report.damaged_spools:
            self._is_wrong(f"verify: {report}")

    def _folded(self, seq: int, remarks: list[Event]) -> State:
        """As `fold` does it, without holding all events at once: it has to know the remarks before."""
        redacted = {each.seq for each in remarks if each.type == EVENT_REDACTED}
        folding = Fold(EMPTY, corrections_in(remarks), redacted)
        for event in islice(ml_dash.events(self.journal.prefix, dash_root=self.root), seq):
            folding.add(event)
        return folding.state()

    def _statuses(self) -> None:
        run, model = ml_dash.load(self.journal.prefix, dash_root=self.root), self.account.model
        assert model is not None
        shown = {each.id: (each.started_seq, each.ended_seq, str(each.status)) for each in run.sessions}
        found = {id: (each.began, each.ended, each.status) for id, each in model.sessions.items()}
        if shown != found:
            self._is_wrong(f"sessions: {sorted(set(shown.items()) ^ set(found.items()), key=repr)[:6]}")
        if run.status != model.status:
            self._is_wrong(f"it is {run.status}, expected {model.status}")

    def _attempts(self) -> None:
        run, model = ml_dash.load(self.journal.prefix, dash_root=self.root), self.account.model
        assert model is not None
        if set(run.metrics) != set(model.metrics):
            self._is_wrong(f"metrics {list(run.metrics)}, expected {list(model.metrics)}")
        for name, points in model.metrics.items():
            for attempts, rows in (("all", range(len(points.i))), ("latest", model.latest(name))):
                columns = run.metrics[name].columns(attempts=attempts)
                found = list(zip(*(columns.get(each, []) for each in ("life", "i", "step")), strict=True))
                if found != [(points.life[row], points.i[row], points.step[row]) for row in rows]:
                    self._is_wrong(f"metric {name}, attempts={attempts}: {len(found)} points, expected {len(rows)}")
                if not self.is_fork:
                    losses = [model.corrections.get(points.seq[row], 1 / (1 + points.step[row])) for row in rows]
                    if columns.get("loss", []) != losses:
                        self._is_wrong(f"metric {name}, attempts={attempts}: corrected values differ")

    def _files(self) -> None:
        for checksum in self.account.checksums:
            path = Path(self.folder.experiment, "_files", checksum[:2], checksum)
            if not path.exists() or sha256(path.read_bytes()).hexdigest() != checksum:
                self._is_wrong(f"the content of {checksum} is missing or changed")

    def _copy(self) -> None:
        server, own, local = (
            Server(self.world.url, None),
            journal_id(self.world, self.journal),
            valid_bytes(self.folder),
        )
        try:
            for number, data in local.items():
                with server.segment(self.journal.prefix, own, number) as chunks:
                    if b"".join(chunks) != data:
                        self._is_wrong(f"segment {number} of the server is not the one here")
            missing = [each for each in self.account.checksums if not server.has_blob("soak", each)]
            if missing:
                self._is_wrong(f"the server lacks the content of {len(missing)} files")
            if len(server.journals(self.journal.prefix)) == 1:
                here = ml_dash.load(self.journal.prefix, dash_root=self.root).state
                if repr(ml_dash.load(self.journal.prefix, dash_url=self.world.url).state) != repr(here):
                    self._is_wrong("the state on the server is not the one here")
        finally:
            server.close()

    def _archive(self) -> None:
        before = {number: sha256(data).digest() for number, data in valid_bytes(self.folder).items()}
        ml_dash.archive(self.journal.prefix, dash_root=self.root)
        archived = ml_dash.verify(self.journal.prefix, dash_root=self.root)
        ml_dash.archive(self.journal.prefix, dash_root=self.root, undo=True)
        after = {number: sha256(data).digest() for number, data in valid_bytes(self.folder).items()}
        if before != after or not archived.ok or list(Path(self.folder.path).glob("*.zst")):
            self._is_wrong(f"archived and back it is not what it was; verified between: {archived.ok}")


# -- ledgers -----------------------------------------------------------------------------------------------------


def compare_ledgers(world: World, accounts: dict[Journal, Account]) -> None:
    """What had returned against what the journals have."""
    for life, ledger in ledgers(world.ledgers).items():
        account = accounts.get(journal_of(world, life))
        if account is None:
            if ledger.required:
                world.violation(f"life {life}", f"{ledger.required} events had returned, and its journal is not there")
            continue
        for what, required, found, intended in (
            ("events", ledger.required, account.last.get((MAIN, life), 0), ledger.intended),
            ("corrections", ledger.corrected, account.last.get((CORRECTIONS, life), 0), ledger.correcting),
        ):
            if not required <= found <= intended:
                world.violation(f"life {life}", f"{found} {what}, {required} had returned and {intended} were begun")
        if life % 100 == 0:
            _compare_sessions(world, ledger, account)
        ledger.close()


def _compare_sessions(world: World, ledger: Ledger, account: Account) -> None:
    rewinds = 0
    for first, ending, ended in _sessions_of(ledger):
        session = account.session_at.get((ledger.life, first))
        if session is None:
            if first <= ledger.required:
                world.violation(f"life {ledger.life}", f"its session of event {first} is not there")
            continue
        assert account.model is not None
        rewinds += account.rewinds.get(session, 0)
        found = account.model.sessions[session]
        expected = _expected(ledger, ending, ended)
        if _as_lived(found) not in expected:
            world.violation(f"life {ledger.life}", f"session {session} is {_as_lived(found)}, expected {expected}")
    if not ledger.is_weak and not ledger.rewound <= rewinds <= ledger.rewinding:
        world.violation(f"life {ledger.life}", f"{rewinds} rewinds, {ledger.rewound} had returned")


def _sessions_of(ledger: Ledger) -> Iterator[tuple[int, str | None, str | None]]:
    """Of each session: the number of its first event, how it was about to end, how it had ended."""
    found: list[list[int | str | None]] = []
    for note in ledger.notes:
        if "session" in note:
            found.append([note["session"], None, None])
        elif "ending" in note:
            found[-1][1] = note["ending"]
        elif "ended" in note:
            found[-1][2] = STATED[note["ended"]]
    return (tuple(each) for each in found)  # type: ignore[misc]


def _as_lived(session: Lived) -> str:
    return "LOST" if session.reason == "lost" else session.status


def _expected(ledger: Ledger, ending: str | None, ended: str | None) -> set[str]:
    if ending is None:
        return {"LOST"}
    # What a full disk takes of a process that ends is its end; who is killed may have come this far or not.
    may_be_lost = ledger.is_weak or (ended is None and os.WIFSIGNALED(ledger.death))
    return {ended or ending, "LOST"} if may_be_lost else {ended or ending}


# -- all of it together ------------------------------------------------------------------------------------------


def compare_merged(world: World, accounts: dict[Journal, Account]) -> None:
    """What two machines recorded, read as one."""
    parts = [account for journal, account in accounts.items() if journal.prefix == SHARED]
    account = Account(lambda what: world.violation("merged", what), counts=False)
    events: Iterator[Event] = ml_dash.events(SHARED, dash_url=world.url)
    for event in events:
        account.add(event)
    expected = {key: number for part in parts for key, number in part.last.items() if key[0] != "redactions"}
    found = {key: number for key, number in account.last.items() if key[0] != "redactions"}
    if found != expected or account.seq != sum(part.seq for part in parts):
        world.violation("merged", f"{account.seq} events, expected {sum(part.seq for part in parts)}")
    run = ml_dash.load(SHARED, dash_url=world.url)
    if run.seq != account.seq:
        world.violation("merged", f"its state is that at event {run.seq}, expected {account.seq}")


def look_for_leftovers(world: World) -> None:
    for journal in world.journals():
        folder = world.folder(journal)
        names = [path for path in Path(folder.path).rglob("*") if path.name.endswith(".new") or ".damaged" in path.name]
        names += Path(folder.spool_folder).glob("*") if Path(folder.spool_folder).exists() else []
        names += Path(folder.experiment, "_files").rglob(".draft-*")
        if names:
            world.violation(f"{journal}", f"left over: {sorted({str(name) for name in names})[:10]}")


def look_for_secrets(world: World) -> None:
    """What was redacted stands nowhere any more: no journal, no copy, no cache, no batch of the server."""
    gone = {secret.encode() for life, i, secret in secrets(world, is_over=False) if is_redacted(world, life, i)}
    for name in ("one", "two", "small", "store", "cache", "server-cache", "state"):
        for path in (world.home / name).rglob("*"):
            if path.is_file() and "_files" not in path.parts and "blobs" not in path.parts:
                found = gone & set(_SECRET.findall(path.read_bytes()))
                if found:
                    world.violation("redaction", f"{path.relative_to(world.home)} holds {len(found)} redacted secrets")
