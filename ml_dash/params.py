"""Parameters: `experiment.params`.

1. One call of `set` is one event: it becomes part of history as a whole.
2. `set` merges key by key, and the last write wins.  Setting `a` after `a.x` replaces what stood below `a`, and the
   other way round, so the flat and the nested view never disagree (`state/parameters.py`).
3. A value that cannot be kept exactly takes the value policy's plain form.  No value raises, and none costs an earlier
   parameter (promise P8).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, overload

from .errors import ConfigurationError
from .facts.copies import own_copy
from .facts.events import PARAMS_SET
from .facts.value_forms import describe
from .opening.recorder import Recorder
from .reading.params_view import params_history, value_at
from .recording.param_forms import flatten, named_values, unflatten


class ParametersBuilder:
    """What `experiment.params` is.

    experiment.params.set(lr=0.001, model={"depth": 50})     # keys lr and model.depth
    experiment.params.set(args)                              # a Namespace, dataclass, config class, …
    experiment.params.get("model.depth")
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def set(self, /, *sources: Any, **params: Any) -> ParametersBuilder:
        """Merges parameters into those there are; returns self.

        Each of `sources`, and each value, may be a dict or any Mapping, a dataclass, attrs or pydantic object, an
        argparse Namespace, a params-proto, an OmegaConf config, a plain class or an object with public attributes:
        what it holds stands below its name under dotted keys.  Raises ConfigurationError for a source that holds no
        named values, ExperimentError where the experiment is not open.
        """
        writer = self._recorder.writer()
        flat: dict[str, Any] = {}
        for source in (*sources, params):
            if named_values(source) is None:
                raise ConfigurationError(
                    f"params.set() cannot name the values of {describe(source):.200}. Expected a mapping, a config "
                    "object or a class; give a single value a name, as in params.set(lr=0.001)"
                )
            for key, value in flatten(source).items():
                flat.pop(key, None)
                flat[key] = value
        if flat:
            writer.record(PARAMS_SET, {"params": flat})
        return self

    log = set

    @overload
    def get(self, key: bool = ..., /, *, flatten: bool = ...) -> dict[str, Any]: ...

    @overload
    def get(self, *, flatten: bool = ...) -> dict[str, Any]: ...

    @overload
    def get(self, key: str, default: Any = ...) -> Any: ...

    def get(self, key: Any = True, default: Any = None, *, flatten: bool = True) -> Any:
        """Parameters as they are now.

        `get()` is a flat dict, `get(flatten=False)` a nested one; both are the caller's own.  `get("model.depth")` is
        one value and `get("model")` a dict of what stands below; without either, `default`.
        """
        params = self._params()
        if isinstance(key, bool):
            return own_copy(dict(params)) if key and flatten else unflatten(own_copy(dict(params)))
        return value_at(params, key, default)

    def history(self, key: str) -> list[tuple[int, datetime, Any]]:
        """Every time `key` was set, as (sequence number, time, value), oldest first.

        Where an event was corrected the value is the corrected one.  For a key that stands above others it is the
        nested dict after that event.
        """
        replay = self._recorder.whole()
        return params_history(replay.folder, replay.refresh(), key)

    @staticmethod
    def flatten_dict(d: Mapping[Any, Any], parent_key: str = "", sep: str = ".") -> dict[str, Any]:
        """`{"a": {"b": 1}}` → `{"a.b": 1}`, below `parent_key` if there is one.  An empty dict stays a value."""
        return flatten(d, parent_key or None, sep)

    @staticmethod
    def unflatten_dict(d: Mapping[str, Any], sep: str = ".") -> dict[str, Any]:
        """`{"a.b": 1}` → `{"a": {"b": 1}}`.  Where two keys exclude each other the later one counts."""
        return unflatten(d, sep)

    def _params(self) -> Mapping[str, Any]:
        self._recorder.look()
        return self._recorder.replay().refresh().params
