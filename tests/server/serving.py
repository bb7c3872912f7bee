"""A real server process on loopback, and people who log in to it.

with serve(store) as server:
    server.url
    add_user(store, "alice")
    token = login(server, "alice")          # by the device flow, as a browser and a device go through it
    token = create_token(store, "alice", "--read-only")
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep

import httpx

from .. import loopback

COMMAND = [sys.executable, "-m", "ml_dash"]
PASSWORD = "correct horse battery"
WAIT_S_MAX = 60.0
GRANT_TYPE = "urn:ietf:params:oauth:grant-type:device_code"


@dataclass
class Served:
    """A server that runs; `pid` is the process's own."""

    process: subprocess.Popen[str]
    url: str
    store: str
    first_lines: str

    @property
    def pid(self) -> int:
        return self.process.pid

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(WAIT_S_MAX)


@contextmanager
def serve(store: Path | str, *arguments: str, port: int = 0) -> Iterator[Served]:
    """`ml-dash serve` on a free port of loopback, ended by Ctrl-C behind the block unless it was ended in it."""
    with TemporaryDirectory() as cache, _started(store, arguments, port, cache) as served:
        yield served


@contextmanager
def _started(store: Path | str, arguments: tuple[str, ...], port: int, cache: str) -> Iterator[Served]:
    process = subprocess.Popen(
        [*COMMAND, "serve", "--store", str(store), "--port", str(port), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"XDG_CACHE_HOME": cache},
    )
    assert process.stdout is not None
    lines = ""
    try:
        while True:
            line = process.stdout.readline()
            lines += line
            assert line, f"the server ended: {lines}"
            if found := re.search(r"https?://\S+", line):
                break
        url = found[0].rstrip(".,")
        _until_it_answers(url)
        yield Served(process, url, str(store), lines)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(WAIT_S_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise
        process.stdout.close()


def _until_it_answers(url: str) -> None:
    deadline = monotonic() + WAIT_S_MAX
    while True:
        try:
            loopback.get(f"{url}/v1/health", timeout=5).raise_for_status()
            return
        except httpx.HTTPError:
            if monotonic() > deadline:
                raise
            sleep(0.05)


def run_command(*arguments: str, stdin: str = "", code: int = 0) -> str:
    """What `ml-dash` printed on stdout."""
    ended = subprocess.run([*COMMAND, *arguments], input=stdin, capture_output=True, text=True, timeout=WAIT_S_MAX)
    assert ended.returncode == code, f"{ended.returncode}: {ended.stdout}{ended.stderr}"
    return ended.stdout


def add_user(store: Path | str, owner: str, password: str = PASSWORD) -> None:
    run_command("server", "user", "add", owner, "--store", str(store), "--password-stdin", stdin=f"{password}\n")


def create_token(store: Path | str, owner: str, *arguments: str) -> str:
    printed = run_command("server", "token", "create", "--store", str(store), "--owner", owner, *arguments)
    return printed.split()[-1]


def login(server: Served | str, owner: str, password: str = PASSWORD) -> str:
    """A token, by the device flow; the device asks once, and only after it was let in."""
    url = server if isinstance(server, str) else server.url
    asked = loopback.post(
        f"{url}/v1/device/code", data={"client_id": "ml-dash", "device_name": "test"}
    ).raise_for_status()
    approve(asked.json()["verification_uri_complete"], owner, password)
    form = {"grant_type": GRANT_TYPE, "device_code": asked.json()["device_code"], "client_id": "ml-dash"}
    return str(loopback.post(f"{url}/v1/device/token", data=form).raise_for_status().json()["access_token"])


def approve(page: str, owner: str, password: str = PASSWORD, answer: str = "approve") -> httpx.Response:
    """What a person does on the page, as a browser sends it; gives the last answer."""
    address, _, query = page.partition("?")
    origin = address.removesuffix("/device")
    with loopback.Client(headers={"Origin": origin, "Sec-Fetch-Site": "same-origin"}) as browser:
        browser.get(page).raise_for_status()
        fields = {
            "user_code": query.removeprefix("user_code="),
            "owner": owner,
            "password": password,
            "step": "sign-in",
        }
        signed_in = browser.post(address, data=fields)
        if signed_in.status_code != 200:
            return signed_in
        hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', signed_in.text))
        assert hidden.keys() == {"user_code", "nonce"}, signed_in.text
        return browser.post(address, data={**{k: unescape(v) for k, v in hidden.items()}, "step": answer})
