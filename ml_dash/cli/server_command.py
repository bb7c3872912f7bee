"""`ml-dash server`: who may use the server on a store.  Needs the store, not a server that runs."""

from __future__ import annotations

import asyncio
import re
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import click

from ..clock import from_datetime, now_us, to_datetime
from ..errors import ConfigurationError, StorageError
from .commands import Command
from .output import Output
from .store_options import store_option
from .wording import local_time

if TYPE_CHECKING:
    from ..server.accounts import Accounts
    from ..server.tokens import Token, Tokens

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 31_536_000}
_UNIT = "s(?:ec(?:ond)?s?)?|m(?:in(?:ute)?s?)?|h(?:ours?)?|d(?:ays?)?|w(?:eeks?)?|y(?:ears?)?"


@dataclass(frozen=True, slots=True)
class People:
    """Accounts and tokens of the store that a command was given."""

    accounts: Accounts
    tokens: Tokens

    async def check_spelling(self, owner: str) -> None:
        """Raises ConfigurationError where somebody is known whose name some stores could not tell from this one."""
        from ..server.accounts import check_spelling

        known = {account.owner for account in await self.accounts.all()}
        check_spelling(owner, known | {token.owner for token in await self.tokens.all()})


def changes_people(command: Command) -> Command:
    """Adds `--store` and `--json`; the command gets `people`, `run` and `output`."""

    def with_people(*, store: str, as_json: bool, **arguments: Any) -> Any:
        from ..recording.extras import optional

        for library in ("obstore", "argon2"):
            optional(library, "ml_dash[server]", "Accounts and tokens")
        from ..server.accounts import Accounts
        from ..server.store import Store, StoreError
        from ..server.tokens import Tokens

        async def work() -> None:
            opened = Store.open(store)
            await command(people=People(Accounts(opened), Tokens(opened)), output=Output(as_json), **arguments)

        try:
            asyncio.run(work())
        except StoreError as error:
            raise StorageError(f"store {store!r:.200} does not answer: {error}") from error

    with_people.__doc__ = command.__doc__
    with_people.__name__ = command.__name__
    with_people.__click_params__ = getattr(command, "__click_params__", [])  # type: ignore[attr-defined]
    wrapped: Any = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")(with_people)
    return store_option(wrapped)  # type: ignore[no-any-return]


@click.group("server")
def command() -> None:
    """Say who may use the server on a store: accounts for people, tokens for programs.

    A store without any of them is served on this machine alone, to everybody on it.

    Example: ml-dash server token create --owner alice --read-only --expires 30d
    """


# --- accounts -----------------------------------------------------------------------------------------------


@command.group("user")
def user() -> None:
    """Accounts, with which people log in: `ml-dash login` asks for owner and password on a page of the server.

    Example: ml-dash server user add alice
    """


@user.command("add")
@click.argument("owner")
@click.option("--password-stdin", is_flag=True, help="Read the password from stdin instead of asking for it.")
@click.option("--replace", is_flag=True, help="Give an account that exists a new password.")
@changes_people
async def add(owner: str, password_stdin: bool, replace: bool, people: People, output: Output) -> None:
    """Add an account.  OWNER is the first part of every prefix that it may write to.

    Example: ml-dash server user add alice --store s3://team/ml-dash
    """
    await people.check_spelling(owner)
    password = sys.stdin.readline().rstrip("\r\n") if password_stdin else _ask_password(owner)
    await people.accounts.add(owner, password, replace=replace)
    if output.as_json:
        output.json({"owner": owner})
    else:
        output.line(f"{owner} can log in")


@user.command("list")
@changes_people
async def list_users(people: People, output: Output) -> None:
    """List the accounts.

    Example: ml-dash server user list
    """
    accounts = await people.accounts.all()
    if output.as_json:
        output.json([{"owner": each.owner, "changed": to_datetime(each.time_us)} for each in accounts])
    else:
        rows = [(each.owner, local_time(to_datetime(each.time_us))) for each in accounts]
        output.table(["owner", "changed"], rows)


@user.command("remove")
@click.argument("owner")
@changes_people
async def remove(owner: str, people: People, output: Output) -> None:
    """End an account and all tokens of its owner.  What was recorded stays.

    Example: ml-dash server user remove alice
    """
    account = await people.accounts.find(owner)
    tokens = await people.tokens.all(owner)
    if account is None and not tokens:
        raise ConfigurationError(f"{owner!r} has neither an account nor a token on this store")
    if account is not None and account.password is not None:
        await people.accounts.remove(owner)
    # Read again: a login may have got its token while the account was ending.
    ended = [await people.tokens.revoke(each) for each in await people.tokens.all(owner)]
    if output.as_json:
        output.json({"owner": owner, "tokens_revoked": sum(ended)})
    else:
        output.line(f"{owner} can no longer log in; tokens revoked: {sum(ended)}")


