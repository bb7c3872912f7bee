"""Functions whose every call is a session: plain, async, generators of both kinds, and methods."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import AbstractContextManager
from typing import Any

PARAMETERS = ("experiment", "exp")
"""The names under which a function may ask for the experiment, the first that it has."""


def parameter_of(function: Callable[..., Any]) -> str | None:
    """The keyword under which the function takes the experiment; None if it takes none."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        # Some built-in functions do not say.
        return PARAMETERS[0]
    named = {each.name for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)}
    found = next((name for name in PARAMETERS if name in named), None)
    if found is None and any(each.kind is each.VAR_KEYWORD for each in parameters):
        return PARAMETERS[0]
    return found


def decorate(
    function: Callable[..., Any], run_of_call: Callable[[], AbstractContextManager[Any]]
) -> Callable[..., Any]:
    """`function`, each call inside `with run_of_call():`; what it returns, yields or raises comes through unchanged."""
    if not callable(function):
        raise TypeError(
            f"{function!r:.200} is a {type(function).__name__}, which no experiment can decorate: expected a "
            "function. Put the decorator below @classmethod or @property"
        )
    parameter = parameter_of(function)

    def given(experiment: Any, keywords: dict[str, Any]) -> dict[str, Any]:
        return keywords if parameter is None else {**keywords, parameter: experiment}

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def run_async(*arguments: Any, **keywords: Any) -> Any:
            with run_of_call() as experiment:
                return await function(*arguments, **given(experiment, keywords))

        return run_async

    if inspect.isasyncgenfunction(function):

        @functools.wraps(function)
        async def iterate_async(*arguments: Any, **keywords: Any) -> AsyncIterator[Any]:
            with run_of_call() as experiment:
                iterator = function(*arguments, **given(experiment, keywords))
                try:
                    async for value in iterator:
                        yield value
                finally:
                    await iterator.aclose()

        return iterate_async

    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def iterate(*arguments: Any, **keywords: Any) -> Generator[Any, Any, Any]:
            with run_of_call() as experiment:
                return (yield from function(*arguments, **given(experiment, keywords)))

        return iterate

    @functools.wraps(function)
    def run(*arguments: Any, **keywords: Any) -> Any:
        with run_of_call() as experiment:
            return function(*arguments, **given(experiment, keywords))

    return run
