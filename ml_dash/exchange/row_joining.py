"""Scalars that were written one by one → rows, in order of time.

TensorBoard has one series a scalar, we have points of several fields: `train/loss` and `train/accuracy` of step 3 are
one point of the metric `train`.

 1. A scalar joins the open row of its metric if that has the same step, no value of that field, and began no more than
    `WINDOW_US` before it; else it begins the metric's next row.
 2. A row has the time of its first scalar.  Rows and events come out in the order of their times, as they went in.
 3. Where the clock went back, everything before comes out first.

Pure: no I/O.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

WINDOW_US = 1_000_000
ROWS_MAX = 4096


@dataclass(slots=True)
class Item:
    """A row of `name` with `fields`, or anything else as `other`."""

    time_us: int
    name: str | None = None
    step: int | None = None
    fields: dict[str, Any] | None = None
    other: Any = None


class RowJoiner:
    def __init__(self) -> None:
        self._items: deque[Item] = deque()
        self._open: dict[str | None, Item] = {}
        self._last_us = 0

    def scalar(self, time_us: int, name: str | None, step: int, key: str, value: Any) -> Iterator[Item]:
        """Takes one scalar, and gives what is complete by now."""
        yield from self._complete(time_us)
        row = self._open.get(name)
        if row is None or row.fields is None or row.step != step or key in row.fields:
            row = self._open[name] = Item(time_us, name, step, {"step": step})
            self._items.append(row)
        assert row.fields is not None
        row.fields[key] = value

    def other(self, time_us: int, other: Any) -> Iterator[Item]:
        """Anything that is no scalar, in its place."""
        yield from self._complete(time_us)
        self._items.append(Item(time_us, other=other))

    def finish(self) -> Iterator[Item]:
        """All that is left."""
        items, self._items = self._items, deque()
        self._open.clear()
        yield from items

    def _complete(self, time_us: int) -> Iterator[Item]:
        if time_us < self._last_us:
            yield from self.finish()
        self._last_us = time_us
        items = self._items
        while items and (items[0].time_us < time_us - WINDOW_US or len(items) >= ROWS_MAX):
            item = items.popleft()
            if self._open.get(item.name) is item:
                del self._open[item.name]
            yield item