def _ask_password(owner: str) -> str:
    if not sys.stdin.isatty():
        raise ConfigurationError("nobody is there to type a password. Give --password-stdin, and the password on stdin")
    return str(click.prompt(f"password for {owner}", hide_input=True, confirmation_prompt=True, err=True))


# --- tokens -------------------------------------------------------------------------------------------------


@command.group("token")
def token() -> None:
    """Tokens, with which programs speak for an owner, as `ML_DASH_TOKEN` or by `ml-dash login --with-token`.

    Example: ml-dash server token create --owner alice --name ci
    """


class Lifetime(click.ParamType[Any]):
    """`90m 12h 30d 4w 1y`, in words, in seconds, a date or `never`, as the moment at which something ends; or None."""

    name = "TIME"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> int | None:
        if isinstance(value, int):
            return value
        if value.strip() == "never":
            return None
        found = re.fullmatch(rf"(\d{{1,6}}) ?({_UNIT})?", value.strip())
        try:
            if found is not None:
                moment = to_datetime(now_us()) + timedelta(seconds=int(found[1]) * _SECONDS[(found[2] or "s")[0]])
            else:
                moment = datetime.fromisoformat(value.replace("Z", "+00:00")).astimezone(timezone.utc)
        except (ValueError, OverflowError):
            self.fail(
                f"{value!r} is neither a time such as 12h, 30d, 1y nor a date such as 2027-01-31", parameter, context
            )
        if moment <= to_datetime(now_us()):
            self.fail(f"{value!r} is over already", parameter, context)
        return from_datetime(moment)


@token.command("create")
@click.option("--owner", required=True, help="The first part of every prefix that it is good for.")
@click.option("--name", default="", help="What it is for.")
@click.option("--read-only", is_flag=True, help="It reads, and changes nothing.")
@click.option("--expires", "expires_us", type=Lifetime(), help="Such as 90s, 12h, 30d, 1y or a date; by default never.")
@changes_people
async def create(
    owner: str, name: str, read_only: bool, expires_us: int | None, people: People, output: Output
) -> None:
    """Create a token and print it, this once, as the last word.

    Example: export ML_DASH_TOKEN=$(ml-dash server token create --owner alice --expires 30d | awk '{print $NF}')
    """
    await people.check_spelling(owner)
    text, made = await people.tokens.create(owner, name, read_only=read_only, expires_us=expires_us)
    if output.as_json:
        output.json({**_json(made), "token": text})
        return
    until = f" until {local_time(to_datetime(expires_us))}" if expires_us is not None else ""
    output.line(
        f"token {made.id} for {owner}, which {'reads only' if read_only else 'reads and writes'}{until}: {text}"
    )


@token.command("list")
@click.option("--owner", help="Only those of this owner.")
@changes_people
async def list_tokens(owner: str | None, people: People, output: Output) -> None:
    """List the tokens, oldest first: what each is for and whether it is good, never the token itself.

    Example: ml-dash server token list --owner alice
    """
    tokens = await people.tokens.all(owner)
    if output.as_json:
        output.json([_json(each) for each in tokens])
        return
    rows = [
        (
            each.id,
            each.owner,
            each.name,
            _standing(each),
            "read" if each.read_only else "read, write",
            local_time(to_datetime(each.expires_us)) if each.expires_us is not None else "never",
            local_time(to_datetime(each.created_us)),
        )
        for each in tokens
    ]
    output.table(["token", "owner", "name", "standing", "may", "expires", "created"], rows)


@token.command("revoke")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@changes_people
async def revoke(ids: tuple[str, ...], people: People, output: Output) -> None:
    """End tokens, named as `ml-dash server token list` names them.  Servers notice within a few seconds.

    Example: ml-dash server token revoke 3f1c09a2b7d4
    """
    known = await people.tokens.all()
    chosen = [_named(each, known) for each in ids]
    was_good = [await people.tokens.revoke(each) for each in chosen]
    if output.as_json:
        output.json([{"id": each.id, "owner": each.owner, "revoked": True} for each in chosen])
        return
    for each, ended_now in zip(chosen, was_good, strict=True):
        output.line(f"token {each.id} of {each.owner} {'is revoked' if ended_now else 'had been revoked already'}")


def _named(name: str, known: list[Token]) -> Token:
    found = [each for each in known if len(name) >= 6 and each.hash.startswith(name)]
    if len(found) != 1:
        # Not repeated: it may be the token itself.
        raise ConfigurationError("there is no such token. Name it by its first column in `ml-dash server token list`")
    return found[0]


def _standing(token: Token) -> str:
    return "revoked" if token.is_revoked else "expired" if token.is_expired() else "good"


def _json(token: Token) -> dict[str, Any]:
    return {
        "id": token.id,
        "owner": token.owner,
        "name": token.name,
        "read_only": token.read_only,
        "created": to_datetime(token.created_us),
        "expires": to_datetime(token.expires_us) if token.expires_us is not None else None,
        "standing": _standing(token),
    }
