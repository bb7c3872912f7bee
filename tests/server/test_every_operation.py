"""Every operation of `spec/openapi.yaml`, asked by whoever may not: a new one cannot be forgotten.

The parameters are filled in by what they mean, of alice, who has a journal and content stored.  An operation
whose parameters are not known here fails the test, and so does one that answers what it should not.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from ml_dash.server.app import ROUTES
from ml_dash.server.store import Store
from ml_dash.server.tokens import Tokens

from .. import loopback
from .histories import JOURNAL, PREFIX, History
from .serving import Served, add_user, create_token, run_command, serve
from .shipping import Client
from .test_accounts_security import bearer, contents

PAGE = yaml.safe_load((Path(__file__).parents[2] / "spec/openapi.yaml").read_text(encoding="utf-8"))
METHODS = ("get", "head", "post", "put", "delete", "patch", "options", "trace")
CONTENT = b"a secret of alice's"
VALUES = {
    "prefix": PREFIX,
    "journal": JOURNAL,
    "segment": "1",
    "offset": "0",
    "owner": "alice",
    "sha256": sha256(CONTENT).hexdigest(),
    "bytes": str(len(CONTENT)),
}
CLIENT = loopback.Client(timeout=60)
NOBODY_S = {"welcome", "health", "deviceCode", "deviceToken", "revoke", "devicePage", "deviceAnswer"}
"""They need no token: they are how one is got or ended, and say nothing of anybody."""
ON_LOOPBACK = {"metrics"}
EVERYBODY_S_OWN = {"user", "experiments"}
"""Of whoever asks, and of nobody else."""


@dataclass(frozen=True)
class Operation:
    id: str
    method: str
    path: str
    parameters: tuple[dict[str, Any], ...]
    media_type: str | None

    @property
    def changes(self) -> bool:
        return self.method not in ("get", "head")

    def ask(self, url: str, headers: dict[str, str], values: dict[str, str] = VALUES) -> httpx.Response:
        path, query = self.path, {}
        sent = {} if self.media_type is None else {"Content-Type": self.media_type}
        for each in self.parameters:
            name = each["name"]
            if each["in"] == "path":
                path = path.replace(f"{{{name}}}", values[name])
            elif each["in"] == "query" and each.get("required"):
                query[name] = values[name]
        if self.id == "append":
            sent["If-None-Match"] = "*"
        body = {"application/json": b'{"redactions":[]}', None: None}.get(self.media_type, CONTENT)
        return CLIENT.request(
            self.method,
            url + path,
            params=query,
            headers={**sent, **headers},
            content=body,
        )


def _operations() -> Iterator[Operation]:
    known = PAGE["components"]["parameters"]
    for path, item in PAGE["paths"].items():
        for method in METHODS:
            if method in item:
                given = [*item.get("parameters", ()), *item[method].get("parameters", ())]
                found = tuple(known[each["$ref"].rsplit("/", 1)[-1]] if "$ref" in each else each for each in given)
                body = item[method].get("requestBody", {"content": {None: None}})["content"]
                yield Operation(item[method]["operationId"], method, path, found, next(iter(body)))


OPERATIONS = list(_operations())
GUARDED = [each for each in OPERATIONS if each.id not in NOBODY_S | ON_LOOPBACK]
ALICE_S = [each for each in GUARDED if each.id not in EVERYBODY_S_OWN]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    store = tmp_path_factory.mktemp("every") / "store"
    for owner in ("alice", "bob"):
        add_user(store, owner)
    with serve(store) as served:
        with Client(History.of(3), [served.url]) as client:
            client._http.headers.update(bearer(create_token(store, "alice")))
            client.ship()
            path = f"{served.url}/v1/blobs/alice/{VALUES['sha256']}"
            kind = {"Content-Type": "application/octet-stream"}
            client._http.put(path, content=CONTENT, headers=kind).raise_for_status()
        yield served
    CLIENT.close()


@pytest.fixture(scope="module")
def tokens(server: Served) -> dict[str, str]:
    async def expired() -> str:
        return (await Tokens(Store.open(server.store)).create("alice", expires_us=1))[0]

    made = {
        "bob's": create_token(server.store, "bob"),
        "read-only": create_token(server.store, "alice", "--read-only"),
        "forged": "mld_" + "A" * 43,
        "expired": asyncio.run(expired()),
        "revoked": create_token(server.store, "alice", "--name", "ended"),
    }
    listed = [row.split("\t") for row in run_command("server", "token", "list", "--store", server.store).splitlines()]
    run_command("server", "token", "revoke", *(row[0] for row in listed if row[2] == "ended"), "--store", server.store)
    return made


@pytest.fixture
def nothing_changes(server: Served) -> Iterator[None]:
    before = contents(Path(server.store))
    yield
    assert contents(Path(server.store)) == before


def test_the_page_has_every_address_that_the_server_has() -> None:
    on_page = {(each.path, each.method.upper()) for each in OPERATIONS}
    served = {
        (re.sub(r"\{(\w+)(:\w+)?\}", r"{\1}", route.path), method)
        for route in ROUTES
        for method in route.methods or ()
        if method != "HEAD"
    }
    assert served == {each for each in on_page if each[1] != "HEAD"}


@pytest.mark.usefixtures("nothing_changes")
@pytest.mark.parametrize("what", ["none", "forged", "expired", "revoked"])
def test_without_a_good_token_no_operation_says_or_changes_anything(
    server: Served, tokens: dict[str, str], what: str
) -> None:
    headers = {} if what == "none" else bearer(tokens[what])
    for each in GUARDED:
        answer = each.ask(server.url, headers)
        assert answer.status_code == 401, f"{each.id}: {answer.status_code} {answer.text}"
        assert CONTENT not in answer.content


@pytest.mark.usefixtures("nothing_changes")
def test_another_owner_is_refused_alike_whether_there_is_something_or_not(
    server: Served, tokens: dict[str, str]
) -> None:
    absent = {**VALUES, "prefix": "alice/ml/nothing", "journal": "none", "sha256": "f" * 64, "segment": "7"}
    for each in ALICE_S:
        there, not_there = (each.ask(server.url, bearer(tokens["bob's"]), values) for values in (VALUES, absent))
        assert there.status_code == 403, f"{each.id}: {there.status_code} {there.text}"
        # Nobody learns what another owner has.
        assert (there.status_code, there.content) == (not_there.status_code, not_there.content)
    mine = CLIENT.get(f"{server.url}/v1/experiments", headers=bearer(tokens["bob's"]))
    assert mine.json() == {"experiments": [], "next": None}


@pytest.mark.usefixtures("nothing_changes")
def test_a_token_that_reads_only_changes_nothing_by_any_operation(server: Served, tokens: dict[str, str]) -> None:
    for each in ALICE_S:
        if each.changes:
            answer = each.ask(server.url, bearer(tokens["read-only"]))
            assert answer.status_code == 403, f"{each.id}: {answer.status_code} {answer.text}"


@pytest.mark.usefixtures("nothing_changes")
@pytest.mark.parametrize("owner", ["Alice", "ALICE", "alice ", "aliсe", "ａlice", "alice\u200b", "_journal", "tokens"])
def test_no_spelling_of_an_owner_is_another_one(server: Served, tokens: dict[str, str], owner: str) -> None:
    values = {**VALUES, "prefix": f"{owner}/ml/a", "owner": owner}
    for each in ALICE_S:
        for token in ("bob's", "read-only"):
            answer = each.ask(server.url, bearer(tokens[token]), values)
            assert answer.status_code in (400, 403, 404), f"{each.id}: {answer.status_code} {answer.text}"
            assert CONTENT not in answer.content


def test_what_an_owner_s_bytes_are_is_learnt_by_nobody_else(server: Served, tokens: dict[str, str]) -> None:
    checksum, kind = VALUES["sha256"], {"Content-Type": "application/octet-stream"}
    bobs = f"{server.url}/v1/blobs/bob/{checksum}"
    for request in (("HEAD", bobs), ("GET", bobs)):
        assert CLIENT.request(*request, headers=bearer(tokens["bob's"])).status_code == 404
    # Knowing the hash is not having the bytes.
    claimed = CLIENT.put(bobs, content=b"guess", headers={**kind, **bearer(tokens["bob's"])})
    assert claimed.status_code == 422
    joined = CLIENT.post(f"{bobs}/complete?bytes={len(CONTENT)}", headers=bearer(tokens["bob's"]))
    assert joined.status_code == 409
    assert CLIENT.get(bobs, headers=bearer(tokens["bob's"])).status_code == 404
