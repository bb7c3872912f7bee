"""Anything that holds parameters → flat dotted keys.

What is opened, that is becomes keys of its own below its name, and what is a value:

 1. What the value policy (`facts/value_forms.py`) turns into a dict is opened: any Mapping, dataclasses, attrs,
    pydantic, Namespaces, named tuples.  A Mapping whose items fail one by one, as OmegaConf's missing ones do, loses
    only those.
 2. A class is opened into its public data attributes, inherited ones first, and so are the classes defined in its body.
    Methods, properties and other descriptors are no parameters.  A class without data is its qualified name.
 3. Any other object is opened into the data attributes of its class and, over them, its own public ones.  It stays a
    value if it is a thing at work rather than a description of one: callable, iterable, a context manager, with a
    `state_dict`, or with a repr of its own and attributes that are not plain.
 4. Lists stay lists; what they hold is opened in place.  An empty dict is a value, so that it stays visible.
 5. What contains itself is cut with the text `<cycle>`.  Nothing here raises, whatever the code of an object does.

Only what the *type* has counts, as in `facts/value_forms.py`.

Pure: no I/O.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, fields
from enum import Enum
from types import ModuleType
from typing import Any

from ..facts.value_forms import NoFormError, describe, simpler

DEPTH_MAX = 1_000
"""Objects that make up a new one whenever they are asked would never end."""
STEPS_MAX = 8
CYCLE = "<cycle>"

_PLAIN = frozenset((bool, int, float, complex, str, bytes, type(None)))
_LIKE_A_MAPPING = ("keys", "items", "__getitem__")
_AT_WORK = ("__call__", "__iter__", "__getitem__", "__next__", "__await__", "__enter__", "__aenter__", "state_dict")


def flatten(params: Any, parent: str | None = None, separator: str = ".") -> dict[str, Any]:
    """`{"model": {"lr": 0.1}}` → `{"model.lr": 0.1}`.  {} for what has no `named_values`.

    A key that comes twice stands where it came last.
    """
    flat: dict[str, Any] = {}
    opened = named_values(params) or {}
    stack: list[tuple[str | None, Iterator[tuple[Any, Any]], int]] = [(parent, iter(opened.items()), id(params))]
    open_ids = {id(params)}
    while stack:
        prefix, items, own_id = stack[-1]
        for key, value in items:
            name = key_text(key) if prefix is None else f"{prefix}{separator}{key_text(key)}"
            flat.pop(name, None)
            inner = None if type(value) in _PLAIN else members(value)
            if inner is None:
                flat[name] = _leaf(value)
            elif id(value) in open_ids:
                flat[name] = CYCLE
            elif inner and len(stack) < DEPTH_MAX:
                open_ids.add(id(value))
                stack.append((name, iter(inner.items()), id(value)))
                break
            else:
                flat[name] = inner
        else:
            stack.pop()
            open_ids.discard(own_id)
    return flat


def unflatten(flat: Mapping[str, Any], separator: str = ".") -> dict[str, Any]:
    """`{"model.lr": 0.1}` → `{"model": {"lr": 0.1}}`.  Where two keys exclude each other the later one counts."""
    root: dict[str, Any] = {}
    branches = {id(root)}
    for key, value in flat.items():
        *above, last = key.split(separator)
        branch = root
        for part in above:
            # A dict that is a value must not be taken for a branch: the caller's would grow.
            if id(branch.get(part)) not in branches:
                branch[part] = {}
                branches.add(id(branch[part]))
            branch = branch[part]
        branch[last] = value
    return root


def key_text(key: Any) -> str:
    """A key of any type as a part of a dotted key."""
    if type(key) is str:
        return key
    if isinstance(key, Enum):
        return key.name
    try:
        return str.__str__(key) if isinstance(key, str) else str(key)
    except Exception:
        return describe(key)


def named_values(source: Any) -> dict[Any, Any] | None:
    """What `source` holds, given as parameters rather than as the value of one; None where it holds no named values.

    An object given like this is opened whatever its repr says.
    """
    opened = members(source)
    if opened is not None or issubclass(type(source), type):
        return opened
    try:
        return _attributes(source)
    except Exception:
        return None


def members(value: Any) -> dict[Any, Any] | None:
    """What stands below `value`, opened one level; None where it is a value itself."""
    if type(value) is dict:
        return value.copy()
    try:
        if issubclass(type(value), type):
            return _class_members(value)
        return _proto_members(value) if _is_of_params_proto(type(value)) else _instance_members(value)
    except Exception:
        return None


def _leaf(value: Any) -> Any:
    """Rule 4: a list whose objects are opened; everything else is the value policy's."""
    if type(value) in (list, tuple) and any(type(item) not in _PLAIN for item in value):
        return _in_place(value, frozenset(), 0)
    return value


