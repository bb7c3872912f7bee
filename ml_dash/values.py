"""Any Python value ↔ plain JSON and tags: the value policy.  Normative table: `spec/values.md`.

`to_plain` gives what JSON can say and a list of tags for what it cannot.  A tag is `[path, kind, …]`; the path leads
from the root of the plain value to the place by keys and indices.  Tags stand outside the value, so a user's dict
may have any keys.

 1. `to_plain` never raises an Exception, whatever the value is, and keeps no reference to it: nothing that another
    thread changes afterwards changes what is written.
 2. What comes back is what went in, or its documented plain form.  What has no documented form becomes its repr,
    tagged, so that no change is silent.
 3. A plain value is at most PLAIN_DEPTH_MAX levels deep, because orjson writes 254 and other readers fewer.  What lies
    deeper stands as a flat list of containers, `deep`.
 4. A place has at most one tag.  Tags are undone from the longest path to the shortest.
 5. A kind that is not known leaves the plain form as it stands: a later release's kinds must be readable so.

Pure: no I/O.
"""

from __future__ import annotations

import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from math import isfinite
from typing import Any

from .value_forms import describe, simpler, type_name

Tag = list[Any]
"""`[path, kind, *extra]`, `path` a list of keys and indices from the root of the value to the place."""

INTEGER_MIN, INTEGER_MAX = -(1 << 63), (1 << 64) - 1
"""What orjson writes and reads as an integer."""
DECIMAL_BITS_MAX = 2048
"""Longer integers stand in hexadecimal: Python may refuse to write or read more than 640 decimal digits."""
PLAIN_DEPTH_MAX = 64
KEY_DEPTH_MAX = 8
ITEMS_MAX = 1 << 24
"""Values with more items in all, counted as often as they are referred to, become their repr."""
OPENED_DEPTH_MAX = 64
"""Objects inside objects, each opened by its own code: some make up a new one whenever they are asked."""
STEPS_MAX = 8

Leaf = tuple[Any, ...]
"""The plain form, then the kind of its tag and what that needs, if it has one."""


def to_plain(value: Any) -> tuple[Any, list[Tag]]:
    """What JSON can say of `value`, made of new containers, and the tags that say the rest."""
    try:
        return _Walk().run(value)
    except Exception:  # out of memory, no stack left, or more than ITEMS_MAX items
        try:
            return describe(value), [[[], "repr", type_name(value)]]
        except Exception:
            return "<a value that cannot be described>", [[[], "repr", "object"]]


def from_plain(plain: Any, tags: list[Tag]) -> Any:
    """The value again, or its documented plain form; `plain` stays as it is.  Raises ValueError if tags do not fit."""
    root = [plain]
    copies: dict[int, Any] = {}
    try:
        for path, kind, *extra in sorted(tags, key=_path_length, reverse=True):
            restore = _RESTORE.get(kind)
            if restore is None:
                continue
            holder: Any = root
            slot: Any = 0
            for step in path:
                child = holder[slot]
                if id(child) not in copies:
                    child = holder[slot] = child.copy()
                    copies[id(child)] = child
                holder, slot = child, step
            holder[slot] = restore(holder[slot], *extra)
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
        raise ValueError(f"tags do not fit their value: {error!r}") from error
    return root[0]


def _path_length(tag: Tag) -> int:
    return len(tag[0])


# -- leaves ------------------------------------------------------------------------------------------------------


def _same(value: Any) -> Leaf:
    return (value,)


def _float_leaf(value: float) -> Leaf:
    if isfinite(value):
        return (value,)
    return None, "nan" if value != value else "inf" if value > 0 else "-inf"


def _int_leaf(value: int) -> Leaf:
    if INTEGER_MIN <= value <= INTEGER_MAX:
        return (value,)
    return str(value) if value.bit_length() <= DECIMAL_BITS_MAX else hex(value), "int"


def _str_leaf(value: str) -> Leaf:
    if value.isascii():
        return (value,)
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.replace("\\", "\\\\").encode("utf-8", "backslashreplace").decode(), "surrogates"
    return (value,)


def _datetime_leaf(value: datetime) -> Leaf:
    return (value.isoformat(), "datetime", 1) if value.fold else (value.isoformat(), "datetime")


def _time_leaf(value: time) -> Leaf:
    return (value.isoformat(), "time", 1) if value.fold else (value.isoformat(), "time")


