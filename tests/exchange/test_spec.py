"""spec/exchange.md against the code."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from ml_dash.exchange import exporting, importing, to_tables
from ml_dash.exchange.to_tensorboard import IMAGE_BYTES_MAX
from ml_dash.state.attempts import STEP_FIELDS

ROOT = Path(__file__).parent.parent.parent
TEXT = " ".join((ROOT / "spec/exchange.md").read_text(encoding="utf-8").split())
TABLE = {
    match[1]: match.groups()
    for match in re.finditer(
        r"^\| `([a-z-]+)` \| (.+?) \| (.+?) \| (.+?) \|$", (ROOT / "spec/exchange.md").read_text("utf-8"), re.MULTILINE
    )
}


def words_given_to(method: str) -> set[str]:
    """Every literal first argument of that method in the code, what a text inserts left out."""
    found = set()
    for path in (ROOT / "ml_dash/exchange").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == method:
                for constant in ast.walk(node.args[0]):
                    if isinstance(constant, ast.Constant) and isinstance(constant.value, str):
                        found.add(constant.value.strip())
    return found - {"", "text", "None", "histo", "histograms", "graph_def", "meta_graph_def"}


def test_every_kind_that_may_be_left_out_is_on_the_page() -> None:
    kinds = words_given_to("leave_out")
    assert len(kinds) > 20
    fragments = {"line", "torn", "unreadable", "file", "record", "unknown", "value of type"}
    assert {kind for kind in kinds - fragments if f"`{kind}`" not in TEXT} == set()
    for fragment in fragments:
        assert fragment in TEXT


def test_the_table_of_formats_is_what_can_be_exported_and_imported() -> None:
    assert tuple(name for name, row in TABLE.items() if row[1] != "no") == exporting.FORMATS
    assert {name for name, row in TABLE.items() if row[2] != "no"} == set(importing.FORMATS)
    assert "in the order " + ", ".join(f"`{name}`" for name in importing.FORMATS) in TEXT


def test_the_extras_that_it_names_exist() -> None:
    # Not by `tomllib`, which Python 3.10 does not have.
    extras = re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    named = set(re.findall(r"`ml_dash\[(\w+)\]`", TEXT))
    assert named == {"analysis", "tensorboard", "wandb"} <= set(extras)


def test_names_and_limits_are_those_of_the_code() -> None:
    assert " ".join(f"`{name}`" for name in STEP_FIELDS) in TEXT
    assert f"`metrics/{to_tables.UNNAMED}`" in TEXT
    assert " ".join(f"`{name}`" for name in to_tables.LOG_NAMES) in TEXT
    assert f"up to {IMAGE_BYTES_MAX >> 20} MiB" in TEXT
