"""The layer table of spec/layers.md and its rules L1..L9, held against the source itself.

The checker reads one file's syntax tree; it never runs the file.  So that it cannot go blind unnoticed, every
rule has a seeded violation below that the checker must report.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "ml_dash"
SOURCES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))

PURE_LAYER = 2
CLAIMS_TO_BE_PURE = "Pure: no I/O."
LAST_LAYER_BELOW_USERS = 4

IMPURE_MODULES = set(
    "os io pathlib socket subprocess time random secrets shutil tempfile threading filelock httpx keyring".split()
)
IMPURE_CALLS = {"open", "print", "input"}
# module → the only files that may import it, anywhere in the package
OWNED_MODULES = {
    "filelock": ("L4", {"journal/lock.py"}),
    "httpx": ("L5", {"remote/transport.py"}),
    "keyring": ("L6", {"remote/credentials.py"}),
    "random": ("L8", {"ids.py"}),
    "secrets": ("L8", {"ids.py"}),
}
# the same, in layers 1 to 4
OWNED_MODULES_BELOW_USERS = {
    "time": ("L7", {"clock.py"}),
    "io": ("L3", {"journal/disk.py"}),
    "mmap": ("L3", {"journal/disk.py"}),
    "shutil": ("L3", {"journal/disk.py"}),
    "tempfile": ("L3", {"journal/disk.py"}),
    "fcntl": ("L3", {"journal/disk.py", "journal/lock.py"}),
}
RANDOM_FUNCTIONS = {"os.urandom", "os.getrandom", "uuid.uuid1", "uuid.uuid4"}
CLOCK_FUNCTIONS = {f"datetime.{name}" for name in ("datetime.now", "datetime.utcnow", "datetime.today", "date.today")}
# What of `os` is about processes, names and the environment; all else is taken for a function on files.
OS_WITHOUT_FILES = {
    f"os.{name}"
    for name in (
        "PathLike environ fsdecode fsencode fspath getenv getpid getppid linesep name register_at_fork sep "
        "strerror getrandom urandom path.basename path.commonpath path.dirname path.isabs path.join "
        "path.normpath path.relpath path.sep path.split path.splitext"
    ).split()
}
DYNAMIC_IMPORTS = {"importlib.import_module", "importlib.util.find_spec", "__import__"}
PATH_METHODS = set(
    "exists glob is_dir is_file iterdir lstat mkdir read_bytes read_text rglob rmdir samefile stat "
    "symlink_to touch unlink write_bytes write_text".split()
)


@dataclass(frozen=True)
class LayerTable:
    """Entries as they stand in spec/layers.md: exact files, and folders with a trailing slash."""

    entries: dict[str, list[int]]

    @classmethod
    def read(cls, markdown: str) -> LayerTable:
        entries: dict[str, list[int]] = {}
        for layer, files in re.findall(r"^\| (\d+) \|[^|]*\|([^|]*)\|$", markdown, re.MULTILINE):
            for entry in re.findall(r"`([^`]+)`", files):
                entries.setdefault(entry, []).append(int(layer))
        return cls(entries)

    def layers_of(self, file: str) -> list[int]:
        """One layer for a file in good order; none or several is an error in the table."""
        return [
            layer
            for entry, layers in self.entries.items()
            if file == entry or (entry.endswith("/") and file.startswith(entry))
            for layer in layers
        ]

    def likely_layer(self, file: str) -> str:
        """For the message: the layer of the neighbours in the same folder."""
        folder = file.rpartition("/")[0]
        layers = {n for entry, ns in self.entries.items() if entry.rpartition("/")[0] == folder for n in ns}
        return f"layer {layers.pop()}, where its folder is" if folder and len(layers) == 1 else "its layer"


TABLE = LayerTable.read((ROOT / "spec/layers.md").read_text(encoding="utf-8"))


def imports(tree: ast.AST, file: str) -> Iterator[tuple[int, str, str | None]]:
    """(line, absolute module, imported name or None) of every import, `import_module("…")` included."""
    names = bindings(tree)
    package = ["ml_dash", *file.split("/")[:-1]]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((node.lineno, module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Call) and dotted(node.func, names) in DYNAMIC_IMPORTS:
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                module = first.value
                yield node.lineno, f"{'.'.join(package)}{module}" if module.startswith(".") else module, None


def bindings(tree: ast.AST) -> dict[str, str]:
    """What the imported names of other packages stand for: `dt` → `datetime`, `now` → `time.time`."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def dotted(node: ast.AST, names: dict[str, str]) -> str:
    """`a.b.c` for that expression, imported names spelled out; `….c` where it starts with no name."""
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value, names) or '…'}.{node.attr}"
    return ""


