"""A client reduced to what the protocol asks of it: ask where the copy ends, go on from there."""

from __future__ import annotations

import time
from dataclasses import dataclass

import httpx

from ml_dash.remote.protocol import NDJSON, Head, commits_path, journal_path, segment_path

from .. import loopback
from .histories import PREFIX, History

DEADLINE_S = 120.0


@dataclass
class Client:
    """Ships `history`, to whichever of `urls` it is told; answers may be lost."""

    history: History
    urls: list[str]
    prefix: str = PREFIX
    timeout_s: float = 20.0

    def __post_init__(self) -> None:
        self._http = loopback.Client(timeout=self.timeout_s)
        self._turn = 0

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def head(self) -> Head | None:
        answer = self._http.get(f"{self._url()}{journal_path(self.history.journal)}", params={"prefix": self.prefix})
        if answer.status_code == 404:
            return None
        answer.raise_for_status()
        return Head.from_dict(answer.json())

    def send(self, segment: int, start: int, end: int, before: str | None) -> httpx.Response:
        return self._http.post(
            f"{self._url()}{commits_path(self.history.journal)}",
            params={"prefix": self.prefix, "segment": segment, "offset": start},
            headers={"Content-Type": NDJSON, **precondition(before)},
            content=self.history.data(segment, start, end),
        )

    def ship(self, lines: int = 3) -> None:
        """Until all of it has arrived, whatever fails meanwhile."""
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            try:
                head = self.head()
                if head is not None and self.is_end(head):
                    return
                segment, start = self.next_place(head)
                end = self.end_of_lines(segment, start, lines)
                self.send(segment, start, end, None if head is None else head.hash)
            except httpx.HTTPError:
                time.sleep(0.02)
        raise AssertionError(f"not shipped in {DEADLINE_S} s")

    def copy(self) -> dict[int, bytes]:
        """What the server has, by segment."""
        found = {}
        for segment in sorted(self.history.segments):
            url = f"{self._url()}{segment_path(self.history.journal, segment)}"
            answer = self._http.get(url, params={"prefix": self.prefix})
            if answer.status_code != 404:
                answer.raise_for_status()
                found[segment] = answer.content
        return found

    def _url(self) -> str:
        self._turn += 1
        return self.urls[self._turn % len(self.urls)]

    def is_end(self, head: Head) -> bool:
        at = self.history.at
        return at is not None and (head.segment, head.offset) == (at.segment, at.offset)

    def next_place(self, head: Head | None) -> tuple[int, int]:
        if head is None:
            return min(self.history.segments), 0
        if head.offset < len(self.history.segments[head.segment]):
            return head.segment, head.offset
        return min(each for each in self.history.segments if each > head.segment), 0

    def end_of_lines(self, segment: int, start: int, lines: int) -> int:
        data = self.history.segments[segment]
        end = start
        for _ in range(lines):
            found = data.find(b"\n", end)
            if found < 0:
                break
            end = found + 1
        return end


def precondition(before: str | None) -> dict[str, str]:
    return {"If-None-Match": "*"} if before is None else {"If-Match": f'"{before}"'}


def copy_at(url: str, history: History) -> dict[int, bytes]:
    with Client(history, [url]) as client:
        return client.copy()
