"""spec/shipping.md and spec/openapi.yaml, held against the server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ml_dash.remote import protocol
from ml_dash.server import append
from ml_dash.server.app import ROUTES
from ml_dash.server.settings import Settings

SPEC = Path(__file__).resolve().parent.parent / "spec"
OPENAPI: dict[str, Any] = yaml.safe_load((SPEC / "openapi.yaml").read_text(encoding="utf-8"))
SHIPPING = (SPEC / "shipping.md").read_text(encoding="utf-8")
VERBS = ("get", "head", "put", "post", "delete", "patch")
OPERATIONS = {
    (path, verb.upper()): {**operation, "parameters": [*item.get("parameters", []), *operation.get("parameters", [])]}
    for path, item in OPENAPI["paths"].items()
    for verb, operation in item.items()
    if verb in VERBS
}


def resolved(member: Any) -> Any:
    while isinstance(member, dict) and "$ref" in member:
        found: Any = OPENAPI
        for name in member["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        member = found
    return member


def references(member: Any) -> Iterator[str]:
    if isinstance(member, dict):
        if "$ref" in member:
            yield member["$ref"]
        for each in member.values():
            yield from references(each)
    elif isinstance(member, list):
        for each in member:
            yield from references(each)


def test_every_address_of_the_server_is_described_and_no_other() -> None:
    served = {(route.path, method) for route in ROUTES for method in route.methods or ()}
    # What answers GET answers HEAD as well; it is described where it is of use.
    described = set(OPERATIONS)
    assert described <= served
    assert {each for each in served - described if each[1] != "HEAD"} == set()


def test_every_reference_leads_somewhere() -> None:
    for reference in set(references(OPENAPI)):
        assert resolved({"$ref": reference}) is not None


def test_every_component_is_used() -> None:
    used = set(references(OPENAPI))
    for kind in ("parameters", "headers", "schemas", "responses"):
        for name in OPENAPI["components"][kind]:
            assert f"#/components/{kind}/{name}" in used, name


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=lambda each: each["operationId"])
def test_every_parameter_of_a_path_is_described(operation: dict[str, Any]) -> None:
    path = next(path for (path, _), each in OPERATIONS.items() if each is operation)
    described = {each["name"] for each in map(resolved, operation["parameters"]) if each["in"] == "path"}
    assert described == set(re.findall(r"{(\w+)}", path))


def test_every_problem_that_is_named_is_one() -> None:
    named = set(re.findall(r"`([a-z]+(?:-[a-z]+)+)`", str(OPENAPI["components"]["responses"])))
    assert named <= set(protocol.PROBLEMS), named - set(protocol.PROBLEMS)


def test_the_limits_are_those_of_the_code() -> None:
    schemas = OPENAPI["paths"]["/v1/blobs/{owner}/{sha256}/parts/{offset}"]["put"]["parameters"][2]["schema"]
    assert schemas["multipleOf"] == protocol.PART_BYTES
    assert schemas["maximum"] == protocol.BLOB_BYTES_MAX
    mib = 1024 * 1024
    settings = Settings()
    for text in (
        f"| a body, as it travels and expanded | {settings.body_bytes_max // mib} MiB | 413 |",
        f"| all of a body | {settings.body_timeout_s:g} s, and a second more for each 64 KiB | 408 |",
        f"| bodies worked on at a time | {settings.bodies_at_once}, one of them larger than "
        f"{settings.large_body_bytes // mib} MiB | others wait |",
        f"| event streams of one process | {settings.followers_max:,} | 503 |",
    ):
        assert text in SHIPPING


def test_what_verifies_is_said_in_the_same_words_where_it_is_enforced() -> None:
    rules = SHIPPING.partition("A batch **verifies** if and only if\n")[2].partition("\n## ")[0]
    assert append.__doc__ is not None
    enforced = append.__doc__.partition("if and only if\n")[2].partition("\nSo bytes")[0]

    def plain(text: str) -> str:
        return " ".join(
            re.sub(r"`spec/journal\.md`|`journal\.md`", "journal.md", text).replace("(rule 4)", "(4)").split()
        )

    assert plain(rules) == plain(enforced)


def test_the_members_of_a_head_are_those_of_the_code() -> None:
    head = protocol.Head("a", 1, 2, 3, "0" * 64, 4, 5)
    members = OPENAPI["components"]["schemas"]["Head"]
    assert list(head.as_dict()) == members["required"] == list(members["properties"])
    table = SHIPPING.partition("| member | what it is |")[2].partition("\n\n")[0]
    assert {name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])} == set(
        head.as_dict()
    )
    assert protocol.Head.from_dict(head.as_dict()) == head
