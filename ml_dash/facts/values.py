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
 6. A list becomes a list of as many items, a dict whose keys JSON can say a dict with these keys.

Pure: no I/O.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .value_forms import describe, simpler, type_name
from .value_leaves import LEAVES, RESTORE, float_leaf, has_plain_keys, odd_places

Tag = list[Any]
"""`[path, kind, *extra]`, `path` a list of keys and indices from the root of the value to the place."""

PLAIN_DEPTH_MAX = 64
KEY_DEPTH_MAX = 8
ITEMS_MAX = 1 << 22
"""Items in all, counted as often as they are referred to; containers that would exceed it become their repr."""
ITEMS_PER_CONTAINER = 16
"""What a container counts beside its items: lists in lists, each twice in the next, are endless work of few items."""
OPENED_DEPTH_MAX = 64
"""Objects inside objects, each opened by its own code: some make up a new one whenever they are asked."""
STEPS_MAX = 8


def to_plain(value: Any) -> tuple[Any, list[Tag]]:
    """What JSON can say of `value`, made of new containers, and the tags that say the rest."""
    try:
        # What nearly every recording call gives: the values of a row, or a flat payload.
        kind = type(value)
        if kind is list:
            row = value.copy()
            odd = odd_places(row)
            if not odd or all(type(row[index]) is float for index in odd):
                return row, [_float_tag(row, index) for index in odd]
        elif kind is dict:
            payload = value.copy()
            if has_plain_keys(payload) and not odd_places(list(payload.values())):
                return payload, []
        return _Walk().run(value)
    except Exception:  # no memory or no stack left
        return _last_resort(value)


def _float_tag(row: list[Any], index: int) -> Tag:
    row[index], kind = float_leaf(row[index])
    return [[index], kind]


def _last_resort(value: Any) -> tuple[Any, list[Tag]]:
    """Rule 6 where nothing more can be said."""
    text = "<a value that could not be recorded: no memory or no stack left>"
    if type(value) is list:
        return [text] * len(value), [[[index], "repr", "object"] for index in range(len(value))]
    if type(value) is dict and has_plain_keys(value):
        return dict.fromkeys(value, text), [[[key], "repr", "object"] for key in value]
    return text, [[[], "repr", "object"]]


def from_plain(plain: Any, tags: list[Tag]) -> Any:
    """The value again, or its documented plain form; `plain` stays as it is.  Raises ValueError if tags do not fit."""
    root = [plain]
    copies: dict[int, Any] = {}
    try:
        for path, kind, *extra in sorted(tags, key=_path_length, reverse=True):
            restore = RESTORE.get(kind) or _RESTORE_CONTAINER.get(kind)
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


# -- the way there -----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Deep:
    """The containers below the deepest level: `nodes` in the order met, `links[i]` where node i + 1 belongs."""

    path: list[Any]
    nodes: list[Any]
    links: list[list[int]]


@dataclass(slots=True)
class _Pending:
    """A container that waits for its turn: it goes to `holder[slot]`, and stands at `path`.

    `source` is the object that it was made from, itself unless its form had to be asked for; `opened` counts such
    objects around it.  Inside `deep`, its container is node `parent`, of which it is the value at `position`.
    """

    container: list[Any] | dict[Any, Any]
    source: Any
    holder: Any
    slot: Any
    path: list[Any]
    depth: int
    opened: int
    deep: _Deep | None
    parent: int
    position: int


