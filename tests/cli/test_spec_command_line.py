"""spec/command-line.md names every command, argument and option that there is, and no other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from ml_dash.cli.commands import group
from ml_dash.cli.list_columns import FACTS, STATISTICS

PAGE = (Path(__file__).parents[2] / "spec" / "command-line.md").read_text()
COMMON = {"--dash-root", "--dash-url", "--api-url", "--json"}
CONTEXT = click.Context(group, info_name="ml-dash")


def walk(command: click.Command, name: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, by its whole name."""
    if not isinstance(command, click.Group):
        yield name, command
        return
    for word in command.list_commands(CONTEXT):
        found = command.get_command(CONTEXT, word)
        assert found is not None
        yield from walk(found, f"{name} {word}".strip())


COMMANDS = dict(walk(group))


def options_of(command: click.Command) -> set[str]:
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    return {name for option in options for name in (*option.opts, *option.secondary_opts)}


def usage_of(name: str, command: click.Command) -> str:
    arguments = [each.make_metavar(CONTEXT) for each in command.params if isinstance(each, click.Argument)]
    return " ".join([name, *arguments])


def rows() -> dict[str, tuple[bool, set[str]]]:
    """Of the table of commands: usage, whether it reads, the options that are named."""
    table = PAGE.partition("| command | reads |")[2].partition("\n\n")[0]
    found = {}
    for line in table.splitlines()[2:]:
        usage, reads, options, text = (cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1])
        assert text
        found[usage.strip("`").replace("\\|", "|")] = reads == "yes", set(re.findall(r"`(-[^`]+)`", options))
    return found


def test_the_table_has_every_command_with_its_arguments() -> None:
    assert list(rows()) == [usage_of(name, command) for name, command in COMMANDS.items()]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_has_every_option(name: str) -> None:
    reads, named = rows()[usage_of(name, COMMANDS[name])]
    assert named | (COMMON if reads else set()) == options_of(COMMANDS[name])


@pytest.mark.parametrize("name", COMMANDS)
def test_help_says_what_it_does_and_gives_an_example(name: str) -> None:
    text = COMMANDS[name].get_help(click.Context(COMMANDS[name], info_name=f"ml-dash {name}"))
    assert f"Usage: ml-dash {name}" in text
    assert "Example: " in text
    assert f"ml-dash {name}" in text.partition("Example: ")[2].replace("\n", " ")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_is_for(name: str) -> None:
    # A choice between words that say it themselves needs no more words.
    options = [each for each in COMMANDS[name].params if isinstance(each, click.Option)]
    assert [each.name for each in options if not each.help and not isinstance(each.type, click.Choice)] == []


def test_every_command_that_answers_has_json() -> None:
    # These two go on talking for as long as they run.
    assert {name for name, command in COMMANDS.items() if "--json" not in options_of(command)} == {"demo", "serve"}


def test_columns_and_statistics_of_list_are_named() -> None:
    text = PAGE.partition("## list")[2].partition("## log")[0]
    assert [name for name in FACTS if f"`{name}`" not in text] == []
    assert [name for name in STATISTICS if f"`:{name}`" not in text] == []
