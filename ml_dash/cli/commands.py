"""The group of commands, and what they share: where experiments are, `--json`, and how a command ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from errno import EDQUOT, EFBIG, EIO, ENOSPC
from importlib import import_module
from typing import Any, NoReturn, TypeVar

import click

from .. import __version__
from ..errors import ConfigurationError, MlDashError
from ..visible import visible
from .completing import complete_prefixes
from .output import Output

PROGRAM = "ml-dash"
COMPLETE_VARIABLE = "_ML_DASH_COMPLETE"
"""By this the shell asks what to offer."""
SHORT_HELP_MAX = 120
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
NEAREST_MAX = 3
COMMON_OPTIONS = {"--dash-root": True, "--dash-url": True, "--api-url": True, "--json": False}
"""Whether they have a value."""

COMMANDS = {
    "archive": ".archive",
    "completion": ".completion",
    "demo": ".demo",
    "diff": ".diff",
    "doctor": ".doctor",
    "events": ".events",
    "export": ".export",
    "import": ".import_command",
    "list": ".list_command",
    "log": ".log",
    "login": ".login",
    "logout": ".logout",
    "profile": ".profile",
    "pull": ".pull",
    "recover": ".recover",
    "redact": ".redact",
    "serve": ".serve",
    "server": ".server_command",
    "ship": ".ship",
    "show": ".show",
    "tail": ".tail",
    "verify": ".verify",
    "version": ".version",
    "whoami": ".whoami",
}

SECTIONS = {
    "Look at experiments": ("list", "show", "log", "diff", "events", "tail"),
    "Look after them": ("verify", "recover", "archive", "redact", "export", "import"),
    "Servers": ("login", "logout", "whoami", "profile", "ship", "pull", "serve", "server"),
    "This machine": ("doctor", "demo", "completion", "version"),
}
"""The order of help."""

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Source:
    """Where a command reads: the arguments that `ml_dash.load` and its like take."""

    dash_root: str | None
    dash_url: str | None

    @property
    def arguments(self) -> dict[str, Any]:
        given = {"dash_root": self.dash_root, "dash_url": self.dash_url}
        return {name: value for name, value in given.items() if value is not None}


class LazyGroup(click.Group):
    """Loads a command's file when it is called: `ml-dash version` must not pay for tables and progress bars."""

    def list_commands(self, context: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = import_module(COMMANDS[name], __package__).command
        return complete_prefixes(command)

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """What every command has may also stand before its name: `ml-dash --dash-root runs list`."""
        return super().parse_args(context, _behind_the_command(args))

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-") and not context.resilient_parsing:
            nearest = get_close_matches(args[0], COMMANDS, NEAREST_MAX)
            hint = f"Did you mean {' or '.join(nearest)}?" if nearest else f"There are {', '.join(sorted(COMMANDS))}."
            context.fail(f"No such command {args[0]!r}. {hint}")
        return super().resolve_command(context, args)

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except BrokenPipeError:
            # Click would end with 1, which under `set -o pipefail` fails a pipeline that has all it wants.
            return _without_reader()

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """By what people want to do, and not cut off as click does it."""
        listed = {name for names in SECTIONS.values() for name in names}
        others = {"More": tuple(name for name in self.list_commands(context) if name not in listed)}
        for title, names in (SECTIONS | others).items():
            commands = [(name, self.get_command(context, name)) for name in names]
            rows = [(name, command.get_short_help_str(SHORT_HELP_MAX)) for name, command in commands if command]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name=PROGRAM)
def group() -> None:
    """Records machine-learning experiments as an append-only journal, and reads them back.

    An experiment is named by its prefix, owner/project[/folder…]/name.
    """


def reads_experiments(command: Command) -> Command:
    """Adds `--dash-root`, `--dash-url` and `--json`; the command gets `source` and `output`."""

    def with_source(*, dash_root: str | None, dash_url: str | None, as_json: bool, **arguments: Any) -> Any:
        return command(source=Source(dash_root, dash_url), output=Output(as_json), **arguments)

    with_source.__doc__ = command.__doc__
    with_source.__name__ = command.__name__
    with_source.__click_params__ = getattr(command, "__click_params__", [])  # type: ignore[attr-defined]
    options = (
        click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs."),
        click.option("--dash-url", "--api-url", metavar="URL", help="Read from this server."),
        click.option("--dash-root", metavar="FOLDER", help="Read from this folder. [$ML_DASH_ROOT, else .dash]"),
    )
    wrapped: Any = with_source
    for option in options:
        wrapped = option(wrapped)
    return wrapped  # type: ignore[no-any-return]


def run() -> NoReturn:
    """Runs the command that stands in `sys.argv` and exits with its code."""
    _leave(answer(sys.argv[1:]))


def answer(arguments: list[str]) -> int:
    """Runs a command, says on stderr what it ends with where it fails, and gives its exit code."""
    try:
        code = group.main(arguments, prog_name=PROGRAM, complete_var=COMPLETE_VARIABLE, standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        code = EXIT_INTERRUPTED
    except BrokenPipeError:
        code = _without_reader()
    except MlDashError as error:
        print(f"ml-dash: {visible(str(error))}", file=sys.stderr)
        code = EXIT_USAGE if isinstance(error, ConfigurationError) else EXIT_FAILED
    except OSError as error:
        code = _without_room(error)
    return code if isinstance(code, int) else 0


def _without_reader() -> int:
    """The exit code where the reader (`| head`) has what it wants; without this, Python complains once more at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _without_room(error: OSError) -> int:
    """The exit code where what is printed goes to a disk that is full, or fails; any other error is raised again."""
    # Errors of other files name them, or are ours.
    if error.filename is not None or error.errno not in (ENOSPC, EDQUOT, EFBIG, EIO):
        raise error
    print(f"ml-dash: what is printed could not be written to where it goes: {error}. It is cut off", file=sys.stderr)
    _without_reader()
    return EXIT_FAILED


def _behind_the_command(args: list[str]) -> list[str]:
    common: list[str] = []
    at = 0
    while at < len(args) and args[at].partition("=")[0] in COMMON_OPTIONS:
        end = at + (2 if COMMON_OPTIONS[args[at].partition("=")[0]] and "=" not in args[at] else 1)
        common += args[at:end]
        at = end
    if not common or at >= len(args) or args[at].startswith("-"):
        return args
    return [args[at], *common, *args[at + 1 :]]


def _leave(code: int) -> NoReturn:
    """Threads of obstore may touch Python while it is being taken down, which aborts a process that had done all its
    work, now and then (PyO3/pyo3-async-runtimes#40): where they run, nothing is taken down."""
    if "obstore" in sys.modules:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
