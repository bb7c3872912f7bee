"""What a client can ask a server for, as typed calls: the protocol's verbs (`protocol.py`, `spec/shipping.md`).

Every call raises NetworkError where there is no answer or a strange one, RefusedError where the server says what it
will not do, and AuthenticationError where it does not accept the token.  Nothing is tried twice here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ..errors import AuthenticationError, NetworkError, RefusedError
from ..visible import visible_line
from . import protocol
from .credentials import hint, token_for
from .protocol import Head
from .transport import TIMEOUT_S, Answer, Stream, Transport, Wire

USER_TIMEOUT_S = 5.0
JOINED_BYTES_PER_S_MIN = 16 * 1024 * 1024
FOLLOW_TIMEOUT_S = 3 * protocol.KEEP_ALIVE_S
_OCTETS = {"Content-Type": protocol.BYTES}
_AS_IT_IS = {"Accept-Encoding": "identity"}


class Verdict(str, Enum):
    """What became of a batch."""

    STORED = "stored"
    """The server has it: it stored it now, or had it already."""
    STALE = "stale"
    """The server's copy ends elsewhere, and the batch may belong behind that."""
    DIVERGED = "diverged"
    """The server's copy has other bytes there."""


@dataclass(frozen=True, slots=True)
class Appended:
    """`head` is where the server's copy ends now; None where it has none."""

    verdict: Verdict
    head: Head | None


@dataclass(frozen=True, slots=True)
class User:
    """Whom the server takes us for; `owner` is None where nobody needs a token (`is_open`)."""

    owner: str | None
    is_open: bool
    is_read_only: bool
    token_name: str | None
    token_expires: str | None


