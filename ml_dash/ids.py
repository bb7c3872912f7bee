"""The only source of randomness: names that no two processes share, and secrets that nobody guesses.

An identifier is the time in microseconds and 40 random bits, both in lower-case base 32, so that identifiers
sort by birth and two processes started in the same microsecond still differ.
"""

from __future__ import annotations

import os

from .clock import now_us

_SNOWFLAKE_EPOCH_MS = 1_704_067_200_000  # 2024-01-01T00:00Z
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def _base32(number: int, digits: int) -> str:
    return "".join(_ALPHABET[number >> 5 * place & 31] for place in reversed(range(digits)))


def new_id() -> str:
    """18 characters of `[0-9a-z]`; sorts by the time it was made."""
    return _base32(now_us(), 10) + _base32(int.from_bytes(os.urandom(5), "big"), 8)


def new_snowflake() -> int:
    """A number of 18 digits (until 2031): milliseconds since 2024 and 22 random bits, so it sorts by birth."""
    return now_us() // 1000 - _SNOWFLAKE_EPOCH_MS << 22 | int.from_bytes(os.urandom(3), "big") >> 2


def new_secret() -> bytes:
    """256 bits that nobody guesses, from the operating system's generator."""
    return os.urandom(32)


def new_word(letters: str, length: int) -> str:
    """So many of these letters, each as likely as every other; at most 256 letters."""
    # A byte at or above the largest multiple would make the first letters likelier than the last.
    bound = 256 - 256 % len(letters)
    word = ""
    while len(word) < length:
        word += "".join(letters[byte % len(letters)] for byte in os.urandom(length) if byte < bound)
    return word[:length]


def chance() -> float:
    """From 0 up to, not including, 1; each value as likely as every other."""
    return int.from_bytes(os.urandom(4), "big") / 2**32
