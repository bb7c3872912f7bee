"""`python -m tests.promises.seeded`: every seeded bug, and the test that catches it (F19).

--only TEXT  those whose name holds the text; repeatable
--write      puts what was run into the table of spec/seeded-bugs.md

The canaries come first: the source as it is, and changes that are no bugs, which nobody may notice.  Exit code 1 where
a bug was not noticed, and at once where a canary was: then the rest would say nothing.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from pathlib import Path

from ..journal.test_seeded_bugs import BUGS as OF_THE_JOURNAL
from ..remote.test_seeded_bugs import BUGS as OF_SHIPPING
from .seeding import ROOT, Bug

PAGE = ROOT / "spec/seeded-bugs.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
HEADER = ["| what was seeded | in | caught by |", "|---|---|---|"]
ALL_TESTS = list(dict.fromkeys(test for bug in (*OF_THE_JOURNAL.values(), *OF_SHIPPING.values()) for test in bug.tests))
CANARIES = {
    "canary: nothing": Bug("journal/recovery.py", "from __future__", "from __future__", ALL_TESTS),
    "canary: a name that nobody uses": Bug(
        "remote/shipment.py",
        "from __future__ import annotations\n",
        "from __future__ import annotations\n\nX = 1\n",
        ALL_TESTS,
    ),
}
NOBODY = "nobody"


def written() -> dict[str, str]:
    """The rows of the page, by their first cell."""
    text = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    return {
        row.split(" | ")[0].removeprefix("| "): row for row in re.findall(r"^\| (?!what ).*\|$", text, re.MULTILINE)
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.promises.seeded", description="Which test catches what.")
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    bugs = {**CANARIES, **OF_THE_JOURNAL, **OF_SHIPPING}
    rows, wrong = written(), 0
    for name, bug in bugs.items():
        if chosen.only and not any(text in name for text in chosen.only):
            continue
        with tempfile.TemporaryDirectory(prefix="ml-dash-seeded-") as folder:
            caught = bug.caught_by(Path(folder))
        wrong += caught is None and name not in CANARIES
        rows[name] = f"| {name} | `{bug.file}` | {f'`{caught}`' if caught else NOBODY} |"
        print(rows[name], flush=True)
        if caught is not None and name in CANARIES:
            sys.exit(f"{name} is no bug, and {caught} fails: mend that first")
        if chosen.write:
            before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
            table = "\n".join([*HEADER, *(rows[name] for name in bugs if name in rows)])
            PAGE.write_text(f"{before}{BEGIN}\n{table}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