_LEAVES: dict[type, Callable[[Any], Leaf]] = {
    bool: _same,
    type(None): _same,
    float: _float_leaf,
    int: _int_leaf,
    str: _str_leaf,
    bytes: lambda value: (b2a_base64(value, newline=False).decode("ascii"), "bytes"),
    complex: lambda value: ([repr(value.real), repr(value.imag)], "complex"),
    datetime: _datetime_leaf,
    date: lambda value: (value.isoformat(), "date"),
    time: _time_leaf,
    timedelta: lambda value: ([value.days, value.seconds, value.microseconds], "timedelta"),
}


def _odd(items: list[Any]) -> list[int]:
    """The indices of those items that JSON cannot say as they are."""
    kinds = set(map(type, items)) if len(items) > 16 else ()
    if kinds == {float} and all(map(isfinite, items)):
        return []
    if kinds == {int} and min(items) >= INTEGER_MIN and max(items) <= INTEGER_MAX:
        return []
    if kinds == {str} and all(map(str.isascii, items)):
        return []
    odd = []
    for index, item in enumerate(items):
        kind = type(item)
        if kind is float:
            if isfinite(item):
                continue
        elif kind is int:
            if INTEGER_MIN <= item <= INTEGER_MAX:
                continue
        elif kind is str:
            if item.isascii():
                continue
        elif kind is bool or item is None:
            continue
        odd.append(index)
    return odd


def _is_plain_key(key: Any) -> bool:
    return type(key) is str and (key.isascii() or len(_str_leaf(key)) == 1)


# -- the way there -----------------------------------------------------------------------------------------------


class _TooManyItems(Exception):
    pass


@dataclass(frozen=True, slots=True)
class _Deep:
    """The containers below the deepest level: `nodes` in the order met, `links[i]` where node i + 1 belongs."""

    path: list[Any]
    nodes: list[Any]
    links: list[list[int]]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a value goes: `holder[slot]`.  `position` counts the values of its container; `node` is that in `deep`."""

    holder: Any
    slot: Any
    path: list[Any]
    depth: int
    opened: int
    deep: _Deep | None = None
    node: int = 0
    position: int = 0


class _Walk:
    """One value's way to plain.  Without recursion: a value may be deeper than the stack that is left."""

    __slots__ = ("ancestors", "items_left", "stack", "tags")

    def __init__(self) -> None:
        self.tags: list[Tag] = []
        self.ancestors: set[int] = set()
        self.items_left = ITEMS_MAX
        # What stands behind a container on the stack is done before it is left: its own value and then nothing.
        self.stack: list[tuple[_Place | None, Any, Any]] = []

    def run(self, value: Any) -> tuple[Any, list[Tag]]:
        root = [None]
        self._put(_Place(root, 0, [], 0, 0), value)
        while self.stack:
            place, container, source = self.stack.pop()
            if place is None:
                self.ancestors.discard(id(source))
            else:
                self._open(place, container, source)
        return root[0], self.tags

    def _put(self, place: _Place, value: Any) -> None:
        """Puts a leaf in its place; a container waits on the stack."""
        container = self._leaf(place.holder, place.slot, place.path, value)
        if container is None:
            return
        if id(value) in self.ancestors:
            self._say(place.holder, place.slot, place.path, "<cycle>", value)
        elif container is not value and place.opened == OPENED_DEPTH_MAX:
            self._say(place.holder, place.slot, place.path, describe(value), value)
        else:
            self.stack.append((place, container, value))

    def _leaf(self, holder: Any, slot: Any, path: list[Any], value: Any) -> list[Any] | dict[Any, Any] | None:
        """Puts a leaf in its place, or gives back the container that the value amounts to."""
        nearer = value
        try:
            for _ in range(STEPS_MAX):
                kind = type(nearer)
                if kind is list or kind is dict:
                    container: list[Any] | dict[Any, Any] = nearer
                    return container
                leaf = _LEAVES.get(kind)
                if leaf is not None:
                    holder[slot], *tag = leaf(nearer)
                    if tag:
                        self.tags.append([path, *tag])
                    return None
                nearer = simpler(nearer)
        except Exception:  # its own code failed, or it has no documented form: rule 2
            pass
        self._say(holder, slot, path, describe(value), value)
        return None

    def _say(self, holder: Any, slot: Any, path: list[Any], text: str, value: Any) -> None:
        holder[slot] = text
        self.tags.append([path, "repr", type_name(value)])

    def _open(self, place: _Place, container: list[Any] | dict[Any, Any], source: Any) -> None:
        """Puts a copy of a container in its place, and its values in theirs."""
        self.ancestors.add(id(source))
        self.stack.append((None, None, source))
        opened = place.opened + (container is not source)
        plain: Any = container.copy()
        self.items_left -= len(plain)
        if self.items_left < 0:
            raise _TooManyItems
        keys = list(plain) if type(plain) is dict else None
        values = list(plain.values()) if keys is not None else plain
        has_odd_keys = keys is not None and not all(map(_is_plain_key, keys))
        if has_odd_keys:
            plain = [[None, value] for value in values]
        place = self._take_place(place, plain)
        if has_odd_keys:
            self.tags.append([place.path, "items"])
            for position, key in enumerate(keys or ()):
                self._put_key(plain[position], 0, [*place.path, position, 0], key, 0)
        for position in _odd(values):
            if has_odd_keys:
                holder, slot, path = plain[position], 1, [*place.path, position, 1]
            else:
                holder, slot = plain, keys[position] if keys is not None else position
                path = [*place.path, slot]
            depth = place.depth + 1 + has_odd_keys
            child = _Place(holder, slot, path, depth, opened, place.deep, place.node, position)
            self._put(child, values[position])

    def _take_place(self, place: _Place, plain: list[Any] | dict[Any, Any]) -> _Place:
        """Puts a container where it belongs; gives back its own place, whose path and node are those of its values."""
        deep, path = place.deep, place.path
        if deep is None:
            if place.depth < PLAIN_DEPTH_MAX:
                place.holder[place.slot] = plain
                return place
            deep = _Deep(path, [], [])
            place.holder[place.slot] = deep.nodes
            self.tags.append([path, "deep", deep.links])
        else:
            place.holder[place.slot] = None
            deep.links.append([place.node, place.position])
        node = len(deep.nodes)
        deep.nodes.append(plain)
        return _Place(place.holder, place.slot, [*deep.path, node], place.depth, place.opened, deep, node)

    def _put_key(self, holder: Any, slot: Any, path: list[Any], key: Any, depth: int) -> None:
        """A key of a dict that has odd ones: a leaf, or a tuple of keys."""
        if type(key) is tuple and depth < KEY_DEPTH_MAX:
            holder[slot] = items = [None] * len(key)
            for index, item in enumerate(key):
                self._put_key(items, index, [*path, index], item, depth + 1)
        elif self._leaf(holder, slot, path, key) is not None:
            self._say(holder, slot, path, describe(key), key)


