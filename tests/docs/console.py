"""The console blocks of a documentation page: run their commands, and compare or replace the shown output."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.commands import Shell

TUTORIAL = Path(__file__).resolve().parents[2] / "docs" / "tutorial.md"
ELISION = "..."
HOME = "/home/me"  # the page's name for the folder in which it is performed
_BLOCK = re.compile(r"^```(console|diff)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_KEDROS_FIRST_LINE = re.compile(r"^\[[^\n]*INFO +Using .*?configuration\.\s*\n", re.MULTILINE | re.DOTALL)
# Lines that a reader does not see: of slow transfers, and of a checkout in place of a release.
_LEFT_OUT = re.compile(r"(Sending|Receiving): \d+ of |kedro-databricks-hybrid is not from a package index")
_CHANGING = [
    (r"\b\d{8}-\d{6}-[0-9a-z]{4,8}\b", "<run>"),
    (r"\b\d\d/\d\d/\d\d \d\d:\d\d:\d\d\b", "<time>"),
    (r"\b\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?\b", "<time>"),
    (r"(?<![\w.])[0-9a-f]{7}(?![\w.])", "<sha>"),
    (r"\b\d+\.(\d+|x)-\S*scala[\d.]+", "<runtime>"),
    (r"127\.0\.0\.1:\d+", "127.0.0.1:<port>"),
    (r"\b\d+(\.\d+)? (s|sec|minutes?|seconds?|hours?)\b", "<duration>"),
    (r"(?<=\.py):\d+\b", ":<line>"),
    (r"\b\d+(\.\d+)? ([kMG]?B)\b", "<size>"),
    (r"\b\d{2,3}\.\d{2}\b|\b\d\.\d{2}\b(?!\d)", "<seconds>"),
    (r"\b(completed\s+)\d+(\.\d+)?", r"\1<seconds>"),
    (r"[ \t]+", " "),
]


@dataclass(frozen=True)
class Step:
    """A command with the output that the page shows, or a diff that the reader applies."""

    kind: str
    text: str
    shown: tuple[str, ...] = ()


def steps(page: str) -> Iterator[Step]:
    """Yield the steps of a page in order."""
    for block in _BLOCK.finditer(page):
        kind, content = block[1], block[2]
        if kind == "diff":
            yield Step("diff", content)
            continue
        for part in re.split(r"^\$ ", content, flags=re.MULTILINE)[1:]:
            command, *shown = part.rstrip("\n").split("\n")
            yield Step("console", command, tuple(shown))


def perform(step: Step, shell: Shell) -> list[str]:
    """Perform a step in a shell, which must succeed; return the printed lines, stdout before stderr."""
    words = step.text.split()
    if step.kind == "diff":
        subprocess.run(["git", "apply", "-"], cwd=shell.folder, input=step.text, text=True, check=True)
        return []
    if words[0] == "cd":
        shell.folder = (shell.folder / words[1]).resolve()
        return []
    if words[0] == "export":
        name, _, value = words[1].partition("=")
        shell.environment[name] = value
        return []
    done = shell.ok(step.text)
    printed = _KEDROS_FIRST_LINE.sub("", done.out + done.err).replace(str(shell.home.parent), HOME)
    lines = [line.rstrip() for line in printed.rstrip("\n").split("\n")] if printed.strip() else []
    return [line for line in lines if not _LEFT_OUT.match(line)]


def same(shown: tuple[str, ...] | list[str], printed: list[str]) -> bool:
    """Return whether lines match what a page shows, except times and commits; `...` is any lines."""
    pattern = r"\n".join(r"(?:.*)" if line == ELISION else re.escape(_normal(line)) for line in shown)
    return re.fullmatch(pattern, "\n".join(map(_normal, printed)), re.DOTALL) is not None


def rewritten(page: str, printed: list[list[str]]) -> str:
    """Return the page with new output, cut around each `...` at the same number of lines."""
    outputs = iter(printed)

    def renew(block: re.Match[str]) -> str:
        lines = []
        for step in steps(block[0]):
            now = next(outputs)
            if step.kind == "diff":
                return block[0]
            lines += [f"$ {step.text}", *_cut(now, step.shown), ""]
        return "\n".join([f"```{block[1]}", *lines[:-1], "```"])

    return _BLOCK.sub(renew, page)


def _cut(printed: list[str], shown: tuple[str, ...]) -> list[str]:
    if ELISION not in shown:
        return printed
    before = shown.index(ELISION)
    after = len(shown) - before - 1
    return [*printed[:before], ELISION, *(printed[-after:] if after else [])]


def _normal(line: str) -> str:
    for changing, word in _CHANGING:
        line = re.sub(changing, word, line)
    return line.strip()
