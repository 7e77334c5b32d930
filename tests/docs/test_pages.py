"""The commands, options, linked files and workflows that the pages show exist."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import pytest
import yaml

from kedro_databricks_hybrid.cli import databricks
from kedro_databricks_hybrid.sandbox.core import guesses

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")])
WORKFLOWS = sorted((ROOT / "docs" / "workflows").glob("*.yml"))
_COMMAND = re.compile(r"kedro databricks (?![<.`])([^`\n]+)")
_ADDRESS = re.compile(r"\]\(([a-z]+:[^)\s]*)")
_LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)(?:#[^)\s]*)?\)")


def name_of(path: Path) -> str:
    """Return a page's name for the ids of tests."""
    return path.relative_to(ROOT).as_posix()


def refuse_unknown(words: list[str]) -> None:
    """Raise click's error for a command or an option that does not exist."""
    command: click.Command = databricks
    words = [word for word in words if word not in {"--help", "--version"}]
    while isinstance(command, click.Group) and words:
        found = command.get_command(click.Context(command), words[0])
        if found is None:
            raise click.UsageError(f"No such command {words[0]!r}.")
        command, words = found, words[1:]
    command.make_parser(click.Context(command, info_name=command.name)).parse_args(words)


def typed_in(text: str) -> list[list[str]]:
    """Return the words after `kedro databricks` of each command in a text."""
    found = []
    for match in _COMMAND.finditer(text):
        line = re.split(r"\s+#|\s->|[;|)]|\s\.\.\.", match[1])[0].rstrip(" .,:")
        try:
            words = shlex.split(line)
        except ValueError:  # prose: an apostrophe
            words = line.split()[:1]
        found.append(words)
    return found


def in_code(page: Path) -> str:
    """Return the code of a page: its blocks and inline code."""
    text = page.read_text("utf-8")
    blocks = re.findall(r"^ *```(?:sh|console|yaml|text)\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    typed = [
        line for block in blocks for line in block.splitlines() if not re.match(r"(Error|Next|[{\[])", line)
    ]
    prose = re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL)
    return "\n".join([*typed, *re.findall(r"`([^`]+)`", prose)])


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_shows_commands_that_exist(page: Path) -> None:
    """Each command in a page exists, with the options that are shown."""
    for words in typed_in(in_code(page)):
        refuse_unknown(words)


@pytest.mark.parametrize("page", list(ROOT.glob("*.md")), ids=name_of)
def test_a_page_outside_of_the_site_links_to_files_that_exist(page: Path) -> None:
    """Links of pages outside of the site lead to files; the site's build checks its own links."""
    for link in _LINK.findall(page.read_text("utf-8")):
        assert (page.parent / link).exists(), link


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_an_address_outside_is_whole(page: Path) -> None:
    """External addresses are https with a full host name and valid characters; none is fetched."""
    for address in _ADDRESS.findall(page.read_text("utf-8")):
        parts = urlsplit(address)
        assert parts.scheme == "https", address
        assert re.fullmatch(r"([a-z0-9-]+\.)+[a-z]{2,}", parts.netloc), address
        assert re.fullmatch(r"[\w~./%&=?#:@+-]*", address.partition("//")[2], re.ASCII), address


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=name_of)
def test_a_workflow_is_yaml_with_commands_that_exist(workflow: Path) -> None:
    """An example workflow is valid YAML, its commands exist, and the last one is a run."""
    scripts = list(strings(yaml.safe_load(workflow.read_text("utf-8"))))
    typed = [words for script in scripts for words in typed_in(script)]
    assert [words[0] for words in typed][-1] == "run"
    for words in typed:
        refuse_unknown(words)


def strings(document: Any) -> list[str]:
    """Return all strings in a document, in order."""
    if isinstance(document, dict):
        return [text for value in document.values() for text in strings(value)]
    if isinstance(document, list):
        return [text for value in document for text in strings(value)]
    return [document] if isinstance(document, str) else []


def test_each_error_with_a_next_step_is_on_the_page_of_troubleshooting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As a heading that the source gives, or a table says why not."""
    monkeypatch.syspath_prepend(ROOT / "docs" / "hooks")
    messages = importlib.import_module("messages")
    without = {each.source for each in messages.messages() if not each.headings}
    assert without == set(messages.WITHOUT_HEADING)
    assert "<!-- made: messages -->" in (ROOT / "docs/troubleshooting.md").read_text("utf-8")
    no_commit = (
        "### This repository has no commit yet, and Databricks runs commits\n\nRun `git add -A && git commit`"
    )
    assert no_commit in messages.listing()


def test_the_copy_button_copies_what_is_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the prompt and the output, and as it is typed; other blocks are copied whole."""
    monkeypatch.syspath_prepend(ROOT / "docs" / "hooks")
    pages = importlib.import_module("pages")
    typed = (
        '<code><span class="gp">$ </span>echo<span class="w"> </span>a<span class="w"> </span>&amp;&amp; ls\n'
    )
    console = (
        f'<pre><span></span>{typed}<span class="go">a</span>\n\n<span class="gp">$ </span>pwd\n</code></pre>'
    )
    other = "<pre><span></span><code>a: $ b\n</code></pre>"
    found = pages.on_page_content(f"{console}{other}")
    assert found == console.replace("<pre>", '<pre data-copy="echo a &amp;&amp; ls\npwd">') + other


def in_table(value: object) -> list[str]:
    """Return what a table shows of a constant: its words before the first gap, or its numbers."""
    if isinstance(value, str):
        return [re.split("[{:]", value)[0].strip()]
    if isinstance(value, (int, float)):
        return [f"{value:,.0f}"]
    assert isinstance(value, (tuple, set))
    return [shown for each in value for shown in in_table(each)]


def test_the_guesses_are_marked_in_one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page shows every constant of it, the sandbox uses each, and no other module marks one."""
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "hooks"))
    page = ROOT / "docs" / "explanation" / "unverified.md"
    shown = importlib.import_module("pages").on_page_markdown(page.read_text("utf-8"))
    constants = {name: value for name, value in vars(guesses).items() if name.isupper() and name != "GUESSES"}
    missing = [
        (name, text) for name, value in constants.items() for text in in_table(value) if text not in shown
    ]
    assert missing == []
    sources = (ROOT / "kedro_databricks_hybrid" / "sandbox").rglob("*.py")
    others = {path: path.read_text("utf-8") for path in sources if path.name != "guesses.py"}
    marked = [
        path for path, text in others.items() if re.search("not verified|unverified", text, re.IGNORECASE)
    ]
    assert marked == []
    used = "\n".join(others.values())
    assert [name for name in constants if not re.search(rf"\b{name}\b", used)] == []
    assert [guess.what for guess in guesses.GUESSES if bool(guess.rows) == bool(guess.check)] == []


def test_an_unknown_option_would_be_found() -> None:
    """The check of commands fails for an unknown command or option."""
    with pytest.raises(click.UsageError):
        refuse_unknown(["push", "--nonsense"])
    with pytest.raises(click.UsageError):
        refuse_unknown(["nonsense"])
