"""Several machines that record one experiment, against a real server process: every reader has all, and the same."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

import ml_dash
from ml_dash import Experiment
from ml_dash.errors import ConfigurationError
from ml_dash.journal.copying import Content
from ml_dash.journal.folder import JournalFolder
from ml_dash.opening import shipping
from ml_dash.prefix import parse_prefix
from ml_dash.reading.listing import folder_of, root_of
from ml_dash.reading.origins import WITHOUT
from ml_dash.reading.replay import Replay
from ml_dash.reading.saved_content import content_store
from ml_dash.remote.server import Server
from ml_dash.state import to_plain_state

from ..server.conftest import ServerProcess

DEADLINE_S = 60.0
RECORDS = """
import os, sys, time
from ml_dash import Experiment
prefix, url, root, name, first, last, *gate = sys.argv[1:]
with Experiment(prefix, dash_url=url, dash_root=None if root == "-" else root).run as experiment:
    experiment.params.set(**{name: int(first)})
    for step in range(int(first), int(last) + 1):
        experiment.metrics("train").log(step=step, loss=1 / step)
        experiment.metrics(name).log(step=step)
        experiment.log(f"{name} {step}")
        if step % 20 == 0:
            experiment.flush()
        while gate and step == 100 and not os.path.exists(gate[0]):
            time.sleep(0.01)