def file_of(module: str, name: str | None, files: set[str]) -> str:
    """The file that an import of `module` (or of `name` from it) loads; packages by their `__init__.py`."""
    inside = module.split(".")[1:]
    candidates = [[*inside, name], inside] if name else [inside]
    for parts in candidates:
        for file in ("/".join(parts) + ".py", "/".join([*parts, "__init__.py"])):
            if file in files:
                return file
    return "/".join(inside) + ".py"


def violations(file: str, source: str, table: LayerTable, files: set[str]) -> list[str]:
    """Every breach of L1..L8 in one file, as `L3 journal/reader.py:12 what is wrong`."""
    (layer,) = table.layers_of(file)
    tree = ast.parse(source)
    pure = layer == PURE_LAYER or CLAIMS_TO_BE_PURE in (ast.get_docstring(tree) or "")
    names = bindings(tree)
    found: list[tuple[str, int, str]] = []

    for line, module, name in imports(tree, file):
        top = module.partition(".")[0]
        if top == "ml_dash":
            target = file_of(module, name, files)
            # A file that stands in no row yet is reported once, by the test of the rows.
            found += [
                ("L1", line, f"imports {target} of layer {above} from layer {layer}")
                for above in table.layers_of(target)
                if above > layer
            ]
        if pure and top in IMPURE_MODULES:
            found.append(("L2", line, f"imports {top} in a pure file"))
        owned = OWNED_MODULES | (OWNED_MODULES_BELOW_USERS if layer <= LAST_LAYER_BELOW_USERS else {})
        rule, owners = owned.get(top, ("", {file}))
        if file not in owners:
            found.append((rule, line, f"imports {top}, which only {' and '.join(sorted(owners))} may"))
        if module in {"os", "uuid", "os.path"} and name:
            found += attribute_breaches(f"{module}.{name}", file, layer, line)

    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            found += attribute_breaches(dotted(node, names), file, layer, node.lineno)
        if isinstance(node, ast.Call):
            called = dotted(node.func, names)
            found += call_breaches(called, file, layer, node.lineno)
            if pure and called in IMPURE_CALLS:
                found.append(("L2", node.lineno, f"calls {called}() in a pure file"))
    return [f"{rule} {file}:{line} {what}" for rule, line, what in sorted(set(found), key=lambda breach: breach[1])]


def attribute_breaches(expression: str, file: str, layer: int, line: int) -> Iterator[tuple[str, int, str]]:
    if expression in RANDOM_FUNCTIONS and file != "ids.py":
        yield "L8", line, f"uses {expression}, which only ids.py may"
    if layer > LAST_LAYER_BELOW_USERS:
        return
    if expression in CLOCK_FUNCTIONS and file != "clock.py":
        yield "L7", line, f"uses {expression}, which only clock.py may"
    on_files = expression.startswith("os.") and expression != "os.path" and not known_without_files(expression)
    if on_files and file != "journal/disk.py":
        yield "L3", line, f"uses {expression}, which only journal/disk.py may"


def known_without_files(expression: str) -> bool:
    """`os.environ.get` stands under `os.environ`, which touches no file."""
    return any(expression == name or expression.startswith(f"{name}.") for name in OS_WITHOUT_FILES)


