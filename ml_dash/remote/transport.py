"""The one door to the network: HTTP requests to one server, with a token that goes nowhere else.

Promise P8 begins here: every request ends, well or with an error of ours, and none is repeated by itself.

 1. The token is sent in the header `Authorization` alone, over HTTPS, or over plain HTTP to this machine itself.
 2. A redirect is followed within the same scheme, host and port, and only by requests that change nothing.
 3. No proxy of the environment stands between us and this machine.
 4. Waiting for a connection, for each piece of an answer and for room to send is bounded; an answer that is read whole
    is bounded in size too.
 5. What goes wrong is an error of `errors.py`: no answer, or one that is not as agreed, is a NetworkError; a problem
    that the server states (RFC 9457) is a RefusedError with its name and members; 401 and 403 are AuthenticationError.
 6. No error, log line or `repr` shows the token, and none has anything of an answer in it that a terminal would obey.
 7. No answer is compressed: a few bytes of one could become any number of them in memory.

httpx is loaded by the first request.  A forked child opens connections of its own.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote, urlencode, urlsplit
from weakref import finalize

import orjson

from ..clock import now_us
from ..errors import AuthenticationError, ConfigurationError, NetworkError
from ..visible import visible_line
from .address import checked_url, is_loopback, is_private, origin_of
from .refusals import NO_SERVER_OF_OURS, refusal

if TYPE_CHECKING:
    import httpx

CONNECT_TIMEOUT_S = 5.0
TIMEOUT_S = 30.0
ANSWER_BYTES_MAX = 64 * 1024 * 1024
REDIRECTS_MAX = 3
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""RFC 6750, 2.1."""
Wire: TypeAlias = "httpx.BaseTransport"
"""What may take the place of the network."""
Query = Mapping[str, Any] | Sequence[tuple[str, Any]] | None