"""


@pytest.fixture(autouse=True)
def folders_of_this_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("ML_DASH_CONSOLE", "off")
    monkeypatch.chdir(tmp_path)
    shipping._unreachable.clear()


def start(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", RECORDS, *map(str, arguments)], text=True, stderr=subprocess.PIPE)


def finish(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        _, said = process.communicate(timeout=DEADLINE_S)
        assert process.returncode == 0, said


def ml_dash_command(*arguments: str) -> str:
    command = [sys.executable, "-m", "ml_dash", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not is_so():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)


def plain(prefix: str, **where: Any) -> dict[str, Any]:
    folder = folder_of(parse_prefix(prefix), root_of(where.get("dash_root"), where.get("dash_url")))
    return to_plain_state(Replay(folder).refresh())


def on_server(url: str, prefix: str) -> dict[str, Any]:
    server = Server(url, None)
    try:
        found = server.state(prefix)
        return {name: found[name] for name in ("state", "tags")}
    finally:
        server.close()


def text_of(run: ml_dash.Run, name: str) -> str:
    found = next(each for each in run.files if each.filename == name)
    return content_store(run._folder).read(Content(found.checksum, found.size_bytes)).decode()


def lines(events: Sequence[ml_dash.Event]) -> list[str]:
    return [each.data["message"] for each in events if each.type == "log.written"]


# --- readers ------------------------------------------------------------------------------------------------


def test_two_machines_at_once_and_three_readers_with_one_state(
    server: ServerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix, url = "alice/ml/at-once", server.url
    gate = tmp_path / "gate"
    machines = [start(prefix, url, tmp_path / name, name, 1, 200, gate) for name in ("one", "two")]
    wait_until(lambda: len(Server(url, None).journals(prefix)) == 2)
    while len(lines(list(ml_dash.events(prefix, dash_url=url)))) < 200:
        time.sleep(0.01)
    gate.touch()
    while any(each.poll() is None for each in machines):
        ml_dash.load(prefix, dash_url=url)
    finish(*machines)
    incremental = plain(prefix, dash_url=url)
    shutil.rmtree(tmp_path / "cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    fresh = plain(prefix, dash_url=url)
    assert {name: incremental[name] for name in ("state", "tags")} == on_server(url, prefix)
    assert incremental == fresh
    events = list(ml_dash.events(prefix, dash_url=url))
    assert [each.seq for each in events] == list(range(1, len(events) + 1))
    assert sorted(lines(events)) == sorted(f"{name} {step}" for name in ("one", "two") for step in range(1, 201))
    run = ml_dash.load(prefix, dash_url=url)
    assert run.metrics["train"].columns(attempts="all")["step"].count(7) == 2
    assert (run.params, len(run.sessions)) == ({"one": 1, "two": 1}, 2)
    report = ml_dash.verify(prefix, dash_url=url)
    assert (report.ok, report.events) == (True, len(events))
    ml_dash_command("pull", prefix, "--dash-url", url, "--dash-root", "pulled")
    assert plain(prefix, dash_root="pulled") == fresh
    assert ml_dash.verify(prefix, dash_root="pulled").head == report.head
    served = ServerProcess(tmp_path / "pulled", tmp_path / "cache of the other server").start()
    try:
        assert on_server(served.url, prefix) == on_server(url, prefix)
        assert plain(prefix, dash_url=served.url) == fresh
    finally:
        served.close()


def test_three_sessions_without_a_root_are_one_experiment(shared_server: ServerProcess) -> None:
    prefix, url = "alice/ml/three", shared_server.url
    for number in range(3):
        finish(start(prefix, url, "-", f"s{number}", 10 * number + 1, 10 * number + 10))
    run = ml_dash.load(prefix, dash_url=url)
    assert [each.status for each in run.sessions] == ["COMPLETED"] * 3
    assert run.metrics["train"].columns()["step"] == list(range(1, 31))
    assert run.params == {f"s{number}": 10 * number + 1 for number in range(3)}


@pytest.mark.parametrize("is_shipped_late", [False, True])
def test_a_training_that_goes_on_elsewhere_from_its_checkpoint_supersedes(
    shared_server: ServerProcess, tmp_path: Path, is_shipped_late: bool
) -> None:
    prefix, url = f"alice/ml/elsewhere-{is_shipped_late}", shared_server.url
    killed = (
        "import os, sys; from ml_dash import Experiment\n"
        "experiment = Experiment(sys.argv[1], dash_url=sys.argv[2], dash_root='one')\n"
        "experiment.run.start()\n"
        "for step in range(1, 16): experiment.metrics('train').log(step=step, loss=1.0)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    ended = subprocess.run([sys.executable, "-c", killed, prefix, url], timeout=DEADLINE_S)
    assert ended.returncode == -signal.SIGKILL
    rest = "ship", prefix, "--dash-url", url, "--dash-root", "one"
    if not is_shipped_late:
        ml_dash_command(*rest)
    finish(start(prefix, url, tmp_path / "two", "two", 11, 20))
    if is_shipped_late:
        ml_dash_command(*rest)
    run = ml_dash.load(prefix, dash_url=url)
    assert run.metrics["train"].columns()["step"] == list(range(1, 21))
    assert len(run.metrics["train"].columns(attempts="all")["step"]) == 25
    assert [each.status for each in run.sessions] == ["FAILED", "COMPLETED"]
    assert Server(url, None).state(prefix)["summary"]["sessions"] == 2


# --- following ----------------------------------------------------------------------------------------------


def test_a_follower_gets_what_comes_late_and_nothing_twice(shared_server: ServerProcess, tmp_path: Path) -> None:
    prefix, url = "alice/ml/late", shared_server.url
    with Experiment(prefix, dash_root="offline").run as offline:
        offline.log("recorded first, shipped last")
    given: list[ml_dash.Event] = []

    def follow() -> None:
        for event in ml_dash.events(prefix, dash_url=url, follow=True):
            given.append(event)
            if event.type == "log.written" and event.data["message"] == "the end":
                return

    with Experiment(prefix, dash_url=url, dash_root="one").run as one:
        one.log("one")
        one.flush()
        wait_until(lambda: bool(Server(url, None).journals(prefix)))
        follower = Thread(target=follow, daemon=True)
        follower.start()
        wait_until(lambda: "one" in lines(given))
        finish(start(prefix, url, tmp_path / "two", "two", 1, 50))
        wait_until(lambda: "two 50" in lines(given))
        ml_dash_command("ship", prefix, "--dash-url", url, "--dash-root", "offline")
        wait_until(lambda: "recorded first, shipped last" in lines(given))
        one.log("the end")
    follower.join(DEADLINE_S)
    assert not follower.is_alive()
    expected = ["recorded first, shipped last", "one", *(f"two {step}" for step in range(1, 51)), "the end"]
    assert sorted(lines(given)) == sorted(expected)
    assert lines(list(ml_dash.events(prefix, dash_url=url))) == expected
    all_of_them = {(each.writer, each.time_us, repr(each.data)) for each in given}
    assert len(all_of_them) == len(given)


# --- joining ------------------------------------------------------------------------------------------------


def test_machines_that_take_turns_see_what_the_other_has_done(shared_server: ServerProcess) -> None:
    prefix, url = "alice/ml/turns", shared_server.url
    for turn in range(4):
        with Experiment(prefix, dash_url=url, dash_root=("one", "two")[turn % 2]).run as experiment:
            assert experiment.params.get("turn", None) == (None if turn == 0 else turn - 1)
            assert experiment.tags == ([] if turn == 0 else [f"turn {turn - 1}"])
            if turn:
                summary = experiment.metrics("train").summary()["step"]
                assert (summary["last"], summary["count"]) == (turn * 10 - 1, turn * 10)
            experiment.params.set(turn=turn, **{f"only{turn}": turn})
            experiment.tags = [f"turn {turn}"]
            for step in range(turn * 10, turn * 10 + 10):
                experiment.metrics("train").log(step=step)
            assert experiment.params.get("turn") == turn
    run = ml_dash.load(prefix, dash_url=url)
    assert run.params == {"turn": 3, **{f"only{turn}": turn for turn in range(4)}}
    assert run.metrics["train"].columns()["step"] == list(range(40))


def test_a_correction_of_an_own_earlier_event_keeps_what_the_others_have_recorded(
    shared_server: ServerProcess,
) -> None:
    prefix, url = "alice/ml/corrected", shared_server.url
    with Experiment(prefix, dash_url=url, dash_root="one").run as one:
        one.params.set(lr=0.1)
    with Experiment(prefix, dash_url=url, dash_root="two").run as two:
        two.params.set(seed=7)
    wrong = next(each for each in ml_dash.events(prefix, dash_root="one") if each.type == "params.set")
    with Experiment(prefix, dash_url=url, dash_root="one").run as one:
        assert one.params.get() == {"lr": 0.1, "seed": 7}
        ml_dash.correct(prefix, wrong.seq, lr=0.5, dash_root="one", reason="a typing error")
        assert one.params.get() == {"lr": 0.5, "seed": 7}
    assert ml_dash.load(prefix, dash_url=url).params == {"lr": 0.5, "seed": 7}
    assert on_server(url, prefix)["state"]["params"] == {"lr": 0.5, "seed": 7}


def test_what_another_machine_records_meanwhile_shows_in_an_open_session(
    shared_server: ServerProcess, tmp_path: Path
) -> None:
    prefix, url = "alice/ml/meanwhile", shared_server.url
    with Experiment(prefix, dash_url=url, dash_root="one").run as one:
        one.params.set(one=1)
        for step in range(1, 6):
            one.metrics("train").log(step=step, loss=1.0)
        assert one.metrics("train").read()["total"] == 5
        # Joins an experiment that nobody else had recorded when this session began.
        finish(start(prefix, url, tmp_path / "two", "two", 11, 20))
        wait_until(lambda: one.params.get() == {"one": 1, "two": 11})
        one.metrics("train").log(step=21, loss=1.0)
        wait_until(lambda: one.metrics("train").read()["total"] == 16)
        assert one.metrics("train").columns()["step"] == [1, 2, 3, 4, 5, *range(11, 22)]
        assert one.metrics("train").summary()["step"]["max_step"] == 21
        assert {each["name"] for each in one.metrics.list_all()} == {"train", "two"}
        assert [each["message"] for each in one.logs.read(search="two")] == [f"two {step}" for step in range(11, 21)]
        assert [value for _, _, value in one.params.history("two")] == [11]
        with Experiment(prefix, dash_url=url, dash_root="three").run as three:
            three.files.save_text("of three", to="note.txt")
            three.tracks("arm").append(_ts=1.0, q=0.5)
        wait_until(lambda: one.files.exists("note.txt"))
        assert one.files.read_text("note.txt") == "of three"
        assert one.tracks("arm").read()["entries"] == [{"timestamp": 1.0, "q": 0.5}]
        one.params.set(one=2)
        assert one.params.get("one") == 2
    run = ml_dash.load(prefix, dash_url=url)
    assert run.metrics["train"].columns()["step"] == [1, 2, 3, 4, 5, *range(11, 22)]
    assert run.params == {"one": 2, "two": 11}
    assert [value for _, _, value in run.params.history("one")] == [1, 2]
    assert (run.files[0].read_bytes(), run.files.read_text("note.txt")) == (b"of three", "of three")


def test_reading_in_an_open_session_goes_on_without_its_server(
    server: ServerProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    prefix, url = "alice/ml/alone", server.url
    with Experiment(prefix, dash_url=url, dash_root="two").run as two:
        two.params.set(two=2)
        two.metrics("train").log(step=1)
    with Experiment(prefix, dash_url=url, dash_root="one", ship_timeout_s=0).run as one:
        assert one.metrics("train").read()["total"] == 1
        server.kill()
        one.metrics("train").log(step=2)
        wait_until(lambda: one.metrics("train").columns() == {"step": [1, 2]})
        one.params.set(one=1)
        assert one.params.get() == {"one": 1, "two": 2}
        wait_until(lambda: one.params.get() is not None and "asked again every" in capsys.readouterr().err)
        assert one.metrics("train").columns() == {"step": [1, 2]}


# --- secrets ------------------------------------------------------------------------------------------------


def files_with(data: bytes, *folders: Path) -> list[Path]:
    found = (path for folder in folders for path in folder.rglob("*") if path.is_file())
    return [path for path in found if data in path.read_bytes()]


def test_what_is_redacted_is_in_no_merged_journal_any_more(server: ServerProcess, tmp_path: Path) -> None:
    prefix, url, secret = "alice/ml/secret", server.url, b"hunter2hunter2"
    for name in ("one", "two", "three", "two"):
        with Experiment(prefix, dash_url=url, dash_root=name).run as experiment:
            experiment.params.set(**{name: 1})
            if name == "one":
                experiment.params.set(password=secret.decode())
    assert ml_dash.load(prefix, dash_url=url).params["password"] == secret.decode()
    ml_dash_command("pull", prefix, "--dash-url", url, "--dash-root", "two")
    assert ml_dash.load(prefix, dash_root="two").params["password"] == secret.decode()
    with Experiment(prefix, dash_root="two").run as experiment:
        assert experiment.params.get("password") == secret.decode()
    assert [path for path in files_with(secret, tmp_path / "cache") if WITHOUT in path.parts]
    assert [path for path in files_with(secret, tmp_path / "two") if WITHOUT in path.parts]
    leak = next(each for each in ml_dash.events(prefix, dash_root="one") if "password" in str(each.data))
    ml_dash.redact(prefix, leak.seq, "password", reason="a leak", dash_root="one")
    ml_dash_command("ship", prefix, "--dash-url", url, "--dash-root", "one")
    assert "[redacted]" in ml_dash.load(prefix, dash_url=url).params["password"]
    assert "[redacted]" in on_server(url, prefix)["state"]["params"]["password"]
    ml_dash_command("pull", prefix, "--dash-url", url, "--dash-root", "two")
    assert "[redacted]" in ml_dash.load(prefix, dash_root="two").params["password"]
    assert files_with(secret, tmp_path) == []
    assert ml_dash.verify(prefix, dash_url=url).ok


# --- bringing down ------------------------------------------------------------------------------------------


def test_what_was_pulled_reads_as_one_and_is_gone_on_with_as_one(shared_server: ServerProcess, tmp_path: Path) -> None:
    prefix, url = "alice/ml/down", shared_server.url
    for name in ("one", "two"):
        with Experiment(prefix, dash_url=url, dash_root=name, tags=[name]).run as experiment:
            experiment.params.set(**{name: 1})
            experiment.files.save_text(f"weights of {name}", to=f"{name}.txt")
    ml_dash_command("pull", prefix, "--dash-url", url, "--dash-root", "two")
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)
    run = ml_dash.load(prefix, dash_root="two")
    assert (run.params, run.tags, run.damage) == ({"one": 1, "two": 1}, ("two",), ())
    assert text_of(run, "one.txt") == "weights of one"
    assert ml_dash.experiments(prefix, dash_root="two")[0].sessions == 2
    events = list(ml_dash.events(prefix, dash_root="two"))
    own, other = (next(each.seq for each in events if name in each.data.get("params", ())) for name in ("two", "one"))
    ml_dash.correct(prefix, own, two=2, dash_root="two", reason="better")
    with pytest.raises(ConfigurationError, match="recorded by another machine"):
        ml_dash.correct(prefix, other, one=2, dash_root="two", reason="better")
    with Experiment(prefix, dash_root="two").run as experiment:
        assert experiment.params.get() == {"one": 1, "two": 2}
        assert experiment.files("one.txt").read_text() == "weights of one"
        experiment.params.set(three=3)
    assert ml_dash.load(prefix, dash_root="two").params == {"one": 1, "two": 2, "three": 3}
    ml_dash_command("ship", prefix, "--dash-url", url, "--dash-root", "two")
    assert ml_dash.load(prefix, dash_url=url).params == {"one": 1, "two": 2, "three": 3}


def test_damage_in_one_of_the_journals_is_told_and_hides_nothing_else(
    shared_server: ServerProcess, tmp_path: Path
) -> None:
    prefix, url = "alice/ml/damaged", shared_server.url
    for name in ("one", "two"):
        finish(start(prefix, url, tmp_path / name, name, 1, 60))
    ml_dash_command("pull", prefix, "--dash-url", url, "--dash-root", "two")
    whole = plain(prefix, dash_root="two")
    path = Path(JournalFolder(tmp_path / "two" / prefix).segment_path(1))
    before = path.read_bytes()
    middle = before.index(b'"t":', len(before) // 2)
    path.write_bytes(before[:middle] + b"X" + before[middle + 1 :])
    run = ml_dash.load(prefix, dash_root="two")
    assert run.damage
    assert run.metrics["one"].columns()["step"] == list(range(1, 61))
    assert not ml_dash.verify(prefix, dash_root="two").ok
    path.write_bytes(before)
    assert plain(prefix, dash_root="two") == whole
    assert ml_dash.verify(prefix, dash_root="two").ok


def test_a_fork_is_whole_wherever_it_is_read(
    shared_server: ServerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = shared_server.url
    parent = None
    for number, prefix in enumerate(("alice/ml/grandparent", "alice/ml/parent", "bob/ml/fork")):
        with Experiment(prefix, dash_url=url, dash_root="one", fork=parent).run as experiment:
            experiment.files.save_text(prefix, to=f"{number}.txt")
            for step in range(number * 10, number * 10 + 10):
                experiment.metrics("train").log(step=step)
        parent = prefix
    fork = "bob/ml/fork"
    answer = Server(url, None)._object("GET", "/v1/columns", query={"prefix": fork, "metric": "train"})
    assert answer["columns"]["step"] == list(range(30))
    remote = ml_dash.load(fork, dash_url=url)
    assert remote.metrics["train"].columns()["step"] == list(range(30))
    assert remote.damage == ()
    assert ml_dash.verify(fork, dash_url=url).ok
    ml_dash_command("pull", fork, "--dash-url", url, "--dash-root", "three")
    pulled = ml_dash.load(fork, dash_root="three")
    assert pulled.metrics["train"].columns()["step"] == list(range(30))
    assert text_of(pulled, "0.txt") == "alice/ml/grandparent"


# --- two continuations --------------------------------------------------------------------------------------

AT_ONCE = """
import pathlib, sys, time
from ml_dash import Experiment
prefix, url, root, name, other = sys.argv[1:]
with Experiment(prefix, dash_url=url, dash_root=root).run as experiment:
    pathlib.Path(f"{name}-is-open").touch()
    while not pathlib.Path(f"{other}-is-open").exists():
        time.sleep(0.01)
    for step in range(1, 21):
        experiment.metrics(name).log(step=step)
        experiment.flush()
    experiment.params.set(**{name: "recorded"})