def call_breaches(expression: str, file: str, layer: int, line: int) -> Iterator[tuple[str, int, str]]:
    if layer > LAST_LAYER_BELOW_USERS or file == "journal/disk.py":
        return
    if expression == "open":
        yield "L3", line, "calls open(), which only journal/disk.py may"
    receiver, _, method = expression.rpartition(".")
    # What disk.py offers may bear the names that pathlib has: `disk.unlink`, `self._disk.exists`.
    through_disk = receiver.rpartition(".")[2].strip("_") == "disk"
    if receiver and method in PATH_METHODS and not through_disk:
        yield "L3", line, f"calls {expression}(): paths are touched through journal/disk.py only"


# --- the source ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", SOURCES)
def test_every_file_stands_in_exactly_one_row_of_the_table(file: str) -> None:
    layers = TABLE.layers_of(file)
    assert layers, f"`{file}` stands in no row of spec/layers.md: add `{file}` to {TABLE.likely_layer(file)}"
    assert len(layers) == 1, f"`{file}` stands in the rows {layers} of spec/layers.md: leave it in one of them"


@pytest.mark.parametrize("entry", TABLE.entries)
def test_every_entry_of_the_table_names_something_that_exists(entry: str) -> None:
    exists = any(file == entry or (entry.endswith("/") and file.startswith(entry)) for file in SOURCES)
    assert exists, f"row {TABLE.entries[entry][0]} of spec/layers.md names `{entry}`, which is not there: remove it"


@pytest.mark.parametrize("file", [file for file in SOURCES if len(TABLE.layers_of(file)) == 1])
def test_every_file_keeps_the_rules_of_its_layer(file: str) -> None:
    found = violations(file, (PACKAGE / file).read_text(encoding="utf-8"), TABLE, set(SOURCES))
    assert not found, "\n".join(found)


def test_importing_the_package_loads_nothing_heavy() -> None:
    script = "import sys, ml_dash; assert ml_dash.__file__, 'no __init__.py'; print(*sys.modules)"
    command = [sys.executable, "-c", script]
    loaded = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=60).stdout
    assert not {"httpx", "keyring", "filelock", "rich", "click", "numpy"} & set(loaded.split())


# --- the checker --------------------------------------------------------------------------------------------

SEEDED_TABLE = LayerTable.read(
    "| 1 | ground | `errors.py` `ids.py` `clock.py` |\n"
    "| 2 | facts | `events.py` |\n"
    "| 3 | journal | `journal/__init__.py` `journal/format.py` `journal/disk.py` `journal/lock.py` "
    "`journal/reader.py` |\n"
    "| 4 | remote | `remote/transport.py` `remote/credentials.py` |\n"
    "| 5 | users | `experiment.py` |\n"
    "| 6 | top | `__init__.py` `cli/` |\n"
)
SEEDED_FILES = {entry for entry in SEEDED_TABLE.entries if entry.endswith(".py")} | {"cli/show.py"}