@dataclass(frozen=True, slots=True)
class Answer:
    """`headers` by lower-case names; `body` is all of it; `url` is the server's."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON.  Raises NetworkError where it is none."""
        try:
            return orjson.loads(self.body)
        except ValueError as error:
            raise NetworkError(f"{self.url} answers something that is no JSON{NO_SERVER_OF_OURS}") from error


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer whose body comes in pieces; `headers` by lower-case names."""

    status: int
    headers: Mapping[str, str]
    chunks: Iterator[bytes]


class Transport:
    """Requests to the server at `url`; used by any thread.

    `timeout_s` bounds each wait of a request.  `wire`, an `httpx.BaseTransport`, takes the place of the network in
    tests.  Raises ConfigurationError where `url` is no address, or where the token would travel unencrypted, and
    AuthenticationError where the token cannot be one.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
        wire: Wire | None = None,
    ) -> None:
        self.url = checked_url(url)
        if token is not None and not is_private(self.url):
            raise ConfigurationError(
                f"dash_url={self.url!r}: a token is not sent over plain HTTP to another machine, where anybody on the "
                "way could read it. Give an address that begins with https://"
            )
        if token is not None and not _TOKEN.fullmatch(token):
            raise AuthenticationError(
                f"the token for {self.url} has characters that no token has. Run `ml-dash login --dash-url "
                f"{self.url}`, or set the environment variable ML_DASH_TOKEN to all of the token and nothing else"
            )
        self._has_token = token is not None
        self._headers = {"User-Agent": "ml-dash", "Accept-Encoding": "identity"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        self._timeout_s = timeout_s
        self._wire = wire
        self._client: httpx.Client | None = None
        self._process = 0
        self._opening = Lock()

    def __repr__(self) -> str:
        return f"<Transport to {self.url}, {'with a' if self._has_token else 'without'} token>"

    def __reduce__(self) -> Any:
        raise TypeError("a Transport holds a token and cannot be pickled")

    # -- requests ------------------------------------------------------------------------------------------------

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Query = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | Iterator[bytes] | None = None,
        json: Any = None,
        form: Mapping[str, str] | None = None,
        expected: Collection[int] = (),
        timeout_s: float | None = None,
        answer_bytes_max: int = ANSWER_BYTES_MAX,
    ) -> Answer:
        """One request and its whole answer: 2xx, or a status that is `expected`.

        `path` begins with `/`; of `query`, members that are None are left out.  At most one of `body`, `json` and
        `form` is sent.  Raises NetworkError, RefusedError and AuthenticationError.
        """
        content, type_of_it = _content(body, json, form)
        sent = {**type_of_it, **(headers or {})}
        with self.stream(
            method, path, query=query, headers=sent, body=content, expected=expected, timeout_s=timeout_s
        ) as (stream):
            return Answer(self.url, stream.status, stream.headers, self._whole(stream, answer_bytes_max))

    @contextmanager
    def stream(
        self,
        method: str,
        path: str,
        *,
        query: Query = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | Iterator[bytes] | None = None,
        expected: Collection[int] = (),
        timeout_s: float | None = None,
    ) -> Iterator[Stream]:
        """As `request`, but the answer's body is read piece by piece inside the `with` block."""
        import httpx

        target = self._target(path, query)
        waits = httpx.Timeout(self._timeout_s if timeout_s is None else timeout_s)
        waits.connect = min(CONNECT_TIMEOUT_S, waits.read or CONNECT_TIMEOUT_S)
        client = self._connected()
        try:
            for _ in range(REDIRECTS_MAX + 1):
                with client.stream(
                    method, target, headers=dict(headers or {}), content=body, timeout=waits
                ) as response:
                    if response.is_redirect:
                        target = self._redirected(method, target, response)
                        continue
                    self._check_is_plain(response)
                    if not response.is_success and response.status_code not in expected:
                        raise self._refusal(response)
                    yield _stream_of(response)
                    return
            raise NetworkError(f"{self.url} redirects in circles")
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise NetworkError(f"{self.url} cannot be reached: {_reason(error)}") from None

    def close(self) -> None:
        """Ends the connections; the next request opens new ones."""
        with self._opening:
            client, self._client = self._client, None
        if client is not None and self._process == os.getpid():
            client.close()

    # -- inside --------------------------------------------------------------------------------------------------

    def _connected(self) -> httpx.Client:
        if self._process != os.getpid():
            # A lock that another thread held at the fork would never be released in this child.
            self._opening = Lock()
            self._client, self._process = None, os.getpid()
        with self._opening:
            if self._client is None:
                self._client = self._new_client()
            return self._client

    def _new_client(self) -> httpx.Client:
        import httpx

        is_here = is_loopback(self.url)
        client = httpx.Client(
            headers=self._headers,
            transport=self._wire,
            verify=_context(self.url),
            trust_env=not is_here,
            follow_redirects=False,
        )
        # Whoever forgets to close it leaves no open connection behind; but runs that are still open when the process
        # ends are shipped first.
        finalize(self, _close_in, os.getpid(), client).atexit = False
        return client

    def _target(self, path: str, query: Query) -> str:
        pairs = query.items() if isinstance(query, Mapping) else query or ()
        given = [(name, _text(value)) for name, value in pairs if value is not None]
        return f"{self.url}{quote(path, safe='/:')}{'?' + urlencode(given, quote_via=quote) if given else ''}"

    def _redirected(self, method: str, target: str, response: httpx.Response) -> str:
        """Rule 2."""
        next_request = response.next_request
        there = str(next_request.url) if next_request is not None else ""
        if method not in ("GET", "HEAD") or origin_of(there) != origin_of(target):
            where = visible_line(origin_of(there)[:200]) or "nowhere"
            raise NetworkError(
                f"{self.url} redirects {method} to {where}; neither a token nor a journal "
                "follows it there. If that is the right server, give its address as dash_url"
            )
        return there

    def _check_is_plain(self, response: httpx.Response) -> None:
        """Rule 7."""
        encoding = response.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            raise NetworkError(f"{self.url} answers compressed ({encoding!r:.40}), which it was asked not to do")

    def _whole(self, stream: Stream, size_max: int) -> bytes:
        pieces, size = [], 0
        for piece in stream.chunks:
            pieces.append(piece)
            size += len(piece)
            if size > size_max:
                raise NetworkError(f"{self.url} answers with more than {size_max} bytes, which no answer here has")
        return b"".join(pieces)

    def _refusal(self, response: httpx.Response) -> NetworkError | AuthenticationError:
        """Rule 5."""
        body = self._whole(_stream_of(response), ANSWER_BYTES_MAX)
        status, reason, headers = response.status_code, response.reason_phrase, response.headers
        return refusal(self.url, status, reason, headers, body, has_token=self._has_token, now_us=now_us())


def _close_in(process: int, client: httpx.Client) -> None:
    """A forked child has copies of its parent's connections, which are not its own to end."""
    if process == os.getpid():
        client.close()


def _context(url: str) -> Any:
    """What certificates are checked against.  Loading them takes longer than all else, and plain HTTP needs none.

    `SSL_CERT_FILE` and `SSL_CERT_DIR` count on the way to this machine too, where the environment's proxies do not.
    """
    import ssl

    import httpx

    is_plain = urlsplit(url).scheme == "http"
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if is_plain else httpx.create_ssl_context(trust_env=True)


# --- requests and answers -----------------------------------------------------------------------------------


def _content(
    body: bytes | Iterator[bytes] | None, json: Any, form: Mapping[str, str] | None
) -> tuple[bytes | Iterator[bytes] | None, dict[str, str]]:
    if json is not None:
        return orjson.dumps(json), {"Content-Type": "application/json"}
    if form is not None:
        return urlencode(form).encode("ascii"), {"Content-Type": "application/x-www-form-urlencoded"}
    return body, {}


def _text(value: Any) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _stream_of(response: httpx.Response) -> Stream:
    return Stream(response.status_code, response.headers, response.iter_bytes())


_REASONS: tuple[tuple[str, str], ...] = (
    ("ConnectTimeout", "no connection in time"),
    ("ReadTimeout", "no answer in time"),
    ("WriteTimeout", "it takes nothing"),
    ("PoolTimeout", "too many requests at once"),
)


def _reason(error: Exception) -> str:
    """In words; httpx's own messages are often empty."""
    if "WRONG_VERSION_NUMBER" in str(error):
        return "it does not speak HTTPS. Does its address begin with http://?"
    return dict(_REASONS).get(type(error).__name__) or visible_line(str(error)) or type(error).__name__
