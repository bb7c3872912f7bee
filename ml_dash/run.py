"""RUN: what an experiment is called when its code does not say, and the templates that prefixes are made from.

`RUN.user = "alice"` sets a default for the whole process, at any time; an instance, such as the `run` of an experiment,
uses these defaults unless it was given its own.  A value is looked for in this order: the instance, `RUN`, the
environment (`ML_DASH_USER`, `ML_DASH_PREFIX`, `ML_DASH_API_URL`), what is built in.

    user owner        who runs it (one value under two names); the login name unless set
    project           `scratch` unless set
    prefix            a template of the prefix
    name              the experiment's, which takes the place of `job_name` in the default prefix; unless set, the last
                      part of the prefix that was set before
    entry             the user's script, or a folder; found from the running program unless set
    project_root      what `path_stem` is relative to; `find_project_root(entry)` unless set
    path_stem         the script without suffix, relative to `project_root`
    now               a datetime; when this module was loaded unless set
    date datetime_str `now` as YYYYMMDD and as YYYYMMDD.HHMMSS
    timestamp         as `datetime_str` unless set
    job_counter       each instance takes RUN's, which then goes up by one
    job_name          a template; by default the time, the counter and `unique`
    unique            8 characters that no other process has
    id                an 18-digit number that sorts by time; made when it is first asked for by a template
    api_url readme
    debug             False unless set; for whoever asks it, nothing here does

In a template `{field}`, `{RUN.field}` and `{EXP.field}` stand for a field of the instance, with a format behind a colon
where wanted (`{now:%Y-%m-%d}`, `{job_counter:03d}`).  Values may be templates themselves.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, ClassVar

from .errors import ConfigurationError
from .ids import new_id, new_snowflake
from .opening import environment_variables
from .opening.caller import user_script
from .opening.nearest import nearest
from .opening.templates import resolved

PROJECT_ROOT_FILES = ("pyproject.toml", "requirements.txt", "setup.py", "setup.cfg")
DEFAULT_API_URL = "https://api.dash.ml"
DEFAULT_JOB_NAME = "{now:%H.%M.%S}/{job_counter:03d}-{unique}"

_counting = threading.Lock()
_loaded = datetime.now()
_unique: dict[int, str] = {}


def find_project_root(start: str | os.PathLike[str] | None = None, verbose: bool = False) -> str:
    """The nearest folder at or above `start` (a file or a folder; default: the working directory) that holds
    pyproject.toml, requirements.txt, setup.py or setup.cfg; the working directory where there is none.

    `verbose` prints the folders it looks into.
    """
    folder = os.path.abspath(os.getcwd() if start is None else os.fspath(start))
    if not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    while True:
        if verbose:
            print(f"Looking for {', '.join(PROJECT_ROOT_FILES)} in {folder}")
        if any(os.path.isfile(os.path.join(folder, name)) for name in PROJECT_ROOT_FILES):
            return folder
        above = os.path.dirname(folder)
        if above == folder:
            return os.getcwd()
        folder = above


class _Defaults(type):
    """`RUN.field` and `RUN.field = value`: the defaults of the process."""

    values: ClassVar[dict[str, Any]] = {}

    def __getattr__(cls, name: str) -> Any:
        if name in _Defaults.values:
            return _Defaults.values[name]
        if name in BUILT_IN:
            return BUILT_IN[name](RUN)
        raise _no_field(name)

    def __setattr__(cls, name: str, value: Any) -> None:
        if name.startswith("_"):
            super().__setattr__(name, value)
        else:
            check_field(name)
            _Defaults.values[_SYNONYMS.get(name, name)] = value

    def __delattr__(cls, name: str) -> None:
        if name.startswith("_"):
            super().__delattr__(name)
        else:
            _Defaults.values.pop(_SYNONYMS.get(name, name), None)

    def __dir__(cls) -> list[str]:
        return sorted({*super().__dir__(), *FIELDS})


class RUN(metaclass=_Defaults):
    """The fields of one run; as a class, the defaults for all of them.

    `RUN(prefix=…, entry=…)` takes any field as a keyword; TypeError names the nearest one if there is no such field.
    """

    user: str
    owner: str
    project: str
    prefix: str
    name: str | None
    entry: str
    project_root: str
    path_stem: str
    now: datetime
    date: str
    datetime_str: str
    timestamp: str
    job_counter: int
    job_name: str
    unique: str
    id: int | None
    api_url: str
    readme: str | None
    debug: bool
    _script: str

    def __init__(self, prefix: str | None = None, **fields: Any) -> None:
        for name in fields:
            try:
                check_field(name)
            except AttributeError as error:
                raise TypeError(str(error)) from None
        if prefix is not None:
            fields["prefix"] = prefix
        self._fields: dict[str, Any] = {_SYNONYMS.get(name, name): value for name, value in fields.items()}
        if "job_counter" not in self._fields:
            self._fields["job_counter"] = _next_job_counter()
        # The stack tells who calls, and it is another one later.
        self._script = user_script()

    def __getattr__(self, name: str) -> Any:
        """A field, templates in it replaced.  Raises TemplateError where one stands for nothing."""
        if name.startswith("_"):
            raise AttributeError(name)
        value = self._value(name)
        return expand(value, self) if name == "prefix" or (isinstance(value, str) and "{" in value) else value

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            object.__setattr__(self, name, value)
        else:
            check_field(name)
            self._fields[_SYNONYMS.get(name, name)] = value

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *FIELDS})

    def _is_set(self, name: str) -> bool:
        """Whether the field was given to this instance, or to RUN."""
        return self._fields.get(name) is not None or _Defaults.values.get(name) is not None

    def _value(self, name: str) -> Any:
        """A field as it was given, templates not replaced."""
        name = _SYNONYMS.get(name, name)
        value = self._fields.get(name)
        if value is None:
            value = _Defaults.values.get(name)
        if value is None and name in BUILT_IN:
            value = BUILT_IN[name](self)
        elif name not in FIELDS:
            raise _no_field(name)
        return value


# --- fields -------------------------------------------------------------------------------------------------


def _default_user(_: Any) -> str:
    import getpass

    try:
        # A Windows domain stands before a backslash.
        return environment_variables.text("ML_DASH_USER") or getpass.getuser().replace("\\", "-")
    except (KeyError, OSError):
        # A container whose user id has no name.
        return "user"


def _default_prefix(run: Any) -> str:
    given = environment_variables.text("ML_DASH_PREFIX") or environment_variables.text("DASH_PREFIX")
    if given is not None:
        return given
    job = "{job_name}" if _raw(run, "name") is None else "{name}"
    return owner_and_project(run) + "/{now:%Y/%m-%d}/{path_stem}/" + job


def owner_and_project(run: Any) -> str:
    """The head of a prefix, as a template; a project with a slash says both."""
    project = str(_raw(run, "project"))
    return project if "/" in project else f"{{user}}/{project}"


def _raw(run: Any, field: str) -> Any:
    """A field of an instance or of the class, templates not replaced."""
    return run._value(field) if isinstance(run, RUN) else getattr(run, field)


def _default_path_stem(run: Any) -> str:
    entry = run.entry
    if not isinstance(entry, (str, os.PathLike)):
        raise ConfigurationError(f"RUN.entry = {entry!r:.200} is no path: expected the script's file or a folder")
    root = os.path.abspath(run.project_root)
    stem = os.path.relpath(os.path.abspath(entry), root)
    if not os.path.isdir(entry):
        stem = os.path.splitext(stem)[0]
    return os.path.basename(stem) if stem.startswith(os.pardir) else stem


def _default_unique(_: Any) -> str:
    # A forked child has its parent's memory, but must not have its name.
    process = os.getpid()
    return _unique.setdefault(process, new_id()[-8:])


BUILT_IN: Mapping[str, Callable[[Any], Any]] = {
    "user": _default_user,
    "project": lambda _: "scratch",
    "prefix": _default_prefix,
    "name": lambda _: None,
    "entry": lambda run: run._script if isinstance(run, RUN) else user_script(),
    "project_root": lambda run: find_project_root(run.entry),
    "path_stem": _default_path_stem,
    "now": lambda _: _loaded,
    "date": lambda run: run.now.strftime("%Y%m%d"),
    "datetime_str": lambda run: run.now.strftime("%Y%m%d.%H%M%S"),
    "timestamp": lambda run: run.datetime_str,
    "job_counter": lambda _: 1,
    "job_name": lambda _: DEFAULT_JOB_NAME,
    "unique": _default_unique,
    "id": lambda _: None,
    "api_url": lambda _: environment_variables.text("ML_DASH_API_URL") or DEFAULT_API_URL,
    "readme": lambda _: None,
    "debug": lambda _: False,
}
_SYNONYMS = {"owner": "user"}
FIELDS = frozenset((*BUILT_IN, *_SYNONYMS))


def check_field(name: str) -> None:
    """Raises AttributeError, naming the nearest field, where RUN has no such field."""
    if name not in FIELDS:
        raise _no_field(name)


def _no_field(name: str) -> AttributeError:
    return AttributeError(f"RUN has no field {name!r}.{nearest(name, FIELDS)} It has {', '.join(sorted(FIELDS))}")


def _next_job_counter() -> Any:
    with _counting:
        counter = RUN.job_counter
        if isinstance(counter, int):
            RUN.job_counter = counter + 1
        return counter


def expand(template: object, run: RUN, previous_name: str | None = None) -> str:
    """`template` with every placeholder replaced by a field of `run`; `previous_name` is `name` where `run` has none.

    Raises TemplateError where a placeholder stands for nothing or, over and over, for itself; PrefixError where the
    template is no str.
    """

    def value_of(name: str) -> Any:
        value = run._value(name)
        if value is None and name == "name":
            value = previous_name
        if value is None and name == "id":
            value = run.id = new_snowflake()
        return value

    return resolved(template, value_of, FIELDS)
