"""How batches are compressed on their way.

Pure: no I/O.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

from .address import is_loopback


def best_encoding(url: str) -> str:
    """Nothing on the way to this machine itself, where bytes cost less than compressing them; else Zstandard where it
    is installed."""
    if is_loopback(url):
        return "identity"
    try:
        import zstandard
    except ImportError:
        return "gzip"
    return "zstd" if zstandard else "gzip"


def compressed(data: bytes, encoding: str) -> bytes:
    """The fastest level: a journal's columns are packed numbers, which no level makes much smaller."""
    return _COMPRESS[encoding](data)


def _gzip(data: bytes) -> bytes:
    stream = zlib.compressobj(1, zlib.DEFLATED, 31)
    return stream.compress(data) + stream.flush()


def _zstd(data: bytes) -> bytes:
    import zstandard

    found: bytes = zstandard.ZstdCompressor(level=1).compress(data)
    return found


_COMPRESS: dict[str, Callable[[bytes], bytes]] = {"identity": lambda data: data, "gzip": _gzip, "zstd": _zstd}
