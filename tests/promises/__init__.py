"""The promises, counted: `python -m tests.promises` runs their tests and writes what was tried into spec/promises.md.

A test that tries many cases says how many of which kind with pytest's `record_property`; Hypothesis says so by itself.
Both stand in the report that pytest writes (JUnit XML), and are summed from there: no number is written by hand.
"""

from __future__ import annotations

from collections.abc import Callable

RecordProperty = Callable[[str, object], None]