class _Walk:
    """One value's way to plain.  Without recursion: a value may be deeper than the stack that is left."""

    __slots__ = ("ancestors", "items_left", "stack", "tags")

    def __init__(self) -> None:
        self.tags: list[Tag] = []
        self.ancestors: set[int] = set()
        self.items_left = ITEMS_MAX
        # An object that stands here alone is a container whose values are all done.
        self.stack: list[_Pending | tuple[Any]] = []

    def run(self, value: Any) -> tuple[Any, list[Tag]]:
        root = [None]
        container = self._leaf(root, 0, [], value)
        if container is not None:
            self.stack.append(_Pending(container, value, root, 0, [], 0, 0, None, 0, 0))
        while self.stack:
            pending = self.stack.pop()
            if isinstance(pending, tuple):
                self.ancestors.discard(id(pending[0]))
            else:
                self._open(pending)
        return root[0], self.tags

    def _leaf(self, holder: Any, slot: Any, path: list[Any], value: Any) -> list[Any] | dict[Any, Any] | None:
        """Puts a leaf in its place, or gives back the container that the value amounts to."""
        nearer = value
        try:
            for _ in range(STEPS_MAX):
                kind = type(nearer)
                if kind is list or kind is dict:
                    container: list[Any] | dict[Any, Any] = nearer
                    return container
                leaf = LEAVES.get(kind)
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

    def _open(self, own: _Pending) -> None:
        """Puts a copy of a container in its place, its leaves in theirs, and its containers on the stack."""
        plain: Any = own.container.copy()
        self.items_left -= len(plain) + ITEMS_PER_CONTAINER
        if self.items_left < 0:
            self._say(own.holder, own.slot, own.path, describe(own.source), own.source)
            return
        self.ancestors.add(id(own.source))
        self.stack.append((own.source,))
        keys = list(plain) if type(plain) is dict else None
        values = plain if keys is None else list(plain.values())
        has_odd_keys = keys is not None and not has_plain_keys(plain)
        if has_odd_keys:
            plain = [[None, value] for value in values]
        node = self._place(own, plain)
        path = own.path if own.deep is None else [*own.deep.path, node]
        if keys is not None and has_odd_keys:
            self.tags.append([path, "items"])
            for position, key in enumerate(keys):
                self._put_key(plain[position], 0, [*path, position, 0], key, 0)
        depth = own.depth + 1 + has_odd_keys
        opened = own.opened + (own.container is not own.source)
        for position in odd_places(values):
            value = values[position]
            if has_odd_keys:
                holder, slot, place = plain[position], 1, [*path, position, 1]
            else:
                holder, slot = plain, position if keys is None else keys[position]
                place = [*path, slot]
            container = self._leaf(holder, slot, place, value)
            if container is None:
                continue
            if id(value) in self.ancestors:
                self._say(holder, slot, place, "<cycle>", value)
            elif opened == OPENED_DEPTH_MAX and container is not value:
                self._say(holder, slot, place, describe(value), value)
            else:
                self.stack.append(
                    _Pending(container, value, holder, slot, place, depth, opened, own.deep, node, position)
                )

    def _place(self, own: _Pending, plain: list[Any] | dict[Any, Any]) -> int:
        """Puts a container where it belongs, rule 3; its number among the nodes of `deep`."""
        if own.deep is None:
            if own.depth < PLAIN_DEPTH_MAX:
                own.holder[own.slot] = plain
                return 0
            own.deep = _Deep(own.path, [], [])
            own.holder[own.slot] = own.deep.nodes
            self.tags.append([own.path, "deep", own.deep.links])
        else:
            own.holder[own.slot] = None
            own.deep.links.append([own.parent, own.position])
        own.deep.nodes.append(plain)
        return len(own.deep.nodes) - 1

    def _put_key(self, holder: Any, slot: Any, path: list[Any], key: Any, depth: int) -> None:
        """A key of a dict that has odd ones: a leaf, or a tuple of keys."""
        if type(key) is tuple and depth < KEY_DEPTH_MAX:
            holder[slot] = items = [None] * len(key)
            for index, item in enumerate(key):
                self._put_key(items, index, [*path, index], item, depth + 1)
        elif self._leaf(holder, slot, path, key) is not None:
            self._say(holder, slot, path, describe(key), key)


# -- the way back ------------------------------------------------------------------------------------------------


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


_RESTORE_CONTAINER: dict[str, Callable[..., Any]] = {"items": _restore_items, "deep": _restore_deep}
