"""The parts of the reference that the package itself knows: commands, settings, endpoints and the like."""

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
_API = re.compile(r"/api/(\d\.\d)/(?:unity-catalog/|preview/scim/v2/)?([\w-]+)")


def every_command() -> Iterator[tuple[str, click.Command]]:
    """Yield the commands that do something, by what is typed after `kedro databricks`."""

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
    """Return a table of all commands with their summaries, each a link to its options."""
    rows = []
    for words, command in every_command():
        anchor = words.replace(" ", "-")
        rows.append((f"[`{words}`](options.md#{anchor})", _prose(command.get_short_help_str(limit=300))))
    return _table(("command", "does"), rows)


def options() -> str:
    """Return every command's usage and its options, as click knows them."""
    return "\n\n".join(f"## {words}\n\n{_options(words, command)}" for words, command in every_command())


def _options(words: str, command: click.Command) -> str:
    context = click.Context(command, info_name=f"kedro databricks {words}")
    usage = re.sub(r"\s+", " ", command.get_usage(context).removeprefix("Usage: "))
    records = [parameter.get_help_record(context) for parameter in command.get_params(context)]
    rows = [(f"`{each[0]}`", _prose(each[1])) for each in records if each and each[0] != "--help"]
    summary = _prose(command.get_short_help_str(limit=300))
    return f"{summary}\n\n```text\n{usage}\n```\n\n{_table(('option', 'means'), rows) if rows else ''}"


def settings() -> str:
    """Return a table of every setting of databricks.yml: its default and what the model says of it."""
    rows = []
    model = databricks_yml.Settings()
    for section in fields(model):
        values = getattr(model, section.name)
        said = _arguments(inspect.getdoc(type(values)) or "")
        for each in fields(values):
            default = getattr(values, each.name)
            shown = "" if default is None else f"`{default}`"
            rows.append((f"`{section.name}.{each.name}`", shown, _prose(said[each.name])))
    return _table(("setting", "default", "means"), rows)


def resolvers() -> str:
    """Return a table of the resolvers of the configuration loader."""
    rows = []
    for name, resolver in config_loader.RESOLVERS.items():
        arguments = ",".join(inspect.signature(resolver).parameters)
        rows.append((f"`${{{name}:{arguments}}}`", _first_sentence(resolver)))
    return _table(("resolver", "gives"), rows)


def endpoints() -> str:
    """Return a table of what the sandbox answers to, from its routes."""
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
    versions: dict[tuple[str, str], list[str]] = {}  # the same answers in two versions are one row
    for family, answers in sorted(families.items()):
        name, _, version = family.rpartition(" ")
        versions.setdefault((name, ", ".join(answers)), []).append(version)
    rows = [(f"{name} {' and '.join(found)}", answers) for (name, answers), found in versions.items()]
    return _table(("family", "answers"), rows)


def exit_statuses() -> str:
    """Return a table of the error tree: what each kind of failure means, and its exit status."""
    rows = []
    tree: list[type[errors.HybridError]] = [errors.HybridError]
    while tree:
        kind = tree.pop(0)
        tree += kind.__subclasses__()
        if kind is not errors.HybridError and kind.__module__ == errors.__name__:
            rows.append((f"`{kind.__name__}`", str(kind.exit_status), _first_sentence(kind)))
    return _table(("failure", "status", "means"), rows)


def versions() -> str:
    """Return a table of what the package runs on and with, from pyproject.toml."""
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    pythons = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', text)
    block = re.search(r"^dependencies = \[\n(.*?)^\]", text, re.MULTILINE | re.DOTALL)
    needs = re.findall(r'"([\w.-]+)((?:[<>=]=?)[^";]*)"', block[1] if block else "")
    rows = [("Python", ", ".join(pythons)), *((name, f"`{bounds}`") for name, bounds in needs)]
    return _table(("what", "versions"), rows)


def _arguments(docstring: str) -> dict[str, str]:
    """Return what a docstring's Args section says, by name."""
    _, _, section = docstring.partition("Args:\n")
    said = re.findall(r"^    (\w+): (.*(?:\n {8,}.*)*)", section, re.MULTILINE)
    return {name: re.sub(r"\s+", " ", text) for name, text in said}


def _first_sentence(thing: object) -> str:
    return _prose((inspect.getdoc(thing) or "").split("\n\n")[0]).removeprefix("Return ")


def _prose(text: str) -> str:
    """Escape what Markdown would take for something else, outside code."""
    parts = re.split(r"(`[^`]*`)", re.sub(r"\s+", " ", text))
    shown = [each if each.startswith("`") else re.sub(r"([<_*\[])", r"\\\1", each) for each in parts]
    return "".join(shown)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
