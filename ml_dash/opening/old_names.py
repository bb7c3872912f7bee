"""Arguments that code written for the PyPI package `ml-dash` gives under another name than ours."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

_Arguments = ParamSpec("_Arguments")
_Returned = TypeVar("_Returned")


def also_called(**names: str) -> Callable[[Callable[_Arguments, _Returned]], Callable[_Arguments, _Returned]]:
    """`@also_called(fpath="path")`: the argument `path` may be given as `fpath=…` too, without a warning.

    A call that gives both raises TypeError.
    """

    def decorate(function: Callable[_Arguments, _Returned]) -> Callable[_Arguments, _Returned]:
        @functools.wraps(function)
        def call(*arguments: _Arguments.args, **keywords: _Arguments.kwargs) -> _Returned:
            for old, new in names.items():
                if old in keywords:
                    if new in keywords:
                        raise TypeError(f"{function.__name__}() got {old!r} and {new!r}, two names of one argument")
                    keywords[new] = keywords.pop(old)
            return function(*arguments, **keywords)

        return call

    return decorate
