"""Who looks after journals that others record in: archives, redacts, ships.  Killed anywhere, and called again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from random import Random

import ml_dash
from ml_dash.errors import ConfigurationError, LockError, StorageError

from .account import MAIN, label_of
from .ledger import Ledger, ledgers
from .reader import journal_of
from .world import Journal, World, die_with_parent

SHIP_TIMEOUT_S = 300.0


def keep(world: World, journal: Journal, seed: str) -> None:
    random = Random(seed)
    chosen = random.choice(("archive", "archive", "undo", "redact", "redact", "redact", "ship"))
    try:
        if chosen == "ship":
            ship(world, journal.machine)
        elif chosen == "redact":
            redact_one(world, random)
        else:
            ml_dash.archive(journal.prefix, undo=chosen == "undo", dash_root=world.root(journal.machine))
    except (LockError, StorageError) as error:
        # Another one archives or redacts at this moment; or the disk is full, which a redaction may meet anywhere.
        if not isinstance(error, LockError) and str(world.root("small")) not in str(error):
            world.violation(f"keeper {chosen} of {journal}", repr(error))
        return
    world.count(f"keeper: {chosen}")


def ship(world: World, machine: str) -> subprocess.CompletedProcess[str]:
    """As anyone does: `ml-dash ship`."""
    command = [sys.executable, "-m", "ml_dash", "ship", "**", "--dash-root", str(world.root(machine))]
    return subprocess.run(
        [*command, "--dash-url", world.url],
        capture_output=True,
        text=True,
        timeout=SHIP_TIMEOUT_S,
        check=False,
        preexec_fn=die_with_parent,
    )


def redact_one(world: World, random: Random) -> None:
    found = secrets(world, is_over=True)
    left = [each for each in found if not is_redacted(world, *each[:2])]
    if left:
        redact(world, *random.choice(left))


def secrets(world: World, *, is_over: bool) -> list[tuple[int, int, str]]:
    """Life, number of the event, and what it holds; of lives that are over, as far as they must be there."""
    found = []
    for life, ledger in ledgers(world.ledgers).items():
        if ledger.is_over or not is_over:
            found += [(life, each["i"], each["secret"]) for each in ledger.notes if "secret" in each]
        ledger.close()
    return found


def is_redacted(world: World, life: int, number: int) -> bool:
    return (world.home / "redacted" / f"{life}-{number}").exists()


def redact(world: World, life: int, number: int, secret: str) -> None:
    """Also where a keeper was killed in the midst of it."""
    journal = journal_of(world, life)
    root = world.root(journal.machine)
    ledger = Ledger(world.ledgers, life)
    after = max(0, ledger.began_seq - 1)
    ledger.close()
    for event in ml_dash.events(journal.prefix, dash_root=root, after=after):
        if label_of(event) == (MAIN, life, number):
            break
    else:
        return
    try:
        ml_dash.redact(
            journal.prefix, event.seq, "metadata.secret", reason=f"keeper:{life * 1000 + number}", dash_root=root
        )
    except ConfigurationError as error:
        if "nothing of event" not in str(error):
            raise
    Path(world.home / "redacted" / f"{life}-{number}").write_text(secret)