def _in_place(value: Any, above: frozenset[int], depth: int) -> Any:
    if type(value) in _PLAIN or depth > STEPS_MAX:
        return value
    if id(value) in above:
        return CYCLE
    above |= {id(value)}
    if type(value) in (list, tuple):
        return [_in_place(item, above, depth + 1) for item in value]
    inner = members(value)
    if inner is None or (type(value) is dict and all(type(item) in _PLAIN for item in inner.values())):
        return value
    return {key: _in_place(item, above, depth + 1) for key, item in inner.items()}


# -- instances ---------------------------------------------------------------------------------------------------


def _instance_members(value: Any) -> dict[Any, Any] | None:
    kind = type(value)
    if issubclass(kind, Mapping) and not issubclass(kind, dict):
        return _mapping_members(value)
    nearer = value
    for _ in range(STEPS_MAX):
        try:
            nearer = simpler(nearer)
        except NoFormError:
            return _object_members(value) if nearer is value else None
        if type(nearer) is dict:
            return nearer
        if type(nearer) in _PLAIN or type(nearer) is list:
            return None
    return None


def _mapping_members(value: Mapping[Any, Any]) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for key in list(value):
        try:
            found[key] = value[key]
        except Exception as error:
            found[key] = _unresolved(value, key, error)
    return found


def _unresolved(value: Mapping[Any, Any], key: Any, error: Exception) -> Any:
    """What stands in the place of an item that cannot be had: OmegaConf says it as it is written."""
    omegaconf = sys.modules.get("omegaconf")
    if omegaconf is not None and isinstance(value, omegaconf.DictConfig):
        return omegaconf.OmegaConf.to_container(value, resolve=False)[key]
    return f"<{type(error).__name__}>"


def _object_members(value: Any) -> dict[Any, Any] | None:
    kind = type(value)
    if all(_defines(kind, name) for name in _LIKE_A_MAPPING) and not _defines(kind, "__call__"):
        return _mapping_members(value)
    found = _attributes(value)
    has_own_repr = any("__repr__" in _own_attributes(base) for base in kind.__mro__[:-1])
    if found and has_own_repr and not _defines(kind, "to_dict") and not all(map(_is_plain, found.values())):
        return None
    return found


def _attributes(value: Any) -> dict[Any, Any] | None:
    """Rule 3, but for the repr; None where there are none."""
    kind = type(value)
    if issubclass(kind, (ModuleType, BaseException)) or any(_defines(kind, name) for name in _AT_WORK):
        return None
    own = getattr(value, "__dict__", None)
    slots = [name for base in kind.__mro__ for name in _names(_own_attributes(base).get("__slots__", ()))]
    if own is None and not slots:
        return None
    found = _public_data(kind)
    found |= {name: getattr(value, name) for name in reversed(slots) if _is_public(name) and hasattr(value, name)}
    found |= {name: item for name, item in (own or {}).items() if _is_public(name)}
    return found or None


def _defines(kind: type, name: str) -> bool:
    """Whether instances have it: every class answers to `__call__`, and a metaclass to more."""
    return any(name in _own_attributes(base) for base in kind.__mro__)