"""


def test_of_a_copied_folder_that_is_resumed_twice_at_once_one_goes_on_under_another_prefix(
    shared_server: ServerProcess, tmp_path: Path
) -> None:
    prefix, other, url = "alice/ml/copied-folder", "alice/ml/copied-folder-2", shared_server.url
    finish(start(prefix, url, tmp_path / "one", "both", 1, 10))
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    command = [sys.executable, "-c", AT_ONCE, prefix, url]
    both = {
        name: subprocess.Popen([*command, name, name, rest], text=True, stderr=subprocess.PIPE)
        for name, rest in (("one", "two"), ("two", "one"))
    }
    said = {name: process.communicate(timeout=DEADLINE_S)[1] for name, process in both.items()}
    assert {process.returncode for process in both.values()} == {0}, "no training is taken down"
    (loser,) = (name for name, text in said.items() if "go on differently" in text)
    winner = "one" if loser == "two" else "two"
    assert "folder of another prefix" in said[loser]
    assert f"ml-dash pull {prefix}" in said[loser]
    assert ml_dash.load(prefix, dash_root=loser).params == {"both": 1, loser: "recorded"}
    assert winner in ml_dash.load(prefix, dash_url=url).params
    assert loser not in ml_dash.load(prefix, dash_url=url).params
    os.rename(tmp_path / loser / prefix, tmp_path / loser / other)
    ml_dash_command("ship", other, "--dash-url", url, "--dash-root", loser)
    run = ml_dash.load(other, dash_url=url)
    assert run.params == {"both": 1, loser: "recorded"}
    assert run.metrics[loser].columns()["step"] == list(range(1, 21))
