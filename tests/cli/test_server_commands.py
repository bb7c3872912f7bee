"""`ml-dash server`: accounts and tokens, from the terminal of whoever runs the server."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from ..server.serving import COMMAND, WAIT_S_MAX, add_user, create_token, run_command


def refused(*arguments: str, stdin: str = "", code: int = 2) -> str:
    ended = subprocess.run([*COMMAND, *arguments], input=stdin, capture_output=True, text=True, timeout=WAIT_S_MAX)
    assert ended.returncode == code, ended.stdout + ended.stderr
    assert ended.stdout == ""
    return ended.stderr


@pytest.fixture
def store(tmp_path: Path) -> str:
    return str(tmp_path / "store")


def test_accounts_are_added_listed_and_removed_with_their_tokens(store: str) -> None:
    add_user(store, "bob")
    add_user(store, "alice")
    create_token(store, "alice")
    listed = run_command("server", "user", "list", "--store", store)
    assert [line.split("\t")[0] for line in listed.splitlines()] == ["alice", "bob"]
    assert "--replace" in refused("server", "user", "add", "bob", "--store", store, "--password-stdin", stdin="x" * 9)
    assert "too short" in refused("server", "user", "add", "eve", "--store", store, "--password-stdin", stdin="x\n")
    assert "case" in refused("server", "user", "add", "Alice", "--store", store, "--password-stdin", stdin="x" * 9)
    assert "case" in refused("server", "token", "create", "--owner", "ALICE", "--store", store)
    run_command(
        "server", "user", "add", "bob", "--replace", "--store", store, "--password-stdin", stdin="another one\n"
    )
    gone = json.loads(run_command("server", "user", "remove", "alice", "--store", store, "--json"))
    assert gone == {"owner": "alice", "tokens_revoked": 1}
    assert [
        each["owner"] for each in json.loads(run_command("server", "user", "list", "--store", store, "--json"))
    ] == ["bob"]
    (token,) = json.loads(run_command("server", "token", "list", "--store", store, "--json"))
    assert token["standing"] == "revoked"
    assert "neither" in refused("server", "user", "remove", "carol", "--store", store)


def test_a_token_is_printed_once_as_the_last_word(store: str) -> None:
    printed = run_command(
        "server", "token", "create", "--store", store, "--owner", "alice", "--name", "ci runner", "--expires", "30d"
    )
    (line,) = printed.splitlines()
    token = line.split()[-1]
    assert re.fullmatch(r"mld_[A-Za-z0-9_-]{43}", token)
    listed = run_command("server", "token", "list", "--store", store) + run_command(
        "server", "token", "list", "--store", store, "--json"
    )
    assert token not in listed
    (known,) = json.loads(listed.splitlines()[-1])
    assert (known["owner"], known["name"], known["read_only"], known["standing"]) == (
        "alice",
        "ci runner",
        False,
        "good",
    )
    expires = datetime.fromisoformat(known["expires"].replace("Z", "+00:00"))
    assert abs(expires - datetime.now(timezone.utc) - timedelta(days=30)) < timedelta(minutes=5)
    assert "is revoked" in run_command("server", "token", "revoke", known["id"], "--store", store)
    assert "already" in run_command("server", "token", "revoke", known["id"], "--store", store)


def test_a_token_that_is_given_for_its_id_is_not_repeated(store: str) -> None:
    token = create_token(store, "alice")
    for wrong in [token, "abc", "0" * 12]:
        said = refused("server", "token", "revoke", wrong, "--store", store)
        assert "token list" in said
        assert wrong not in said


@pytest.mark.parametrize("expires", ["30 moons", "d", "-1d", "yesterday", "2001-01-01", "9999999d", "999999y"])
def test_an_expiry_that_is_none_is_refused(store: str, expires: str) -> None:
    said = refused("server", "token", "create", "--store", store, "--owner", "alice", f"--expires={expires}")
    assert "such as" in said or "over already" in said


@pytest.mark.parametrize(
    ("expires", "seconds"),
    [
        ("90s", 90),
        ("90", 90),
        ("2 minutes", 120),
        ("1 hour", 3600),
        ("12h", 43_200),
        ("4w", 2_419_200),
        ("never", None),
    ],
)
def test_an_expiry_is_a_time_from_now_on(store: str, expires: str, seconds: int | None) -> None:
    arguments = ("server", "token", "create", "--store", store, "--owner", "alice", "--expires", expires, "--json")
    said = json.loads(run_command(*arguments))["expires"]
    if seconds is None:
        assert said is None
    else:
        ends = datetime.fromisoformat(said.replace("Z", "+00:00"))
        assert abs(ends - datetime.now(timezone.utc) - timedelta(seconds=seconds)) < timedelta(seconds=60)


@pytest.mark.parametrize("owner", ["a/b", "..", "", "_journal", "a\nb"])
def test_a_name_that_no_prefix_can_begin_with_is_refused(store: str, owner: str) -> None:
    said = refused("server", "token", "create", "--store", store, "--owner", owner)
    assert "nobody's name" in said


def test_a_folder_that_is_no_store_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("not yours")
    refused("server", "token", "create", "--store", str(tmp_path), "--owner", "alice")
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


def test_no_store_is_made_where_experiments_are_recorded(tmp_path: Path) -> None:
    for command in (["serve"], ["server", "token", "create", "--owner", "alice"]):
        assert "no such folder" in refused(*command, "--store", str(tmp_path / ".dash"))
    assert list(tmp_path.iterdir()) == []


def test_a_password_is_asked_for_twice_and_never_shown(store: str) -> None:
    assert "--password-stdin" in refused("server", "user", "add", "alice", "--store", store)
    password = "correct horse"
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "server", "user", "add", "alice", "--store", store], stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    seen = b""
    typed = 0
    while select.select([ours], [], [], WAIT_S_MAX)[0]:
        try:
            part = os.read(ours, 65536)
        except OSError:
            # Linux says EIO once the last process has closed its side of a terminal.
            break
        if not part:
            break
        seen += part
        if seen.count(b": ") > typed:
            typed += 1
            os.write(ours, f"{password}\n".encode())
    os.close(ours)
    assert process.wait(WAIT_S_MAX) == 0, seen
    assert typed == 2
    assert password.encode() not in seen
    assert b"alice can log in" in seen


def test_a_command_that_has_used_a_store_takes_nothing_down_at_its_end() -> None:
    # What would be running then aborts a process once in thirty times; what is asserted is that it never gets there.
    program = (
        "import atexit, sys, obstore; atexit.register(print, 'taken down'); sys.argv = ['ml-dash', *sys.argv[1:]]; "
        "from ml_dash.cli import main; main()"
    )
    for arguments, code in [(["version"], 0), (["whoami", "--dash-url", "nonsense"], 2)]:
        ended = subprocess.run([COMMAND[0], "-c", program, *arguments], capture_output=True, text=True, timeout=60)
        assert (ended.returncode, "taken down" in ended.stdout) == (code, False)
        assert ended.stdout or ended.stderr
