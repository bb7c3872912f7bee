"""The token of a person: it is in the request to its server, in the keychain or one file, and nowhere else."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

from ..server.serving import COMMAND, add_user, create_token, run_command, serve

TRAINING = """
import logging, sys
logging.basicConfig(level=logging.DEBUG)
import ml_dash
with ml_dash.Experiment("alice/ml/secret", dash_url=sys.argv[1], dash_root=sys.argv[2]).run as experiment:
    experiment.metrics("train").log(step=1, loss=0.5)
    experiment.files().save_text("content", to="a.txt")
    print(repr(experiment), repr(experiment.run), vars(type(experiment.run)))
print(ml_dash.load("alice/ml/secret", dash_url=sys.argv[1]))
from ml_dash.remote.server import Server
server = Server.at(sys.argv[1])
print(server, repr(server._transport))
raise ValueError("the end", server)
"""


def test_no_token_stands_in_a_journal_a_log_a_traceback_or_a_file(tmp_path: Path) -> None:
    store, home = tmp_path / "store", tmp_path / "home"
    home.mkdir()
    add_user(store, "alice")
    token = create_token(store, "alice")
    secret = token[4:].encode()
    folders = {name: str(home / name.lower()) for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME")}
    environment = {
        **os.environ,
        **folders,
        "HOME": str(home),
        "ML_DASH_CONFIG_DIR": str(home / "config"),
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
    }
    with serve(store) as server:
        said = b""
        for command, given in (
            ([sys.executable, "-X", "faulthandler", "-c", TRAINING, server.url, str(tmp_path / "dash")], True),
            ([*COMMAND, "doctor", "--dash-url", server.url], True),
            ([*COMMAND, "profile", "--dash-url", server.url], True),
            ([*COMMAND, "whoami", "--dash-url", server.url], True),
            ([*COMMAND, "login", "--with-token", "--dash-url", server.url], False),
            ([*COMMAND, "show", "alice/ml/secret", "--dash-url", server.url], False),
        ):
            more = {"ML_DASH_TOKEN": token} if given else {}
            ended = subprocess.run(
                command, input=token.encode(), capture_output=True, env={**environment, **more}, timeout=120
            )
            said += ended.stdout + ended.stderr
        assert b"the end" in said, said.decode()
        assert run_command("server", "token", "list", "--store", str(store))
    assert secret not in said
    holding = {file for file in tmp_path.rglob("*") if file.is_file() and secret in file.read_bytes()}
    (kept,) = holding
    assert kept.parent == home / "config" / "credentials"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    journal = b"".join(file.read_bytes() for file in (tmp_path / "dash").rglob("*.jsonl"))
    assert b"metric.logged" in journal
    assert b"ML_DASH_TOKEN" not in journal
