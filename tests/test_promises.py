"""spec/promises.md names, for each promise, tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "spec/promises.md").read_text(encoding="utf-8")
SECTIONS = {
    section[:2]: re.findall(r"^- `([^`]+)`", section, re.MULTILINE)
    for section in re.split(r"^## (?=P\d)", PAGE, flags=re.M)[1:]
}
PROMISES = re.findall(r"^\| (P\d) \|", PAGE, re.MULTILINE)
NOT_KEPT_YET: set[str] = set()


def test_every_promise_of_the_table_has_its_section_in_that_order() -> None:
    assert list(SECTIONS) == PROMISES == [f"P{number}" for number in range(1, 9)]


@pytest.mark.parametrize("promise", PROMISES)
def test_a_promise_has_tests_or_says_that_it_is_not_kept_yet(promise: str) -> None:
    section = re.split(rf"^## {promise}", PAGE, flags=re.MULTILINE)[1].split("\n## ")[0]
    assert bool(SECTIONS[promise]) != (promise in NOT_KEPT_YET)
    assert ("Not there yet" in section) == (promise in NOT_KEPT_YET)


@pytest.mark.parametrize("name", sorted({name for names in SECTIONS.values() for name in names}))
def test_a_test_that_is_named_exists(name: str) -> None:
    file, _, function = name.partition("::")
    tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
    defined = {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    assigned = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    assert function in defined | assigned, f"tests/{file} has no {function}: name the test that took its place"


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\btests(?:/[\w.]+)+", PAGE))))
def test_a_path_in_a_command_exists(path: str) -> None:
    assert (ROOT / path).exists()
