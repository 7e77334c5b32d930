"""Generate the parts of the reference that the package knows: commands, settings, endpoints and others."""

from __future__ import annotations

import inspect
import re
import tempfile
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kedro_databricks_hybrid import cli, config_loader, errors
from kedro_databricks_hybrid.project import settings as databricks_yml

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

ROOT = Path(__file__).resolve().parents[2]
_SHARED = ("--profile", "--env", "--params", "--pipelines", "--json", "--dry-run")
_API = re.compile(r"/api/(\d\.\d)/(?:unity-catalog/|preview/scim/v2/)?([\w-]+)")


def every_command() -> Iterator[tuple[str, click.Command]]:
    """Yield each command that is not a group, with the words that follow `kedro databricks`."""

    def walk(command: click.Command, words: str) -> Iterator[tuple[str, click.Command]]:
        if not isinstance(command, click.Group):
            yield words, command
            return
        for name, each in command.commands.items():
            yield from walk(each, f"{words} {name}")

    context = click.Context(cli.databricks, info_name="kedro databricks")
    for name in cli.databricks.list_commands(context):
        command = cli.databricks.get_command(context, name)
        if command:
            yield from walk(command, name)


def commands() -> str:
    """Return a table of all commands, each with a link to its options and its summary."""
    rows = []
    for words, command in every_command():
        anchor = words.replace(" ", "-")
        rows.append((f"[`{words}`](options.md#{anchor})", prose(command.get_short_help_str(limit=300))))
    return _table(("command", "description"), rows)


def options() -> str:
    """Return a section for every command: its usage and a table of its options, read from click."""
    return "\n\n".join(f"## {words}\n\n{_options(words, command)}" for words, command in every_command())


def _options(words: str, command: click.Command) -> str:
    context = click.Context(command, info_name=f"kedro databricks {words}")
    usage = re.sub(r"\s+", " ", command.get_usage(context).removeprefix("Usage: "))
    records = [parameter.get_help_record(context) for parameter in command.get_params(context)]
    rows = [(f"`{each[0]}`", prose(each[1])) for each in records if each and each[0] != "--help"]
    summary = prose(command.get_short_help_str(limit=300))
    return f"{summary}\n\n```text\n{usage}\n```\n\n{_table(('option', 'description'), rows) if rows else ''}"


def common_options() -> str:
    """Return a table of the options that several commands share: which commands, and what it does."""
    having: dict[str, dict[str, click.Option]] = {}
    every = dict(every_command())
    for words, command in every.items():
        for option in command.get_params(click.Context(command)):
            if isinstance(option, click.Option) and option.opts[0] in _SHARED:
                having.setdefault(option.opts[0], {})[words] = option
    rows = []
    for spelling in _SHARED:
        found = having[spelling]
        others = [words for words in every if words not in found]
        listed = _listed(found, every) if len(found) <= len(others) else f"all but {_listed(others, every)}"
        rows.append((f"`{spelling}`", listed, prose(next(iter(found.values())).help or "")))
    return _table(("option", "commands", "description"), rows)


def _listed(words: Iterable[str], every: Iterable[str]) -> str:
    """Return names of commands, a whole group by its own name."""
    chosen = set(words)
    shown = []
    for each in every:
        group = each.split()[0]
        whole = {other for other in every if other.split()[0] == group}
        name = group if whole <= chosen else each
        if each in chosen and name not in shown:
            shown.append(name)
    return ", ".join(f"`{name}`" for name in shown)


def run_options() -> str:
    """Return a table of the options of `run` that are not those of `kedro run`."""
    command = dict(every_command())["run"]
    context = click.Context(command)
    records = [each.get_help_record(context) for each in command.params]
    return _table(("option", "description"), [(f"`{each[0]}`", prose(each[1])) for each in records if each])


def settings() -> str:
    """Return a table of every setting of databricks.yml: its default, and its description in the model."""
    rows = []
    model = databricks_yml.Settings()
    for section in fields(model):
        values = getattr(model, section.name)
        described = _arguments(inspect.getdoc(type(values)) or "")
        for each in fields(values):
            default = getattr(values, each.name)
            shown = "" if default is None else f"`{default}`"
            rows.append((f"`{section.name}.{each.name}`", shown, prose(described[each.name])))
    return _table(("setting", "default", "description"), rows)