_own_attributes = type.__dict__["__dict__"].__get__


def _names(slots: Any) -> tuple[str, ...]:
    return (slots,) if isinstance(slots, str) else tuple(slots)


def _is_plain(value: Any) -> bool:
    """Data all through, as far as one level shows."""
    if type(value) in (list, tuple, set, frozenset):
        return all(type(item) in _PLAIN for item in value)
    if type(value) is dict:
        return all(type(item) in _PLAIN for item in value.values())
    return type(value) in _PLAIN or isinstance(value, Enum)


def _is_public(name: Any) -> bool:
    return isinstance(name, str) and not name.startswith("_")


def _is_of_params_proto(kind: type) -> bool:
    return any(base.__module__.partition(".")[0] == "params_proto" for base in kind.__mro__)


def _proto_members(value: Any) -> dict[Any, Any]:
    """A function of version 3 keeps its parameters behind `_dict`, a namespace of version 1 or 2 does not."""
    found = value._dict if _defines(type(value), "_dict") else vars(value)
    return {name: item for name, item in found.items() if _is_public(name)}


# -- classes -----------------------------------------------------------------------------------------------------


def _class_members(kind: Any) -> dict[Any, Any] | None:
    if issubclass(kind, Enum):
        return None
    return (_declared_defaults(kind) if _declares_fields(kind) else _public_data(kind)) or None


def _public_data(kind: type) -> dict[Any, Any]:
    """Rule 2.  `getattr` lets a metaclass have its say: params-proto keeps the real value behind it."""
    found: dict[Any, Any] = {}
    for base in reversed(kind.__mro__):
        # A metaclass may make `vars` say more than there is.
        for name, static in () if base is object else list(vars(base).items()):
            if _is_public(name) and not _is_behaviour(static) and not (isinstance(static, type) and static is base):
                value = getattr(kind, name, static)
                value = static if _is_behaviour(value) else value
                is_elsewhere = isinstance(value, type) and not _is_defined_in(kind, name, value)
                found[name] = describe(value) if is_elsewhere else value
    return found


def _is_behaviour(static: Any) -> bool:
    """Methods, properties, slots: whatever acts when it is asked for by an instance.  Classes are none of these."""
    return not isinstance(static, type) and hasattr(type(static), "__get__")


def _is_defined_in(kind: type, name: str, value: type) -> bool:
    return any(value.__qualname__ == f"{base.__qualname__}.{name}" for base in kind.__mro__)


def _declares_fields(kind: type) -> bool:
    return any(hasattr(kind, name) for name in _DEFAULTS)


def _declared_defaults(kind: type) -> dict[Any, Any]:
    """The defaults of a class that declares its fields; fields without one have no value yet."""
    return next(defaults(kind) for name, defaults in _DEFAULTS.items() if hasattr(kind, name))


def _dataclass_defaults(kind: Any) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for field in fields(kind):
        if field.default is not MISSING:
            found[field.name] = field.default
        elif field.default_factory is not MISSING:
            found[field.name] = field.default_factory()
    return found


def _attrs_defaults(kind: Any) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for attribute in kind.__attrs_attrs__:
        default = attribute.default
        if not hasattr(default, "factory"):
            found[attribute.name] = default
        elif not default.takes_self:
            found[attribute.name] = default.factory()
    # `NOTHING` is an enum of attrs' own, or an object of that name.
    return {name: value for name, value in found.items() if type(value).__module__ != "attr._make"}


def _pydantic_defaults(kind: Any) -> dict[Any, Any]:
    given = {name: field for name, field in kind.model_fields.items() if not field.is_required() and not field.exclude}
    return {name: field.get_default(call_default_factory=True) for name, field in given.items()}


_DEFAULTS: dict[str, Callable[[Any], dict[Any, Any]]] = {
    "__dataclass_fields__": _dataclass_defaults,
    "__attrs_attrs__": _attrs_defaults,
    "model_fields": _pydantic_defaults,
}
