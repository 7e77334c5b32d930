"""Draw terminal pictures of the tutorial's output with rich, without downloading a font."""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
WIDTH = 96
_FONT = "DejaVu Sans Mono, Menlo, Consolas, monospace"
_COLOURS = {
    r"^\$ .*": "bold",
    r"^\[[^\]]+\]": "dim",
    r"\bINFO\b": "blue",
    r"^green": "green",
    r"^yellow": "yellow",
    r"\b\d+\.\d+ s\.$|accuracy of [\d.]+": "bold green",
    r"^Databricks has \w+": "green",
}
_LAST = "kedro databricks run"  # a command that is repeated after this one keeps its earlier output
_SHOWN = {
    "run": (("kedro databricks push", 3, 0), ("kedro databricks run", 1, 13)),
    "status": (("kedro databricks status", 9, 0),),
    "doctor": (("kedro databricks doctor", 19, 0),),
}
_FONTS = re.compile(r"\s*@font-face \{.*?\}\n", re.DOTALL)


def draw(performed: Iterable[tuple[str, list[str]]], folder: Path = IMAGES) -> None:
    """Draw each picture from commands and their output, whose middle lines are left out."""
    printed: dict[str, list[str]] = {}
    for command, output in performed:
        if command not in printed or _LAST not in printed:
            printed[command] = output
    for name, parts in _SHOWN.items():
        lines: list[str] = []
        for command, first, last in parts:
            all_of_it = [line for line in printed[command] if "Using synchronous mode" not in line]
            few = len(all_of_it) <= first + last
            cut = all_of_it if few else [*all_of_it[:first], "...", *all_of_it[len(all_of_it) - last :]]
            lines += [f"$ {command}", *(cut if last else all_of_it[:first]), ""]
        (folder / f"{name}.svg").write_text(_svg(lines[:-1], name), encoding="utf-8")


def _svg(lines: list[str], name: str) -> str:
    console = Console(record=True, width=WIDTH, file=StringIO(), force_terminal=True)
    for line in lines:
        short = re.sub(r"^\[\d\d/\d\d/\d\d ", "[", line)
        text = Text(short if len(short) <= WIDTH else f"{short[: WIDTH - 3]}...", no_wrap=True)
        for pattern, style in _COLOURS.items():
            text.highlight_regex(pattern, style)
        console.print(text)
    drawn = _FONTS.sub("", console.export_svg(title="iris-databricks", unique_id=name))
    return drawn.replace("Fira Code, monospace", _FONT).replace("Fira Code", _FONT)
