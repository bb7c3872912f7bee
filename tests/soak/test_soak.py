"""A short soak, and that it would tell: an event that a ledger has and no journal, and one that is there twice."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import ml_dash

from .account import Account
from .ending import compare_ledgers, look_for_secrets
from .keeper import secrets
from .ledger import Ledger, ledgers
from .model import Model
from .reader import journal_of
from .world import SHARED, Journal, World

ROOT = Path(__file__).resolve().parent.parent.parent


def soaked(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.soak", "--keep", str(home), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)


def test_a_short_soak_finds_nothing_and_a_ledger_with_one_event_too_many_is_found(tmp_path: Path) -> None:
    home = tmp_path / "soak"
    ran = soaked(home, "--minutes", "0.15", "--seed", "11", "--writers", "3")
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-4000:]
    assert "**Violations: 0**" in ran.stdout

    world = World(home, "http://127.0.0.1:9")
    account = Account(lambda what: world.violation("shared", what), counts=False, models=True)
    for event in ml_dash.events(SHARED, dash_root=home / "one"):
        account.add(event)
    (journal,) = [each for each in world.journals() if (each.machine, each.prefix) == ("one", SHARED)]
    # Of one that had not just met a full disk when it was killed, which may take what had returned.
    life = next(life for life, each in ledgers(world.ledgers).items() if _is_of(world, life, journal, each))
    who = f"life {life}"
    assert who not in _compared(world, {journal: account})
    canary = Ledger(world.ledgers, life)
    canary.returned, canary.intended = canary.returned + 2, canary.intended + 2
    assert "had returned" in _compared(world, {journal: account})[who]


def _is_of(world: World, life: int, journal: Journal, ledger: Ledger) -> bool:
    return journal_of(world, life) == journal and not ledger.is_weak and ledger.returned > 0


def _compared(world: World, accounts: dict[Journal, Account]) -> dict[str, str]:
    """What is found, by whom it is about; lives of other journals aside."""
    (world.home / "violations.jsonl").unlink(missing_ok=True)
    compare_ledgers(world, accounts)
    return {each["who"]: each["what"] for each in world.violations()}


def test_a_redacted_secret_that_stands_anywhere_is_found(tmp_path: Path) -> None:
    world, secret = World(tmp_path, ""), "sk-" + "0" * 32
    for folder in ("ledgers", "redacted", "cache/mirrors"):
        (tmp_path / folder).mkdir(parents=True)
    ledger = Ledger(world.ledgers, 100)
    ledger.note(i=1, secret=secret)
    ledger.close()
    (tmp_path / "redacted" / "100-1").write_text(secret)
    look_for_secrets(world)
    assert world.violations() == []
    (tmp_path / "cache/mirrors/checkpoint.json").write_text(f'"{secret}"')
    look_for_secrets(world)
    assert [each["what"] for each in world.violations()] == ["cache/mirrors/checkpoint.json holds 1 redacted secrets"]


def test_an_event_that_comes_twice_or_out_of_order_is_found() -> None:
    found: list[str] = []
    account = Account(found.append)
    for seq, (life, i) in enumerate([(100, 1), (200, 1), (100, 2), (100, 2), (200, 3)], start=1):
        data = {"message": f"{life}:{i}:", "level": "info", "metadata": None}
        account.add(ml_dash.Event(seq, "log.written", 0, data, "w", "s"))
    assert found == [
        "event 4 is number 2 of life 100, behind number 2",
        "event 5 is number 3 of life 200, behind number 1",
    ]


def test_the_model_knows_what_was_logged_again() -> None:
    model = Model()
    seq = 0

    def add(kind: str, session: str, **data: object) -> None:
        nonlocal seq
        seq += 1
        model.add(ml_dash.Event(seq, kind, 0, {"session": session, **data}, session, session))

    def log(session: str, *steps: int) -> None:
        for step in steps:
            add("metric.logged", session, name="train", fields={"life": 1, "i": seq, "step": step})

    add("run.started", "a")
    log("a", 1, 2, 3)
    add("run.failed", "a", reason="lost")
    add("run.started", "b")
    log("b", 2, 3, 4)
    add("run.rewound", "b", steps={"step": 3})
    assert [model.metrics["train"].step[row] for row in model.latest("train")] == [1, 2, 3]
    assert model.status == "RUNNING"
    add("run.completed", "b")
    assert model.status == "COMPLETED"


def test_nothing_of_a_soak_is_found_by_whoever_runs_it(tmp_path: Path) -> None:
    (tmp_path / "something").touch()
    refused = soaked(tmp_path, "--minutes", "0.01")
    assert refused.returncode == 1
    assert "is not empty" in refused.stderr
    assert os.listdir(tmp_path) == ["something"]
    assert secrets(World(tmp_path, ""), is_over=True) == []
