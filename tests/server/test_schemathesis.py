"""schemathesis against `spec/openapi.yaml` and real server processes: what the page says is what the servers do.

Requests that the page allows and requests that it forbids are made up, and every answer is held against the page:
status, headers, type and schema; what is forbidden is refused, what needs a token is refused without.

What is left out, and why:

- `positive_data_acceptance` takes more statuses of the operations below: that bytes have their hash, that a chain
  verifies, that a cursor or a code was given out, where content ends, that one
  of two parameters is enough, no schema can say.
- `ignored_auth` of `metrics` on loopback, where this machine itself needs no token: its `security` says so.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml

import ml_dash

from .. import loopback
from ..promises import RecordProperty
from .conftest import NewServer, ServerProcess
from .histories import JOURNAL, PREFIX, History
from .serving import add_user, create_token
from .shipping import Client

SPEC = Path(__file__).parents[2] / "spec/openapi.yaml"
HOOKS = Path(__file__).parent / "schemathesis_hooks.py"
CONTENT = b"content"
BEYOND_A_SCHEMA = {
    "append": ["422", "428", "400"],
    "redact": ["422"],
    "putBlob": ["422"],
    "complete": ["422"],
    "experiments": ["400"],
    "state": ["400"],
    "segment": ["416"],
    "segmentHead": ["416"],
    "blob": ["416"],
    "blobHead": ["416"],
    "deviceToken": ["400"],
    "deviceAnswer": ["400"],
}


def toml(folder: Path, token: str | None, known: dict[str, list[Any]]) -> Path:
    """The configuration: half of the values of what is named are of what is stored."""
    accepted = ["2xx", "3xx", "401", "403", "404", "409", "429"]
    lines = [f"hooks = {json.dumps(str(HOOKS))}", "max-stream-events = 3", "request-timeout = 20", "color = false"]
    if token is not None:
        lines += ["[headers]", f'Authorization = "Bearer {token}"']
    lines += ["[parameters]"]
    lines += [f'"{name}" = {{ dictionary = "{name}", probability = 0.5 }}' for name in known]
    for name, values in known.items():
        lines += [f'[dictionaries."{name}"]', f"values = {json.dumps(values)}"]
    for name, statuses in BEYOND_A_SCHEMA.items():
        lines += ["[[operations]]", f'include-operation-id = "{name}"']
        lines += [f"checks.positive_data_acceptance.expected-statuses = {json.dumps(accepted + statuses)}"]
    written = folder / "schemathesis.toml"
    written.write_text("\n".join(lines) + "\n")
    return written


def closed(folder: Path) -> Path:
    """The page of a server that has accounts: a token is needed, but where it says that none ever is."""
    page = yaml.safe_load(SPEC.read_text(encoding="utf-8"))
    page["security"] = [{"token": []}]
    page["paths"]["/v1/metrics"]["get"]["security"] = [{"token": []}, {}]
    written = folder / "closed.yaml"
    written.write_text(yaml.safe_dump(page))
    return written


def check(server: ServerProcess, folder: Path, token: str | None, phases: str, examples: int, *more: str) -> int:
    """How many requests were made up; fails where one answer is not as the page says."""
    known = {"prefix": [PREFIX], "journal": [JOURNAL], "owner": ["alice"], "sha256": [sha256(CONTENT).hexdigest()]}
    page = SPEC if token is None else closed(folder)
    command = [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"]
    command += ["--config-file", str(toml(folder, token, known)), "run", str(page), "--url", server.url]
    command += ["--checks", "all", "--phases", phases, "--max-examples", str(examples), "--continue-on-failure"]
    command += [
        "--seed",
        "1",
        "--generation-deterministic",
        "--warnings",
        "off",
        *more,
    ]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=3600)
    assert ended.returncode == 0, ended.stdout[-20_000:] + ended.stderr[-2_000:]
    assert server.is_running()
    assert not any("Traceback" in line for line in server.lines), "\n".join(server.lines)[-5_000:]
    found = re.search(r"([0-9]+) generated", ended.stdout)
    assert found is not None, ended.stdout
    return int(found[1])


def filled(server: ServerProcess, token: str | None = None) -> ServerProcess:
    """With a journal and content to read."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    with Client(History.of(3, 2), [server.url]) as client:
        client._http.headers.update(headers)
        client.ship()
        path = f"{server.url}/v1/blobs/alice/{sha256(CONTENT).hexdigest()}"
        kind = {"Content-Type": "application/octet-stream"}
        client._http.put(path, content=CONTENT, headers=kind).raise_for_status()
    return server


def a_closed_server(new_server: NewServer, folder: Path) -> tuple[ServerProcess, str]:
    add_user(folder / "store", "alice")
    token = create_token(folder / "store", "alice")
    return filled(new_server(), token), token


def a_read_only_server(new_server: NewServer, folder: Path) -> ServerProcess:
    with ml_dash.Experiment(PREFIX, dash_root=folder / "dash").run as experiment:
        experiment.metrics("train").log(step=1, loss=0.5)
        experiment.files().save_text(CONTENT.decode(), to="a.txt")
    return new_server(folder / "dash")


def test_an_open_server_does_what_its_page_says(
    new_server: NewServer, tmp_path: Path, record_property: RecordProperty
) -> None:
    requests = check(filled(new_server()), tmp_path, None, "fuzzing", 1)
    assert requests > 20
    record_property("requests made up", requests)


def test_a_closed_server_does_what_its_page_says(new_server: NewServer, tmp_path: Path) -> None:
    server, token = a_closed_server(new_server, tmp_path)
    assert check(server, tmp_path, token, "fuzzing", 1) > 20
    assert loopback.get(f"{server.url}/v1/user").status_code == 401


def test_a_read_only_server_does_what_its_page_says(new_server: NewServer, tmp_path: Path) -> None:
    assert check(a_read_only_server(new_server, tmp_path), tmp_path, None, "fuzzing", 1) > 20


@pytest.mark.campaign
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", ["open", "closed", "read-only"])
def test_thousands_of_requests_are_answered_as_the_page_says(
    new_server: NewServer, tmp_path: Path, kind: str, record_property: RecordProperty
) -> None:
    token = None
    if kind == "closed":
        server, token = a_closed_server(new_server, tmp_path)
    elif kind == "open":
        server = filled(new_server())
    else:
        server = a_read_only_server(new_server, tmp_path)
    requests = check(server, tmp_path, token, "examples,coverage,fuzzing,stateful", 300)
    assert requests > 3000
    record_property("requests made up", requests)
