"""spec/security.md: every test that it names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "spec/security.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[a-z_/0-9]+\.py)::(test_\w+)`", TEXT)))
ROWS = [line for line in TEXT.splitlines() if line.startswith("| ") and not line.startswith("| who | ")]


@pytest.mark.parametrize(("path", "function"), NAMED)
def test_the_test_that_a_row_names_is_there(path: str, function: str) -> None:
    assert f"\ndef {function}(" in (ROOT / path).read_text(encoding="utf-8")


def test_every_row_names_a_test() -> None:
    assert len(ROWS) > 20
    for row in ROWS:
        assert re.search(r"\| `tests/[^`]+::test_\w+` \|$", row), row
