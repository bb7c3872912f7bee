"""What `tracks.py` has, where and as code written for the PyPI package `ml-dash` imports it."""

from .tracks import TrackBuilder, TrackSlice
from .tracks import Tracks as TracksManager

__all__ = ["TrackBuilder", "TrackSlice", "TracksManager"]