# -- the way back ------------------------------------------------------------------------------------------------


def _restore_surrogates(text: str) -> str:
    return re.sub(r"\\(\\|u[0-9a-f]{4})", lambda match: chr(int(match[1][1:], 16)) if match[1] != "\\" else "\\", text)


def _restore_items(pairs: list[list[Any]]) -> dict[Any, Any]:
    """The dict again; keys that have become equal to one before them are told apart by a number."""
    restored: dict[Any, Any] = {}
    for key, value in pairs:
        unique = hashable = _hashable(key)
        number = 1
        while unique in restored:
            number += 1
            unique = f"{hashable} ({number})"
        restored[unique] = value
    return restored


def _hashable(key: Any) -> Any:
    return tuple(map(_hashable, key)) if isinstance(key, list) else key


def _restore_deep(nodes: list[Any], links: list[list[int]]) -> Any:
    nodes = [node.copy() for node in nodes]
    keys = [list(node) if isinstance(node, dict) else None for node in nodes]
    for (parent, position), node in zip(links, nodes[1:], strict=True):
        own_keys = keys[parent]
        nodes[parent][position if own_keys is None else own_keys[position]] = node
    return nodes[0]


_RESTORE: dict[str, Callable[..., Any]] = {
    # A new object each: two NaN may be two keys of one dict.
    "nan": lambda _: float("nan"),
    "inf": lambda _: float("inf"),
    "-inf": lambda _: float("-inf"),
    "int": lambda text: int(text, 16) if "x" in text else int(text),
    "surrogates": _restore_surrogates,
    "bytes": a2b_base64,
    "complex": lambda parts: complex(float(parts[0]), float(parts[1])),
    "datetime": lambda text, fold=0: datetime.fromisoformat(text).replace(fold=fold),
    "date": date.fromisoformat,
    "time": lambda text, fold=0: time.fromisoformat(text).replace(fold=fold),
    "timedelta": lambda parts: timedelta(*parts),
    "items": _restore_items,
    "deep": _restore_deep,
}