def resolvers() -> str:
    """Return a table of the resolvers of the configuration loader."""
    rows = []
    for name, resolver in config_loader.RESOLVERS.items():
        arguments = ",".join(inspect.signature(resolver).parameters)
        rows.append((f"`${{{name}:{arguments}}}`", _summary(resolver)))
    return _table(("resolver", "value"), rows)


def endpoints() -> str:
    """Return a table of the sandbox's endpoints, read from its routes."""
    from starlette.routing import Route

    from kedro_databricks_hybrid.sandbox.app import Sandbox, create_app
    from kedro_databricks_hybrid.sandbox.core.layout import Layout

    families: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory() as home:
        for route in create_app(Sandbox(Layout(Path(home)))).routes:
            if not isinstance(route, Route):
                continue
            found = _API.match(route.path)
            family = f"{found[2]} {found[1]}" if found else "outside /api"
            methods = "/".join(sorted(set(route.methods or ()) - {"HEAD"}))
            rest = route.path[found.end() :].lstrip("/") if found else route.path
            path = f" `{rest.replace(':path', '')}`" if rest else ""
            families.setdefault(family, []).append(f"{methods}{path}")
    versions: dict[tuple[str, str], list[str]] = {}  # versions with the same endpoints share a row
    for family, answers in sorted(families.items()):
        name, _, version = family.rpartition(" ")
        versions.setdefault((name, ", ".join(answers)), []).append(version)
    rows = [(f"{name} {' and '.join(found)}", answers) for (name, answers), found in versions.items()]
    return _table(("family", "endpoints"), rows)


def guesses() -> str:
    """Return a table of the sandbox's guesses, each with what to run on a workspace."""
    from kedro_databricks_hybrid.sandbox.core.guesses import GUESSES

    rows = []
    for guess in GUESSES:
        compared = ", ".join(f'"{row}"' for row in guess.rows)
        rows.append((guess.what, guess.answer, guess.client, guess.check or f"`make contract`: {compared}"))
    return _table(("what", "the sandbox's answer", "what the client relies on", "how to find out"), rows)


def exit_statuses() -> str:
    """Return a table of the error classes: what each means, and its exit status."""
    rows = []
    tree: list[type[errors.HybridError]] = [errors.HybridError]
    while tree:
        kind = tree.pop(0)
        tree += kind.__subclasses__()
        if kind is not errors.HybridError and kind.__module__ == errors.__name__:
            rows.append((f"`{kind.__name__}`", str(kind.exit_status), _summary(kind)))
    return _table(("class", "exit status", "meaning"), rows)


def versions() -> str:
    """Return a table of the supported Pythons and dependencies, from pyproject.toml."""
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    pythons = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', text)
    block = re.search(r"^dependencies = \[\n(.*?)^\]", text, re.MULTILINE | re.DOTALL)
    needs = re.findall(r'"([\w.-]+)((?:[<>=]=?)[^";]*)"', block[1] if block else "")
    rows = [("Python", ", ".join(pythons)), *((name, f"`{bounds}`") for name, bounds in needs)]
    return _table(("dependency", "versions"), rows)


def _arguments(docstring: str) -> dict[str, str]:
    """Return the descriptions in a docstring's Args section, by argument name."""
    _, _, section = docstring.partition("Args:\n")
    found = re.findall(r"^    (\w+): (.*(?:\n {8,}.*)*)", section, re.MULTILINE)
    return {name: re.sub(r"\s+", " ", text) for name, text in found}


def _summary(thing: object) -> str:
    """Return the first paragraph of a docstring without its "Return"."""
    return prose((inspect.getdoc(thing) or "").split("\n\n")[0]).removeprefix("Return ")


def prose(text: str) -> str:
    """Escape characters that Markdown would interpret, except inside code spans."""
    parts = re.split(r"(`[^`]*`)", re.sub(r"\s+", " ", text))
    shown = (
        each if each.startswith("`") else re.sub(r"([_*\[{])", r"\\\1", each).replace("<", "&lt;")
        for each in parts
    )
    return "".join(shown)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
