"""The look of the commands: consistent help texts, plain text without a terminal, any terminal width."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import click
import pytest
from kedro.framework.cli.project import run as kedro_run

from kedro_databricks_hybrid.cli import databricks
from kedro_databricks_hybrid.cli.options import ENV_HELP
from tests.e2e.commands import Shell
from tests.e2e.terminal import type_answers
from tests.project_fixtures import make_project

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.processes

NARROW, WIDE = 60, 200


def every_command() -> Iterator[tuple[str, click.Command]]:
    """Yield all commands and groups, by the words that call them."""

    def walk(words: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
        yield words, command
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                found = command.get_command(context, name)
                assert found is not None
                yield from walk(f"{words} {name}", found)

    yield from walk("kedro databricks", databricks)


COMMANDS = dict(every_command())
KEDROS = {option.name for option in kedro_run.params}


@pytest.fixture(params=sorted(COMMANDS))
def words(request: pytest.FixtureRequest) -> str:
    """Return the words that call a command; each command in turn."""
    return str(request.param)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Return a shell in a project without a Git repository and a sandbox."""
    return Shell(make_project(tmp_path / "tiny").path, tmp_path / "home")


def own_options(words: str) -> list[click.Option]:
    """Return the options of a command, except those that Kedro defines."""
    given = [each for each in COMMANDS[words].params if isinstance(each, click.Option)]
    return [each for each in given if words != "kedro databricks run" or each.name not in KEDROS]


def test_a_command_says_what_it_does_in_a_sentence(words: str) -> None:
    """A command's help starts with a capital letter, and its paragraphs end with a full stop or colon."""
    text = (COMMANDS[words].help or "").strip()
    assert re.match(r"[A-Z]", text), text
    prose = [
        part for part in text.split("\n\n") if not part.lstrip().startswith("\b")
    ]  # click's mark of a table
    assert all(part.rstrip().endswith((".", ":")) for part in prose), text


def test_an_option_says_what_it_means_in_a_sentence(words: str) -> None:
    """An option's help starts with a capital letter and ends with a full stop."""
    for option in own_options(words):
        assert re.fullmatch(r"[A-Z`].*\.", option.help or ""), f"{words} {option.opts}: {option.help}"


def test_an_option_of_one_name_is_described_alike() -> None:
    """--profile, --env, --save, --json and --dry-run have the same help text in every command."""
    for name in ("profile", "env", "save", "as_json", "dry_run"):
        said = {o.help for words in COMMANDS for o in own_options(words) if o.name == name}
        assert len(said) == 1, said
    run = COMMANDS["kedro databricks run"]
    (env,) = [each for each in run.get_params(click.Context(run)) if each.name == "env"]
    assert isinstance(env, click.Option)
    assert env.help == ENV_HELP


@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_help_fits_the_terminal(words: str, width: int) -> None:
    """No line of a help text is wider than the terminal, and none has colours."""
    command = COMMANDS[words]
    with click.Context(command, info_name=words, terminal_width=width, max_content_width=width) as context:
        text = command.get_help(context)
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= width


def test_a_pipe_gets_plain_text(shell: Shell) -> None:
    """Without a terminal an error has no colours, whatever TERM says."""
    result = shell.fails("kedro databricks push", "not in a Git repository", TERM="xterm-256color")
    assert "\x1b" not in result.out + result.err


def test_json_without_a_line_of_kedro(shell: Shell) -> None:
    """`python -m kedro_databricks_hybrid` keeps stdout for the document; Kedro's log is on stderr."""
    told = shell.ok("python -m kedro_databricks_hybrid catalog --json")
    assert isinstance(json.loads(told.out), list)
    assert "as logging" in told.err


def test_no_color_is_obeyed_on_a_terminal(shell: Shell) -> None:
    """On a terminal the word Error is red, unless NO_COLOR is set."""
    assert "\x1b[31m" in type_answers(shell, "push", {})
    shell.environment["NO_COLOR"] = "1"
    plain = type_answers(shell, "push", {})
    assert "Error: " in plain
    assert "\x1b[31m" not in plain


def test_bash_completes_commands_and_options(shell: Shell) -> None:
    """The documented line lets bash complete commands and options."""
    script = """
    eval "$(_KEDRO_COMPLETE=bash_source kedro | sed -n '/^_kedro_completion()/,$p')"
    complete_it() {
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
        _kedro_completion kedro; echo "${COMPREPLY[*]}"
    }
    complete_it kedro databricks pu
    complete_it kedro databricks sandbox fault add --retry
    """
    path = f"{os.path.dirname(sys.executable)}{os.pathsep}{os.environ['PATH']}"  # noqa: PTH120 - not resolved
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=shell.folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == ["push pull", "--retry-after"]