class Server:
    """The server at `url`, asked with `token`; used by any thread.  `wire` as in `Transport`."""

    def __init__(self, url: str, token: str | None, *, timeout_s: float = TIMEOUT_S, wire: Wire | None = None) -> None:
        self._transport = Transport(url, token, timeout_s=timeout_s, wire=wire)

    @classmethod
    def at(cls, url: str, *, timeout_s: float = TIMEOUT_S) -> Server:
        """With the token that this machine keeps for it, if there is one."""
        return cls(url, token_for(url), timeout_s=timeout_s)

    @property
    def url(self) -> str:
        return self._transport.url

    def __repr__(self) -> str:
        return f"<Server {self._transport!r}>"

    def close(self) -> None:
        self._transport.close()

    # -- who and what --------------------------------------------------------------------------------------------

    def health(self) -> dict[str, Any]:
        return self._object("GET", protocol.HEALTH)

    def user(self, timeout_s: float = USER_TIMEOUT_S) -> User:
        """Raises AuthenticationError where a token is needed and there is none, or it is not accepted."""
        try:
            members = self._object("GET", protocol.USER, timeout_s=timeout_s)
        except AuthenticationError as error:
            raise AuthenticationError(f"{error}{hint()}") from None
        token = members.get("token") or {}
        said = [members.get("owner"), *(self._members(token).get(name) for name in ("name", "expires"))]
        owner, name, expires = (None if each is None else visible_line(str(each)) for each in said)
        return User(owner, bool(members.get("open")), bool(members.get("read_only")), name, expires)

    def experiments(
        self,
        pattern: str = "**",
        status: str | None = None,
        tags: Sequence[str] = (),
        limit: int | None = None,
        cursor: str | None = None,
    ) -> tuple[list[dict[str, Any]], str | None]:
        """A page of summaries, newest first, and the cursor of the next one; None behind the last."""
        query = [("pattern", pattern), ("status", status), ("limit", limit), ("cursor", cursor)]
        found = self._object("GET", protocol.EXPERIMENTS, query=[*query, *(("tag", tag) for tag in tags)])
        page, following = self._list(found, "experiments"), found.get("next")
        if following is not None and (not isinstance(following, str) or following == cursor or not page):
            raise NetworkError(f"{self.url} does not answer as agreed: its list of experiments does not end")
        return [self._members(each) for each in page], following

    # -- journals ------------------------------------------------------------------------------------------------

    def journals(self, prefix: str) -> list[Head]:
        """The journals of a prefix, one an origin; none where there is no such experiment."""
        try:
            found = self._object("GET", protocol.JOURNALS, query={"prefix": prefix})
        except RefusedError as error:
            if _is_unknown(error):
                return []
            raise
        return [self._head(each) for each in self._list(found, "journals")]

    def head(self, prefix: str, journal: str) -> Head | None:
        """Where the server's copy of a journal ends; None where it has none."""
        try:
            return self._head(self._object("GET", protocol.journal_path(journal), query={"prefix": prefix}))
        except RefusedError as error:
            if _is_unknown(error):
                return None
            raise

    def append(
        self, prefix: str, journal: str, segment: int, offset: int, data: bytes, *, after: str | None, encoding: str
    ) -> Appended:
        """Whole lines of one segment, which begin at byte `offset` of it behind a line that states the hash `after`.

        `after` is None at the beginning of a journal.  `data` is compressed as `encoding` says.
        """
        headers = {
            "Content-Type": protocol.NDJSON,
            **({"Content-Encoding": encoding} if encoding != "identity" else {}),
        }
        headers.update({"If-None-Match": "*"} if after is None else {"If-Match": f'"{after}"'})
        answer = self._transport.request(
            "POST",
            protocol.commits_path(journal),
            query={"prefix": prefix, "segment": segment, "offset": offset},
            headers=headers,
            body=data,
            expected=(409,),
        )
        members = self._members(answer.json())
        if answer.status != 409:
            return Appended(Verdict.STORED, self._head(members))
        name = str(members.get("type", "")).rsplit("/", 1)[-1]
        if name not in (Verdict.STALE, Verdict.DIVERGED):
            detail = visible_line(str(members.get("detail"))[:400])
            raise RefusedError(f"{self.url} answers 409: {detail}", 409, visible_line(name[:80]), members)
        head = members.get("head")
        return Appended(Verdict(name), self._head(head) if head else None)

    def redact(self, prefix: str, journal: str, declarations: Sequence[Mapping[str, Any]]) -> None:
        """Tells which lines were redacted (payloads of `event.redacted`); lines that are stored are replaced."""
        body = {"redactions": list(declarations)}
        path = protocol.redactions_path(journal)
        self._members(self._transport.request("POST", path, query={"prefix": prefix}, json=body).json())

    def redactions(self, prefix: str, journal: str) -> list[dict[str, Any]]:
        """What is declared as redacted in a journal (payloads of `event.redacted`)."""
        found = self._object("GET", protocol.redactions_path(journal), query={"prefix": prefix})
        return [self._members(each) for each in self._list(found, "redactions")]

    @contextmanager
    def segment(
        self, prefix: str, journal: str, segment: int, start: int = 0, end: int | None = None
    ) -> Iterator[Iterator[bytes]]:
        """The bytes of a segment from `start` to, not including, `end`, in pieces."""
        wanted = {"Range": f"bytes={start}-{'' if end is None else end - 1}"} if start or end is not None else {}
        with self._transport.stream(
            "GET",
            protocol.segment_path(journal, segment),
            query={"prefix": prefix},
            headers={**_AS_IT_IS, **wanted},
        ) as stream:
            yield self._from(start, stream)

    # -- reading -------------------------------------------------------------------------------------------------

    def state(
        self,
        prefix: str,
        at: int | str | None = None,
        without: str | None = None,
        timeout_s: float | None = None,
    ) -> dict[str, Any]:
        """The plain state (`state/plain_state.py`) and what a summary has; `at` as in `ml_dash.load`.

        `without` a journal it is that of all others.
        """
        query = {"prefix": prefix, "at": at, "without": without}
        return self._object("GET", protocol.STATE, query=query, timeout_s=timeout_s)

    @contextmanager
    def events(self, prefix: str, after: int = 0, last_id: str | None = None) -> Iterator[Iterator[bytes]]:
        """The stream of server-sent events, in pieces as they come."""
        headers = {"Accept": protocol.EVENT_STREAM, **({"Last-Event-ID": last_id} if last_id is not None else {})}
        with self._transport.stream(
            "GET",
            protocol.EVENTS,
            query={"prefix": prefix, "after": after},
            headers=headers,
            timeout_s=FOLLOW_TIMEOUT_S,
        ) as stream:
            yield stream.chunks

    # -- content of saved files ----------------------------------------------------------------------------------

    def has_blob(self, owner: str, checksum: str) -> bool:
        answer = self._transport.request("HEAD", protocol.blob_path(owner, checksum), expected=(404,))
        # A proxy's page that asks for a login is a 200 as well, and says nothing about content.
        return answer.status == 200 and answer.headers.get("etag") == f'"{checksum}"'

    @contextmanager
    def blob(self, owner: str, checksum: str, start: int = 0) -> Iterator[Iterator[bytes]]:
        """The content from byte `start` on, in pieces.  Raises RefusedError, status 404, where it is not there."""
        wanted = {"Range": f"bytes={start}-"} if start else {}
        with self._transport.stream(
            "GET", protocol.blob_path(owner, checksum), headers={**_AS_IT_IS, **wanted}
        ) as stream:
            yield self._from(start, stream)

    def put_blob(self, owner: str, checksum: str, data: bytes) -> None:
        """All of the content; at most `protocol.PART_BYTES`."""
        answer = self._transport.request("PUT", protocol.blob_path(owner, checksum), headers=_OCTETS, body=data)
        self._check_kept(answer, len(data))

    def parts(self, owner: str, checksum: str) -> dict[int, int]:
        """The parts that have arrived: offset → bytes."""
        found = self._object("GET", protocol.parts_path(owner, checksum))
        try:
            return {int(offset): int(size) for offset, size in self._list(found, "parts")}
        except (TypeError, ValueError) as error:
            raise NetworkError(
                f"{self.url} does not answer as agreed: expected the offset and size of parts"
            ) from error

    def put_part(self, owner: str, checksum: str, offset: int, data: bytes) -> None:
        answer = self._transport.request("PUT", protocol.part_path(owner, checksum, offset), headers=_OCTETS, body=data)
        self._check_kept(answer, len(data))

    def complete_blob(self, owner: str, checksum: str, size_bytes: int) -> None:
        """All parts are there: the server verifies and joins them."""
        path = protocol.complete_path(owner, checksum)
        # It reads all of it once more.
        timeout_s = TIMEOUT_S + size_bytes / JOINED_BYTES_PER_S_MIN
        answer = self._transport.request("POST", path, query={"bytes": size_bytes}, timeout_s=timeout_s)
        self._check_kept(answer, size_bytes)

    def _check_kept(self, answer: Answer, size_bytes: int) -> None:
        """Raises NetworkError where it was not the server that answered."""
        if self._members(answer.json()).get("bytes") != size_bytes:
            raise NetworkError(f"{self.url} does not answer as agreed: expected how many bytes it has taken")

    # -- inside --------------------------------------------------------------------------------------------------

    def _object(self, method: str, path: str, *, query: Any = None, timeout_s: float | None = None) -> dict[str, Any]:
        return self._members(self._transport.request(method, path, query=query, timeout_s=timeout_s).json())

    def _list(self, members: dict[str, Any], name: str) -> list[Any]:
        found = members.get(name)
        if not isinstance(found, list):
            raise NetworkError(f"{self.url} does not answer as agreed: expected a list {name!r}")
        return found

    def _members(self, found: Any) -> dict[str, Any]:
        if not isinstance(found, dict):
            raise NetworkError(f"{self.url} does not answer as agreed: {found!r:.100} is no JSON object")
        return found

    def _head(self, members: Any) -> Head:
        try:
            return Head.from_dict(self._members(members))
        except ValueError as error:
            raise NetworkError(f"{self.url} does not answer as agreed: {error}") from error

    def _from(self, start: int, stream: Stream) -> Iterator[bytes]:
        """A server may answer a range with all there is.  Raises NetworkError where it was not the server."""
        if "etag" not in stream.headers:
            raise NetworkError(f"{self.url} does not answer as agreed: expected stored bytes")
        skipped = 0 if stream.status == 206 else start
        for chunk in stream.chunks:
            piece = chunk[skipped:]
            skipped = max(0, skipped - len(chunk))
            if piece:
                yield piece


def _is_unknown(error: RefusedError) -> bool:
    """Whether the server says that it has no such thing; a 404 of whatever else answers there says nothing of it."""
    return error.status == 404 and error.name.startswith("unknown-")
