"""What people say of an experiment in words: description, tags, bindrs, metadata.

Given replaces what is stored, not given (None) keeps it; so `tags=[]` clears the tags.  What is given while the
experiment is not open counts from its next start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError
from ..facts.copies import own_copy
from ..facts.events import EXPERIMENT_DESCRIBED
from .old_names import also_called
from .recorder import Recorder, not_started

if TYPE_CHECKING:
    from ..files import Bindr
    from ..state import State


class Described:
    """The part of an Experiment that can be described."""

    _recorder: Recorder

    def __init__(self) -> None:
        self._given: dict[str, Any] = {}

    def _stored_state(self) -> State | None:
        raise NotImplementedError

    @property
    def description(self) -> str | None:
        """What the experiment is about; Markdown if you like."""
        return self._described("description")  # type: ignore[no-any-return]

    @description.setter
    def description(self, value: str | None) -> None:
        self._describe("description", value, _text)

    @property
    def readme(self) -> str | None:
        """Another word for `description`."""
        return self.description

    @readme.setter
    def readme(self, value: str | None) -> None:
        self.description = value

    @property
    def tags(self) -> list[str] | None:
        """Assign to change them: `experiment.tags = ["baseline"]`; `[]` clears, None keeps what is stored."""
        return self._described("tags")  # type: ignore[no-any-return]

    @tags.setter
    def tags(self, value: Iterable[str] | None) -> None:
        self._describe("tags", value, _names)

    @property
    def metadata(self) -> dict[str, Any] | None:
        """Assign to change it: `experiment.metadata = {…}` replaces all of it."""
        return self._described("metadata")  # type: ignore[no-any-return]

    @metadata.setter
    def metadata(self, value: Mapping[str, Any] | None) -> None:
        self._describe("metadata", value, _mapping)

    @property
    def bindrs(self) -> BindrNames:
        """The names that the experiment is bound to; `bindrs(name).list()` gives the files that carry one."""
        return BindrNames(self._described("bindrs") or (), self._bindr)

    @bindrs.setter
    def bindrs(self, value: Iterable[str] | None) -> None:
        self._describe("bindrs", value, _names)

    def _bindr(self, name: str) -> Bindr:
        from ..files import Bindrs

        if not self._recorder.is_open:
            raise not_started()
        return Bindrs(self._recorder)(name)

    def _describe(self, key: str, value: Any, checked: Callable[[str, Any], Any]) -> None:
        if value is None:
            return
        given = checked(key, value)
        if self._recorder.is_open:
            self._recorder.writer().record(EXPERIMENT_DESCRIBED, {key: given})
        else:
            self._given[key] = given

    def _described(self, key: str) -> Any:
        if key in self._given:
            return self._given[key]
        state = self._stored_state()
        found = getattr(state, key) if state is not None else None
        return list(found) if isinstance(found, tuple) else own_copy(found)


class BindrNames(list[str]):
    """Names of bindrs; called with one it gives that bindr: `experiment.bindrs("best").list()`."""

    def __init__(self, names: Iterable[str], look_up: Callable[[str], Bindr]) -> None:
        super().__init__(names)
        self._look_up = look_up

    @also_called(bindr_name="name")
    def __call__(self, name: str) -> Bindr:
        return self._look_up(name)


def _text(key: str, value: object) -> str:
    if not isinstance(value, str):
        raise ConfigurationError(f"{key}={value!r:.200} is a {type(value).__name__}: expected a str")
    return value


def _names(key: str, value: object) -> list[str]:
    """A single str is one name, not the list of its letters."""
    if isinstance(value, (Mapping, bytes)) or not isinstance(value, Iterable):
        raise ConfigurationError(f"{key}={value!r:.200} is a {type(value).__name__}: expected a list of str")
    names = [value] if isinstance(value, str) else list(value)
    for name in names:
        if not isinstance(name, str):
            raise ConfigurationError(f"{key} has {name!r:.200}, a {type(name).__name__}: expected a list of str")
    return names


def _mapping(key: str, value: object) -> dict[Any, Any]:
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{key}={value!r:.200} is a {type(value).__name__}: expected a dict")
    return dict(value)
