"""Readers: a watcher follows a journal for long, a spot check looks at one thing and ends.  Each may be killed."""

from __future__ import annotations

import tempfile
import time
from itertools import islice
from pathlib import Path
from random import Random

import ml_dash
from ml_dash.errors import NetworkError, NotFoundError
from ml_dash.journal.reader import JournalReader
from ml_dash.remote.server import Server
from ml_dash.state import fold

from .account import MAIN, Account, label_of
from .ledger import Ledger, ledgers
from .world import SHARED, Journal, World, valid_bytes

EXPORT_EVENTS_MAX = 8_000
FOLD_EVENTS_MAX = 4_000


def watch(world: World, journal: Journal, number: int, *, on_server: bool) -> None:
    """Follows until it is killed; `number` is that of the ledger in which it says how far it has come."""
    ledger = Ledger(world.ledgers.parent / "watching", number)
    who = f"watcher of {journal.prefix} on {'the server' if on_server else journal.machine}"
    account = Account(lambda what: world.violation(who, what), counts=journal.prefix != SHARED)
    where = {"dash_url": world.url} if on_server else {"dash_root": world.root(journal.machine)}
    while True:
        try:
            for event in ml_dash.events(journal.prefix, after=account.seq, follow=True, **where):
                account.add(event)
                ledger.returned = account.seq
        except (NetworkError, NotFoundError) as error:
            if not on_server:
                world.violation(who, repr(error))
                return
            time.sleep(0.5)


class Spot:
    """One look; which one follows from the seed."""

    def __init__(self, world: World, journal: Journal, seed: str) -> None:
        self.world = world
        self.journal = journal
        self.random = Random(seed)
        self.root = world.root(journal.machine)

    def look(self) -> None:
        looks = (self._past, self._past, self._dead, self._dead, self._dead, self._list, self._verify, self._export)
        chosen = self.random.choice((*looks, self._copy))
        name = chosen.__name__.strip("_")
        with self.world.guarding(f"spot {name} of {self.journal}"):
            chosen()
            self.world.count(f"look: {name}")

    def _is_wrong(self, what: str) -> None:
        self.world.violation(f"spot on {self.journal}", what)

    def _past(self) -> None:
        """The state at event n is the fold of the first n."""
        end = ml_dash.load(self.journal.prefix, dash_root=self.root).seq
        if not end:
            return
        n = self.random.randint(1, min(end, FOLD_EVENTS_MAX))
        for _ in range(3):
            state = ml_dash.load(self.journal.prefix, dash_root=self.root, at=n).state
            events = list(islice(ml_dash.events(self.journal.prefix, dash_root=self.root), n))
            if self.journal.prefix.startswith("soak/forks/") or repr(state) == repr(fold(events)):
                break
            # A redaction may have come between the two.
        else:
            self._is_wrong(f"the state at event {n} is not the fold of the first {n}")
        if [each.seq for each in events] != list(range(1, n + 1)):
            self._is_wrong(f"the first {n} events are not numbered 1 to {n}")

    def _dead(self) -> None:
        """What a dead writer's calls had returned is there, and what a living one has flushed."""
        all_ledgers = ledgers(self.world.ledgers)
        begun = [each for each in all_ledgers.values() if each.began_seq]
        for ledger in self.random.sample(begun, min(2, len(begun))):
            self._look_for(ledger)
        for each in all_ledgers.values():
            each.close()

    def _look_for(self, ledger: Ledger) -> None:
        journal = journal_of(self.world, ledger.life)
        # In this order: it may die and record at any moment.
        is_over, required = ledger.is_over, ledger.flushed
        required = ledger.required if is_over else required
        root = self.world.root(journal.machine)
        account = Account(self._is_wrong, counts=False)
        for event in ml_dash.events(journal.prefix, dash_root=root, after=ledger.began_seq - 1):
            if (label_of(event) or ("", 0, 0))[:2] == (MAIN, ledger.life):
                account.add_in_any_order(event)
        found, intended = account.last.get((MAIN, ledger.life), 0), ledger.intended
        if not required <= found <= intended:
            self._is_wrong(f"life {ledger.life}: {found} events, {required} had to be there, {intended} were begun")

    def _list(self) -> None:
        found = {each.prefix: each for each in ml_dash.experiments("soak/**", dash_root=self.root)}
        wrong = [each for each in found.values() if each.error is not None]
        if wrong or self.journal.prefix not in found:
            self._is_wrong(f"the list has {sorted(found)}, errors {wrong}")

    def _verify(self) -> None:
        report = ml_dash.verify(self.journal.prefix, dash_root=self.root)
        refusing = [each for each in report.damage if each.refuses_writing]
        if refusing or report.damaged_spools:
            self._is_wrong(f"verify: {refusing} {report.damaged_spools}")

    def _export(self) -> None:
        if ml_dash.load(self.journal.prefix, dash_root=self.root).seq > EXPORT_EVENTS_MAX:
            return
        with tempfile.TemporaryDirectory(dir=self.world.home / "scratch") as folder:
            file = Path(folder) / "out.jsonl"
            ml_dash.export(self.journal.prefix, to=file, dash_root=self.root)
            if not file.stat().st_size:
                self._is_wrong("an export is empty")

    def _copy(self) -> None:
        """The server's copy is a prefix of what stands here."""
        server = Server(self.world.url, None, timeout_s=20.0)
        try:
            heads = {each.journal: each for each in server.journals(self.journal.prefix)}
            own = journal_id(self.world, self.journal)
            head = heads.get(own)
            if head is None or head.redactions:
                return
            stored = {}
            for number in range(1, head.segment + 1):
                with server.segment(self.journal.prefix, own, number) as chunks:
                    stored[number] = b"".join(chunks)
            if any(each.type == "event.redacted" for each in ml_dash.events(self.journal.prefix, dash_root=self.root)):
                return
            local = valid_bytes(self.world.folder(self.journal))
            for number, data in stored.items():
                if not local[number].startswith(data):
                    self._is_wrong(f"segment {number} of the server is no prefix of the one here")
        except (NetworkError, NotFoundError):
            self.world.count("look: server away")
        finally:
            server.close()


def journal_id(world: World, journal: Journal) -> str:
    folder = world.folder(journal)
    found = JournalReader(folder).header(folder.segment_numbers()[0])
    assert found is not None
    return found[0].journal


def journal_of(world: World, life: int) -> Journal:
    """Where a life records; workers do where their parents do."""
    text = (world.home / "lives" / f"{life - life % 100}").read_text(encoding="utf-8")
    machine, prefix = text.split("\n")
    return Journal(machine, prefix)
