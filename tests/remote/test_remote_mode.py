"""Experiments with a `dash_url`, against a real server process: what is there, what is read, what is without it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread

import pytest

import ml_dash
from ml_dash import Experiment
from ml_dash.errors import AuthenticationError, ConfigurationError, DivergedError
from ml_dash.journal.folder import JournalFolder
from ml_dash.opening import place, shipping
from ml_dash.remote.server import Server

from ..server.conftest import ServerProcess
from .hostile import valid_bytes

DEADLINE_S = 60.0


@pytest.fixture(autouse=True)
def folders_of_this_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("ML_DASH_CONSOLE", "off")
    monkeypatch.chdir(tmp_path)
    shipping._unreachable.clear()


@pytest.fixture
def at_exit(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """What a process does when it ends."""
    things: list[Callable[[], None]] = []
    monkeypatch.setattr(shipping, "last_things", things)

    def end() -> None:
        for thing in things:
            thing()

    yield end
    end()


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not is_so():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


def is_equal(url: str, prefix: str, root: Path) -> bool:
    """Whether the server has all of a journal, byte for byte."""
    folder = JournalFolder(root / prefix, prefix=prefix)
    server = Server(url, None)
    try:
        for head in server.journals(prefix):
            for number, data in valid_bytes(folder).items():
                with server.segment(prefix, head.journal, number) as chunks:
                    if b"".join(chunks) != data:
                        return False
            return True
        return False
    finally:
        server.close()


def ml_dash_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ml_dash", *arguments], capture_output=True, text=True, timeout=DEADLINE_S
    )


# --- what arrives -------------------------------------------------------------------------------------------


def test_an_experiment_is_on_the_server_when_it_has_ended(shared_server: ServerProcess, tmp_path: Path) -> None:
    prefix, url = "alice/ml/hybrid", shared_server.url
    with Experiment(prefix, dash_url=url, tags=["baseline"]).run as experiment:
        experiment.params.set(lr=0.1)
        for step in range(300):
            experiment.metrics("train").log(step=step, loss=1 / (step + 1))
        experiment.files.save_text("weights", to="models/a.txt")
    assert is_equal(url, prefix, tmp_path / ".dash")
    run = ml_dash.load(prefix, dash_url=url)
    assert (run.status, run.params, run.tags) == ("COMPLETED", {"lr": 0.1}, ("baseline",))
    assert run.metrics["train"].columns()["step"] == list(range(300))
    assert Server(url, None).has_blob("alice", run.files[0].checksum)


def test_events_arrive_while_the_experiment_is_open(shared_server: ServerProcess) -> None:
    prefix, url = "alice/ml/live", shared_server.url
    with Experiment(prefix, dash_url=url).run as experiment:
        experiment.log("first")
        wait_until(lambda: any("first" in str(event.data) for event in _events_on(url, prefix)))
        assert ml_dash.load(prefix, dash_url=url).status == "RUNNING"


def _events_on(url: str, prefix: str) -> list[ml_dash.Event]:
    try:
        return list(ml_dash.events(prefix, dash_url=url))
    except ml_dash.NotFoundError:
        return []


def test_following_on_a_server_gives_what_another_process_records(shared_server: ServerProcess) -> None:
    prefix, url = "alice/ml/followed", shared_server.url
    source = (
        "import sys, time; from ml_dash import Experiment\n"
        "with Experiment(sys.argv[1], dash_url=sys.argv[2]).run as e:\n"
        "    for step in range(5): e.metrics('train').log(step=step); time.sleep(0.2)\n"
    )
    with Experiment(prefix, dash_url=url).run as experiment:
        experiment.log("before")
    with subprocess.Popen([sys.executable, "-c", source, prefix, url]) as process:
        found = []
        for event in ml_dash.events(prefix, dash_url=url, follow=True):
            if event.type == "metric.logged":
                found.append(event.data["fields"]["step"])
            if len(found) == 5:
                break
        assert found == list(range(5))
        assert process.wait(DEADLINE_S) == 0


def test_whoever_follows_goes_on_when_the_server_is_there_again(
    server: ServerProcess, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    prefix, url = "alice/ml/followed", server.url
    with Experiment(prefix, dash_url=url).run as experiment:
        experiment.log("before")
    found: list[str] = []
    warned = ""

    def follow() -> None:
        for event in ml_dash.events(prefix, dash_url=url, follow=True):
            if event.type == "log.written":
                found.append(event.data["message"])
            if "after" in found:
                return

    thread = Thread(target=follow)
    thread.start()
    wait_until(lambda: found == ["before"])
    server.kill()

    def has_warned() -> bool:
        nonlocal warned
        warned += capfd.readouterr().err
        return "asked again" in warned

    wait_until(has_warned)
    server.start()
    with Experiment(prefix, dash_url=url).run as experiment:
        experiment.log("after")
    thread.join(DEADLINE_S)
    assert found == ["before", "after"]
    assert (warned + capfd.readouterr().err).count("asked again") == 1


@pytest.mark.parametrize("error", [ValueError("boom"), None])
def test_the_end_of_a_training_stays_what_it_was(shared_server: ServerProcess, error: Exception | None) -> None:
    prefix = f"alice/ml/end-{'failed' if error else 'completed'}"
    experiment = Experiment(prefix, dash_url=shared_server.url)
    if error is None:
        with experiment.run:
            pass
    else:
        with pytest.raises(ValueError, match="boom"), experiment.run:
            raise error
    assert ml_dash.load(prefix, dash_url=shared_server.url).status == ("FAILED" if error else "COMPLETED")


def test_lists_come_from_the_server(shared_server: ServerProcess) -> None:
    url = shared_server.url
    for name, tags in (("one", ["a"]), ("two", ["a", "b"])):
        with Experiment(f"bob/lists/{name}", dash_url=url, tags=tags).run:
            pass
    found = ml_dash.experiments("bob/**", dash_url=url)
    assert [each.prefix for each in found] == ["bob/lists/two", "bob/lists/one"]
    assert found[0] == ml_dash.experiments("bob/**", dash_root=".dash")[0]
    assert [each.prefix for each in ml_dash.experiments(dash_url=url, tags=["b"])] == ["bob/lists/two"]
    assert ml_dash.experiments("bob/**", dash_url=url, status="FAILED") == []
    with pytest.raises(ml_dash.NotFoundError, match="bob/lists/one"):
        ml_dash.load("bob/lists/onne", dash_url=url)


# --- no dash root -------------------------------------------------------------------------------------------


def test_without_a_root_nothing_stays_here_once_all_has_arrived(
    shared_server: ServerProcess, tmp_path: Path, at_exit: Callable[[], None]
) -> None:
    prefix, url = "alice/ml/remote", shared_server.url
    experiment = Experiment(prefix, dash_url=url, dash_root=None)
    with experiment.run:
        experiment.metrics("train").log(step=1, loss=0.5)
        experiment.files.save_blob(b"weights", to="a.bin")
    assert experiment.status == "COMPLETED"
    assert experiment.tags == []
    assert list(tmp_path.glob("state/**/*.jsonl"))
    at_exit()
    assert not [path for path in tmp_path.glob("state/**/*") if path.is_file() and path.name != ".opening"]
    assert ml_dash.load(prefix, dash_url=url).metrics["train"].columns() == {"step": [1], "loss": [0.5]}


def test_what_the_server_knows_is_there_when_another_machine_goes_on(shared_server: ServerProcess) -> None:
    prefix, url = "alice/ml/two-machines", shared_server.url
    first = Experiment(prefix, dash_url=url, dash_root="one", description="words", tags=["t"], metadata={"a": 1})
    with first.run:
        first.files.save_text("weights of the first", to="models/a.txt")
        first.params.set(lr=0.1, depth=3)
        for step in range(10):
            first.metrics("train").log(step=step, loss=10.0 - step)
    second = Experiment(prefix, dash_url=url, dash_root="two")
    with second.run:
        assert second.params.get() == {"lr": 0.1, "depth": 3}
        assert (second.description, second.tags, second.metadata) == ("words", ["t"], {"a": 1})
        summary = second.metrics("train").summary()
        assert (summary["step"]["last"], summary["loss"]["min"], summary["loss"]["count"]) == (9, 1.0, 10)
        second.params.set(lr=0.2)
        second.metrics("train").log(step=10, loss=0.5)
        assert second.params.get() == {"lr": 0.2, "depth": 3}
        assert second.metrics("train").summary()["loss"]["min"] == 0.5
        assert second.status == "RUNNING"
        assert second.files("models/a.txt").read_text() == "weights of the first"
    assert second.tags == ["t"]
    assert len(Server(url, None).journals(prefix)) == 2
    run = ml_dash.load(prefix, dash_url=url)
    assert run.params == {"lr": 0.2, "depth": 3}
    assert run.metrics["train"].columns()["step"] == list(range(11))
    third = Experiment(prefix, dash_url=url, dash_root="three")
    with third.run:
        assert third.params.get() == {"lr": 0.2, "depth": 3}
        assert third.metrics("train").summary()["step"]["last"] == 10


# --- without a server ---------------------------------------------------------------------------------------


def test_a_server_that_is_away_takes_nothing_from_the_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], server: ServerProcess
) -> None:
    prefix, url = "alice/ml/away", server.url
    server.kill()
    with Experiment(prefix, dash_url=url, ship_timeout_s=0.2).run as experiment:
        for step in range(100):
            experiment.metrics("train").log(step=step)
        experiment.files.save_text("kept", to="a.txt")
    said = capsys.readouterr().err
    assert said.count("cannot be reached") == 2
    command = f"ml-dash ship {prefix} --dash-root {tmp_path / '.dash'} --dash-url {url}"
    assert command in said

    server.start()
    again = ml_dash_command(*command.split()[1:])
    assert (again.returncode, again.stdout) == (0, f"{prefix}\t{url}\tshipped\n"), again.stderr
    assert is_equal(url, prefix, tmp_path / ".dash")
    assert ml_dash_command("ship").stdout == ""
    assert ml_dash.load(prefix, dash_url=url).metrics["train"].columns()["step"] == list(range(100))


def test_a_server_that_comes_back_gets_the_rest(server: ServerProcess, tmp_path: Path) -> None:
    prefix, url = "alice/ml/back", server.url
    with Experiment(prefix, dash_url=url).run as experiment:
        experiment.log("before")
        wait_until(lambda: is_equal(url, prefix, tmp_path / ".dash"))
        server.kill()
        experiment.log("meanwhile")
        experiment.flush()
        server.start()
        experiment.log("after")
    assert is_equal(url, prefix, tmp_path / ".dash")


def test_what_is_left_is_shipped_by_the_next_run(server: ServerProcess, tmp_path: Path) -> None:
    prefix, url = "alice/ml/next", server.url
    server.kill()
    with Experiment(prefix, dash_url=url, ship_timeout_s=0).run as experiment:
        experiment.log("first")
    server.start()
    with Experiment(prefix, dash_url=url).run as experiment:
        experiment.log("second")
    assert is_equal(url, prefix, tmp_path / ".dash")


def test_ship_says_what_is_left_and_fails_where_it_stays(server: ServerProcess, tmp_path: Path) -> None:
    prefix, url = "alice/ml/left", server.url
    server.kill()
    with Experiment(prefix, dash_url=url, dash_root=None, ship_timeout_s=0).run as experiment:
        experiment.files.save_blob(b"x" * 1000, to="a.bin")
    dry = ml_dash_command("ship", "--dry-run")
    assert dry.stdout.startswith(f"{prefix}\t{url}\t")
    assert "1 file left" in dry.stdout
    failed = ml_dash_command("ship")
    assert failed.returncode == 1
    assert "LEFT" in failed.stdout
    server.start()
    assert ml_dash_command("ship").returncode == 0
    assert not list(tmp_path.glob("state/**/*.jsonl")), "it only waited there"
    assert ml_dash_command("ship", "alice/ml/nobody").returncode == 2


# --- tokens -------------------------------------------------------------------------------------------------


def test_no_token_and_a_wrong_one_are_refused_before_anything_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store"
    for command in (["user", "add", "alice", "--password-stdin"], ["token", "create", "--owner", "alice"]):
        made = subprocess.run(
            [sys.executable, "-m", "ml_dash", "server", *command, "--store", str(store)],
            input="correct horse battery\n",
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
        )
        assert made.returncode == 0, made.stderr
    token = made.stdout.split()[-1]
    server = ServerProcess(store, tmp_path / "server-cache").start()
    try:
        for prefix, given, words in (
            ("alice/ml/a", None, "ml-dash login"),
            ("alice/ml/a", "mld_wrong", "ml-dash login"),
            ("alice/ml/a", "two words", "characters that no token has"),
            ("bob/ml/a", token, "'alice'"),
        ):
            monkeypatch.delenv("ML_DASH_TOKEN", raising=False)
            if given is not None:
                monkeypatch.setenv("ML_DASH_TOKEN", given)
            with pytest.raises(AuthenticationError, match=words) as caught:
                Experiment(prefix, dash_url=server.url).run.start()
            assert given is None or given not in str(caught.value)
            assert not (tmp_path / ".dash" / prefix).exists()
        monkeypatch.setenv("ML_DASH_TOKEN", token)
        with Experiment("alice/ml/a", dash_url=server.url).run:
            pass
        assert ml_dash.load("alice/ml/a", dash_url=server.url).status == "COMPLETED"
        journal = (tmp_path / ".dash/alice/ml/a/_journal/00000001.jsonl").read_bytes()
        assert token.encode() not in journal
    finally:
        server.close()


def test_a_server_that_only_shows_a_folder_is_refused_in_its_own_words(tmp_path: Path) -> None:
    with Experiment("alice/ml/shown", dash_root="shown").run:
        pass
    server = ServerProcess(tmp_path / "shown", tmp_path / "server-cache").start()
    try:
        with pytest.raises(AuthenticationError, match="it shows experiments, and changes none"):
            Experiment("alice/ml/more", dash_url=server.url).run.start()
    finally:
        server.close()
    assert not (tmp_path / ".dash/alice").exists()


def test_a_token_would_not_travel_unencrypted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_DASH_TOKEN", "mld_secret")
    with pytest.raises(ConfigurationError, match="plain HTTP"):
        Experiment("alice/ml/a", dash_url="http://192.0.2.1:1").run.start()


# --- lineages -----------------------------------------------------------------------------------------------


def copy_of(source: Path, target: Path) -> None:
    subprocess.run(["cp", "-r", str(source), str(target)], check=True)


def test_a_copied_journal_resumed_twice_is_refused_with_what_to_do(
    shared_server: ServerProcess, tmp_path: Path
) -> None:
    prefix, url = "alice/ml/copied", shared_server.url
    with Experiment(prefix, dash_url=url, dash_root="one").run as experiment:
        experiment.log("common")
    copy_of(tmp_path / "one", tmp_path / "two")
    with Experiment(prefix, dash_url=url, dash_root="one").run as experiment:
        experiment.log("one")
    assert is_equal(url, prefix, tmp_path / "one")
    with Experiment(prefix, dash_root="two").run as experiment:
        experiment.log("two")
    with (
        pytest.raises(DivergedError, match="go on differently") as refused,
        Experiment(prefix, dash_url=url, dash_root="two").run,
    ):
        pass
    assert "another prefix" in str(refused.value)
    assert is_equal(url, prefix, tmp_path / "one"), "the server's copy is as it was"
    found = ml_dash.load(prefix, dash_root="two")
    assert (found.logs[-1].message, len(found.sessions)) == ("two", 2), "nothing was recorded"
    pulled = ml_dash_command("pull", prefix, "--dash-url", url, "--dash-root", "two")
    assert pulled.returncode == 1
    assert "go on differently" in pulled.stderr


def test_a_tail_that_was_cut_between_two_lines_is_named_and_given_back(
    shared_server: ServerProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prefix, url = "alice/ml/cut", shared_server.url
    with Experiment(prefix, dash_url=url).run as experiment:
        experiment.log("kept")
    segment = tmp_path / ".dash" / prefix / "_journal/00000001.jsonl"
    whole = segment.read_bytes()
    segment.write_bytes(b"".join(whole.splitlines(keepends=True)[:-1]))
    shipped = ml_dash_command("ship", prefix)
    assert shipped.returncode == 1
    assert "has lost its end" in shipped.stdout
    assert "ml-dash pull" in shipped.stdout
    with Experiment(prefix, dash_url=url).run:
        pass
    assert "had lost its end" in capsys.readouterr().err
    assert segment.read_bytes().startswith(whole)
    assert is_equal(url, prefix, tmp_path / ".dash")
    assert [each.status for each in ml_dash.load(prefix).sessions] == ["COMPLETED", "COMPLETED"]


def test_pull_brings_everything_down_and_it_can_be_gone_on_with(shared_server: ServerProcess, tmp_path: Path) -> None:
    prefix, url = "alice/ml/pulled", shared_server.url
    content = os.urandom(100_000)
    with Experiment(prefix, dash_url=url, dash_root="here").run as experiment:
        experiment.params.set(lr=0.1)
        experiment.files.save_blob(content, to="a.bin")
    pulled = ml_dash_command("pull", prefix, "--dash-url", url, "--dash-root", "there")
    assert pulled.returncode == 0, pulled.stderr
    name = f"{prefix}/_journal/00000001.jsonl"
    assert (tmp_path / "there" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()
    with Experiment(prefix, dash_url=url, dash_root="there").run as experiment:
        assert experiment.params.get("lr") == 0.1
        assert Path(experiment.files("a.bin").download(to=tmp_path / "a.bin")).read_bytes() == content
    assert is_equal(url, prefix, tmp_path / "there")
    missing = ml_dash_command("pull", "alice/ml/nobody", "--dash-url", url)
    assert (missing.returncode, "no experiment" in missing.stderr) == (1, True)


def test_a_glob_pulls_all_that_it_matches(shared_server: ServerProcess, tmp_path: Path) -> None:
    url = shared_server.url
    for name in ("a", "b"):
        with Experiment(f"alice/globbed/{name}", dash_url=url, dash_root="here").run as experiment:
            experiment.log(name)
    pulled = ml_dash_command("pull", "alice/globbed/*", "--dash-url", url, "--dash-root", "there")
    assert pulled.returncode == 0, pulled.stderr
    for name in ("a", "b"):
        assert ml_dash.load(f"alice/globbed/{name}", dash_root=tmp_path / "there").logs[0].message == name
    nothing = ml_dash_command("pull", "alice/nobody/*", "--dash-url", url, "--dash-root", "there")
    assert (nothing.returncode, "no experiment matches" in nothing.stderr) == (1, True)


# --- processes ----------------------------------------------------------------------------------------------


def test_a_forked_child_s_events_arrive_too(shared_server: ServerProcess, tmp_path: Path) -> None:
    prefix, url = "alice/ml/forked", shared_server.url
    source = (
        "import os, sys; from ml_dash import Experiment\n"
        "with Experiment(sys.argv[1], dash_url=sys.argv[2]).run as e:\n"
        "    e.log('parent')\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        e.log('child'); e.run.complete(); os._exit(0)\n"
        "    os.waitpid(child, 0)\n"
    )
    subprocess.run([sys.executable, "-c", source, prefix, url], check=True, timeout=DEADLINE_S)
    assert is_equal(url, prefix, tmp_path / ".dash")
    assert sorted(line.message for line in ml_dash.load(prefix, dash_url=url).logs) == ["child", "parent"]


@pytest.mark.parametrize(
    ("ending", "code", "status"), [("", 0, "COMPLETED"), ("raise ValueError('boom')", 1, "FAILED")]
)
def test_a_run_that_is_open_when_the_process_ends_is_shipped(
    shared_server: ServerProcess, tmp_path: Path, ending: str, code: int, status: str
) -> None:
    prefix, url = f"alice/ml/forgotten-{code}", shared_server.url
    source = (
        "import sys; from ml_dash import Experiment\n"
        "e = Experiment(sys.argv[1], dash_url=sys.argv[2]); e.run.start()\n"
        "for step in range(1000): e.metrics('train').log(step=step)\n" + ending
    )
    command = [sys.executable, "-c", source, prefix, url]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S)
    assert (ended.returncode, "WARNING" in ended.stderr) == (code, False), ended.stderr
    assert is_equal(url, prefix, tmp_path / ".dash")
    assert ml_dash.load(prefix, dash_url=url).status == status


def test_true_means_the_server_of_run(shared_server: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_DASH_API_URL", shared_server.url)
    with Experiment("alice/ml/true", dash_url=True, dash_root=None).run as experiment:
        assert experiment.mode is place.OperationMode.REMOTE
    assert ml_dash.load("alice/ml/true", dash_url=True).status == "COMPLETED"

    @ml_dash.ml_dash_experiment("alice/ml/decorated", dash_url=shared_server.url)
    def train(experiment: Experiment) -> str:
        experiment.log("inside")
        return "done"

    assert train() == "done"
    assert ml_dash.load("alice/ml/decorated", dash_url=True).logs[0].message == "inside"


def test_what_is_done_where_it_was_recorded_is_not_done_on_a_server(shared_server: ServerProcess) -> None:
    for call in (
        lambda: ml_dash.redact("alice/ml/a", 1, reason="r", dash_url=shared_server.url),
        lambda: ml_dash.correct("alice/ml/a", 1, reason="r", dash_url=shared_server.url, lr=1),
    ):
        with pytest.raises(ConfigurationError, match="ml-dash pull"):
            call()
