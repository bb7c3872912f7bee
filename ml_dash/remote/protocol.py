"""The protocol between a client and a server, version 1: paths, headers, limits, and what both call things.

Normative text: `spec/shipping.md` and `spec/openapi.yaml`.  Prefixes travel in the query, never in a path; tokens in
the header `Authorization`, never in an address.

Pure: no I/O.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

VERSION = 1

HEALTH = "/v1/health"
METRICS = "/v1/metrics"
USER = "/v1/user"
EXPERIMENTS = "/v1/experiments"
JOURNALS = "/v1/journals"
COMMITS = "/v1/commits"
EVENTS = "/v1/events"
STATE = "/v1/state"
COLUMNS = "/v1/columns"
BLOBS = "/v1/blobs"
DEVICE_CODE = "/v1/device/code"
DEVICE_TOKEN = "/v1/device/token"
TOKEN_REVOKE = "/v1/token/revoke"
DEVICE_PAGE = "/device"
WELCOME_PAGE = "/"

JSON = "application/json"
NDJSON = "application/x-ndjson"
PROBLEM = "application/problem+json"
EVENT_STREAM = "text/event-stream"
BYTES = "application/octet-stream"
FORM = "application/x-www-form-urlencoded"
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"

CONTENT_ENCODINGS = ("identity", "gzip", "zstd")

BATCH_BYTES = 4 * 1024 * 1024
"""What a client sends at a time at most, before compression, unless one line is longer."""
BODY_BYTES_MAX = 128 * 1024 * 1024
"""Of any body, as it travels and expanded; so also of one line of a journal."""
JSON_BODY_BYTES_MAX = 1024 * 1024
"""Of a body of JSON or of a form."""
PART_BYTES = 8 * 1024 * 1024
"""Every part of a blob but the last one has so many bytes, and begins at a multiple of it."""
BLOB_BYTES_MAX = 10 * 1024 * 1024 * 1024 * 1024
HEADER_TIMEOUT_S = 10.0
BODY_TIMEOUT_S = 60.0
"""All of a body has to come in this time, and a second more for each 64 KiB of it."""
KEEP_ALIVE_S = 15.0
"""An event stream says something at least so often."""
PAGE_ITEMS = 100
PAGE_ITEMS_MAX = 1000
COMMITS_MAX = 10_000
"""Of one answer to `GET /v1/commits`."""

SEGMENT_MAX = 99_999_999
OFFSET_MAX = 999_999_999_999
SEQ_MAX = 10**18 - 1
TIME_US_MAX = 250_000_000_000_000_000
"""Of either sign: some eight thousand years, as far as the calendars of computers go."""

SHA256 = re.compile(r"[0-9a-f]{64}")
JOURNAL_ID = re.compile(r"[0-9a-z]{1,64}")
OWNER = re.compile(r"[^\x00-\x1f\x7f-\x9f/\\]{1,255}")
NUMBER = re.compile(r"0|[1-9][0-9]{0,17}")

PROBLEM_TYPE = "https://ml-dash.dev/problems/"
PROBLEMS = {
    "invalid-request": "The request is not as the protocol says",
    "invalid-prefix": "This is no prefix",
    "token-in-address": "A token in an address would stand in logs",
    "not-authenticated": "A token is needed",
    "invalid-token": "The token is not accepted",
    "not-allowed": "The token does not allow this",
    "wrong-host": "The server does not answer to this name",
    "cross-site": "Another site's page sent this",
    "no-accounts": "Nobody can log in here",
    "not-found": "There is nothing at this address",
    "unknown-experiment": "There is no such experiment",
    "unknown-journal": "There is no such journal",
    "unknown-segment": "The journal has no such segment",
    "unknown-metric": "The experiment has no such metric",
    "unknown-blob": "There is no such content",
    "method-not-allowed": "This address takes other methods",
    "slow-body": "The body came too slowly",
    "stale": "The journal ends elsewhere; go on from there",
    "diverged": "The journal goes on differently there",
    "several-journals": "The experiment has several journals; say which",
    "incomplete-blob": "Parts of the content are missing",
    "precondition-required": "Say where the journal ends",
    "body-too-large": "The body is too large",
    "unsupported-media-type": "The body is of a type or encoding that is not taken here",
    "range-not-satisfiable": "The range lies outside of the content",
    "invalid-chain": "The commits do not verify",
    "invalid-redaction": "The declarations do not verify",
    "wrong-hash": "The content does not have this hash",
    "out-of-range": "The moment lies outside of the experiment's history",
    "read-only": "This server changes nothing",
    "too-many-requests": "Too many requests",
    "damaged": "What is stored there does not verify",
    "internal": "The server failed",
    "unavailable": "The store behind the server does not answer",
}
"""What can be wrong, by name: the last part of `type`, and its `title`."""


@dataclass(frozen=True, slots=True)
class Head:
    """Where a server's copy of a journal ends: byte `offset` of segment `segment`, behind a line that states `hash`.

    `next_seq` is the number of the next event, `time_us` the wall clock of the last commit, microseconds since 1970.
    `redactions` counts the redaction declarations stored: bytes before the end may have been replaced when it grows.
    """

    journal: str
    segment: int
    offset: int
    next_seq: int
    hash: str
    time_us: int
    redactions: int = 0

    @property
    def etag(self) -> str:
        return f'"{self.hash}"'

    def as_dict(self) -> dict[str, Any]:
        return {
            "journal": self.journal,
            "segment": self.segment,
            "offset": self.offset,
            "next_seq": self.next_seq,
            "hash": self.hash,
            "time": self.time_us,
            "redactions": self.redactions,
        }

    @classmethod
    def from_dict(cls, members: Mapping[str, Any]) -> Head:
        """Raises ValueError where it is none."""
        try:
            head = cls(
                members["journal"],
                members["segment"],
                members["offset"],
                members["next_seq"],
                members["hash"],
                members["time"],
                members.get("redactions", 0),
            )
            numbers = (head.segment, head.offset, head.next_seq, head.time_us, head.redactions)
            is_sound = (
                all(type(each) is int for each in numbers)
                and JOURNAL_ID.fullmatch(head.journal) is not None
                and SHA256.fullmatch(head.hash) is not None
                and 0 < head.segment <= SEGMENT_MAX
                and 0 < head.offset <= OFFSET_MAX
                and 0 < head.next_seq <= SEQ_MAX + 1
                and abs(head.time_us) <= TIME_US_MAX
                and head.redactions >= 0
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"no head of a journal: {dict(members)!r:.200}") from error
        if not is_sound:
            raise ValueError(f"no head of a journal: {dict(members)!r:.200}")
        return head


def journal_path(journal: str) -> str:
    return f"{JOURNALS}/{journal}"


def commits_path(journal: str) -> str:
    return f"{JOURNALS}/{journal}/commits"


def segment_path(journal: str, segment: int) -> str:
    return f"{JOURNALS}/{journal}/segments/{segment}"


def redactions_path(journal: str) -> str:
    return f"{JOURNALS}/{journal}/redactions"


def blob_path(owner: str, sha256: str) -> str:
    return f"{BLOBS}/{owner}/{sha256}"


def parts_path(owner: str, sha256: str) -> str:
    return f"{BLOBS}/{owner}/{sha256}/parts"


def part_path(owner: str, sha256: str, offset: int) -> str:
    return f"{BLOBS}/{owner}/{sha256}/parts/{offset}"


def complete_path(owner: str, sha256: str) -> str:
    return f"{BLOBS}/{owner}/{sha256}/complete"
