"""Object stores over HTTP, as processes: one that speaks S3, and, where it is installed, one that speaks as Azure does.

The first is moto.  It looks whether an object is there and then writes it, in two steps: of a thousand races for one
name a few had two winners, which S3 does not allow (`If-None-Match: *`).  So requests are let in one at a time, each
once all of it has come; what a store does with a request is then one step, as it is there.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path

import httpx

from .. import loopback

START_TIMEOUT_S = 60.0
COMMAND = "azurite-blob"
"""`npm install azurite` brings it; AZURITE says where it is, if it is not on the PATH."""
_MOTO = """
import sys
from io import BytesIO
from threading import Lock
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, run_simple

store, one_at_a_time = DomainDispatcherApplication(create_backend_app), Lock()

class Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"
    def log(self, *_): pass

def application(environ, start_response):
    size = int(environ.get("CONTENT_LENGTH") or 0)
    body = environ["wsgi.input"].read(size) if size else b""
    if len(body) < size:
        start_response("400 Bad Request", [("Content-Length", "0")])
        return []
    environ["wsgi.input"] = BytesIO(body)
    with one_at_a_time:
        return store(environ, start_response)

run_simple("127.0.0.1", int(sys.argv[1]), application, threaded=True, request_handler=Quiet)
"""


@dataclass
class ObjectStore:
    """A process.  `environment` is what a server needs to speak to it; `make` gives the address of a new bucket."""

    process: subprocess.Popen[bytes]
    url: str
    environment: dict[str, str]
    make: Callable[[str], str]
    buckets: list[str] = field(default_factory=list)

    def bucket(self) -> str:
        """The address of one that nobody has used."""
        self.buckets.append(self.make(f"bucket{len(self.buckets)}"))
        return self.buckets[-1]

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


def start_s3() -> ObjectStore:
    port = _free_port()
    process = _start([sys.executable, "-c", _MOTO, str(port)])
    url = _until_it_answers(f"http://127.0.0.1:{port}", process)
    environment = {
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": "something",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT": url,
        "AWS_ALLOW_HTTP": "true",
    }

    def make(name: str) -> str:
        assert loopback.put(f"{url}/{name}").status_code == 200
        return f"s3://{name}/team"

    return ObjectStore(process, url, environment, make)


def start_azure(folder: Path) -> ObjectStore:
    """Raises AssertionError where azurite is not installed: only who asks for it, by a campaign, needs it."""
    command = os.environ.get("AZURITE") or shutil.which(COMMAND)
    assert command, "azurite is not there: npm install azurite, and AZURITE=node_modules/.bin/azurite-blob"
    account, key = "somebody", base64.b64encode(b"something" * 4).decode("ascii")
    port = _free_port()
    process = _start(
        [command, "--silent", "--skipApiVersionCheck", "--location", str(folder), "--blobPort", str(port)],
        AZURITE_ACCOUNTS=f"{account}:{key}",
    )
    url = _until_it_answers(f"http://127.0.0.1:{port}", process)
    environment = {
        "AZURE_STORAGE_ACCOUNT_NAME": account,
        "AZURE_STORAGE_ACCOUNT_KEY": key,
        "AZURE_STORAGE_ENDPOINT": f"{url}/{account}",
        "AZURE_ALLOW_HTTP": "true",
    }

    def make(name: str) -> str:
        headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
        # https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key
        lines = ["PUT", *[""] * 11, *(f"{each}:{headers[each]}" for each in sorted(headers))]
        text = "\n".join([*lines, f"/{account}/{account}/{name}", "restype:container"])
        signature = hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()
        headers["Authorization"] = f"SharedKey {account}:{base64.b64encode(signature).decode('ascii')}"
        made = loopback.put(f"{url}/{account}/{name}?restype=container", headers=headers)
        assert made.status_code == 201, made.text
        return f"az://{name}/team"

    return ObjectStore(process, url, environment, make)


def objects_of(target: str, environment: dict[str, str], folder: str = "") -> dict[str, bytes]:
    """All that is stored below a folder of a directory or a bucket, by path; read without the server's code."""
    if "://" not in target:
        paths = sorted(path for path in Path(target, folder).rglob("*") if path.is_file())
        return {path.relative_to(target).as_posix(): path.read_bytes() for path in paths}
    import obstore.store

    options = {name.lower(): value for name, value in environment.items() if not name.endswith("ALLOW_HTTP")}
    there = obstore.store.from_url(target, client_options={"allow_http": True}, **options)
    names = sorted(meta["path"] for page in obstore.list(there, folder or None) for meta in page)
    return {name: bytes(obstore.get(there, name).bytes()) for name in names}


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _start(command: list[str], **environment: str) -> subprocess.Popen[bytes]:
    nothing = subprocess.DEVNULL
    return subprocess.Popen(command, stdout=nothing, stderr=nothing, env={**os.environ, **environment})


def _until_it_answers(url: str, process: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            loopback.get(url)
            return url
        except httpx.HTTPError:
            assert time.monotonic() < deadline
            assert process.poll() is None, "it has ended"
            time.sleep(0.05)
