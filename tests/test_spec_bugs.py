"""spec/bugs.md: every test that a row names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROWS = re.findall(r"^\| .* \| `(tests/[^`]+)` \|$", (ROOT / "spec/bugs.md").read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("named", ROWS)
def test_the_test_that_would_find_a_bug_again_is_there(named: str) -> None:
    path, _, function = named.partition("::")
    source = (ROOT / path).read_text(encoding="utf-8")
    assert not function or f"\ndef {function}(" in source


def test_there_are_rows() -> None:
    text = (ROOT / "spec/bugs.md").read_text(encoding="utf-8")
    assert len(ROWS) == sum(line.startswith("| ") for line in text.splitlines()) - 1