SEEDED_VIOLATIONS = [
    ("L1", "events.py", "from .journal import reader"),
    ("L1", "events.py", "from .journal.reader import read"),
    ("L1", "events.py", "import ml_dash.journal.reader"),
    ("L1", "events.py", "from ml_dash import experiment"),
    ("L1", "journal/reader.py", "def late():\n    from ..experiment import Experiment"),
    ("L1", "journal/reader.py", "if TYPE_CHECKING:\n    from ..experiment import Experiment"),
    ("L1", "journal/reader.py", "from .. import __version__"),
    ("L1", "experiment.py", "from .cli.show import show"),
    ("L1", "errors.py", "from importlib import import_module\nimport_module('ml_dash.events')"),
    *(("L2", "events.py", f"import {module}") for module in sorted(IMPURE_MODULES)),
    ("L2", "events.py", "from os import PathLike"),
    ("L2", "journal/format.py", '"""Bytes. Pure: no I/O."""\nimport os'),
    ("L2", "events.py", "from os.path import join"),
    ("L2", "events.py", "def late():\n    import threading"),
    *(("L2", "events.py", f"{function}('x')") for function in sorted(IMPURE_CALLS)),
    ("L3", "journal/reader.py", "import os\nos.replace('a', 'b')"),
    ("L3", "journal/reader.py", "import os\nos.path.exists('a')"),
    ("L3", "journal/reader.py", "from os import fsync"),
    ("L3", "journal/reader.py", "from os.path import getsize"),
    ("L3", "journal/reader.py", "write = os.write"),
    ("L3", "journal/reader.py", "import os as system\nsystem.unlink('a')"),
    ("L3", "journal/reader.py", "from os import path\npath.getmtime('a')"),
    ("L3", "clock.py", "open('x')"),
    ("L3", "remote/transport.py", "Path('x').read_bytes()"),
    ("L3", "remote/transport.py", "self.path.unlink()"),
    *(("L3", "journal/reader.py", f"import {module}") for module in ["io", "mmap", "shutil", "tempfile", "fcntl"]),
    ("L4", "journal/reader.py", "from filelock import FileLock"),
    ("L5", "cli/show.py", "import httpx"),
    ("L5", "experiment.py", "def late():\n    importlib.import_module('httpx')"),
    ("L6", "remote/transport.py", "import keyring.backends"),
    ("L7", "journal/reader.py", "import time"),
    ("L7", "journal/reader.py", "from datetime import datetime\ndatetime.now()"),
    ("L7", "events.py", "import datetime\ndatetime.datetime.utcnow()"),
    ("L7", "events.py", "from datetime import date\ndate.today()"),
    ("L7", "events.py", "import datetime as dt\ndt.datetime.now()"),
    ("L8", "experiment.py", "import random"),
    ("L8", "cli/show.py", "from secrets import token_hex"),
    ("L8", "journal/disk.py", "os.urandom(4)"),
    ("L8", "experiment.py", "from os import urandom"),
    ("L8", "experiment.py", "import uuid\nuuid.uuid4()"),
    ("L8", "experiment.py", "from uuid import uuid4"),
]

ALLOWED = [
    (
        "journal/reader.py",
        "from . import disk\nfrom .disk import read\nfrom ..events import Event\nfrom .. import ids",
    ),
    ("journal/reader.py", "import os\nos.getpid()\nos.environ.get('X')\nos.path.join('a', 'b')"),
    ("journal/reader.py", "from . import disk\ndisk.unlink('x')\nself._disk.exists('x')"),
    ("journal/disk.py", "import os, mmap, tempfile, fcntl\nos.fsync(3)\nopen('x')\nPath('x').unlink()"),
    ("journal/lock.py", "import fcntl\nfrom filelock import FileLock"),
    ("remote/transport.py", "import httpx\nfrom ..journal.reader import read"),
    ("remote/credentials.py", "import keyring"),
    ("clock.py", "import time\nfrom datetime import datetime\ndatetime.now()"),
    ("events.py", "from datetime import datetime\ndatetime.fromisoformat('x')\n'a'.replace('a', 'b')"),
    ("ids.py", "import os, secrets\nos.urandom(5)"),
    (
        "experiment.py",
        "import os, time\nfrom pathlib import Path\nPath('x').exists()\nopen('x')\nos.replace('a', 'b')",
    ),
    ("cli/show.py", "from ..experiment import Experiment\nfrom ml_dash import __version__"),
]


@pytest.mark.parametrize(("rule", "file", "source"), SEEDED_VIOLATIONS)
def test_the_checker_reports_a_seeded_violation(rule: str, file: str, source: str) -> None:
    found = violations(file, source, SEEDED_TABLE, SEEDED_FILES)
    assert any(breach.startswith(f"{rule} {file}:") for breach in found), found


@pytest.mark.parametrize(("file", "source"), ALLOWED)
def test_the_checker_reports_nothing_that_is_allowed(file: str, source: str) -> None:
    assert violations(file, source, SEEDED_TABLE, SEEDED_FILES) == []


def test_every_rule_has_a_seeded_violation() -> None:
    rules = set(re.findall(r"^\| (L\d+) \|", (ROOT / "spec/layers.md").read_text(encoding="utf-8"), re.MULTILINE))
    assert rules - {rule for rule, _, _ in SEEDED_VIOLATIONS} == {"L9"}, "L9 is tested by importing the package"


def test_a_file_in_two_rows_is_noticed() -> None:
    table = LayerTable.read("| 1 | a | `cli/` |\n| 2 | b | `cli/show.py` |\n")
    assert table.layers_of("cli/show.py") == [1, 2]
