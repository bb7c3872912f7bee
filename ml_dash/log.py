"""What `logs.py` has, where code written for the PyPI package `ml-dash` imports it from."""

from .logs import LogBuilder, LogLevel

__all__ = ["LogBuilder", "LogLevel"]
