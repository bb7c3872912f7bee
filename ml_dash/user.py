"""`userinfo`: whom the server takes this machine for."""

from __future__ import annotations

from contextlib import closing
from threading import Lock

from .errors import MlDashError
from .run import RUN


class UserInfo:
    """The person behind the token for `RUN.api_url`, asked of the server the first time that something of it is read.

        from ml_dash import userinfo

        if userinfo.username:
            prefix = f"{userinfo.username}/my-project/baseline"

    Every member is None where there is no token, the server does not accept it, or cannot be reached within seconds:
    nothing here raises for that.  `refresh()` asks again, as after a login.  A server of ours knows an owner's name and
    nothing else of a person, so the members that the package we replace has besides are None.
    """

    def __init__(self) -> None:
        self._asking = Lock()
        self._server: str | None = None
        self._owner: str | None = None

    @property
    def username(self) -> str | None:
        """The owner, with whose name the prefixes begin that may be written to."""
        with self._asking:
            if self._server != RUN.api_url:
                self._owner = _owner_at(RUN.api_url)
                self._server = RUN.api_url
            return self._owner

    @property
    def name(self) -> str | None:
        """The owner too: the server knows no other name."""
        return self.username

    @property
    def id(self) -> str | None:
        """The owner too: names are what the server knows people by."""
        return self.username

    email = given_name = family_name = picture = None

    def refresh(self) -> UserInfo:
        """Forgets what the server said, so that it is asked again."""
        with self._asking:
            self._server = None
        return self

    def __bool__(self) -> bool:
        return self.username is not None

    def __repr__(self) -> str:
        return f"UserInfo({self.username or 'not authenticated'})"


def _owner_at(url: str) -> str | None:
    from .remote import credentials
    from .remote.server import Server

    try:
        token = credentials.token_for(url)
        if token is None:
            return None
        with closing(Server(url, token)) as server:
            return server.user().owner
    except MlDashError:
        return None


userinfo = UserInfo()
