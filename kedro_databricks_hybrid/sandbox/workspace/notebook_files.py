"""Notebooks as files: how to tell them from other files, and their two formats."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ..core.errors import invalid

if TYPE_CHECKING:
    from pathlib import Path

_COMMENT = {"PYTHON": "#", "SQL": "--", "SCALA": "//", "R": "#"}
_EXTENSION = {"PYTHON": ".py", "SQL": ".sql", "SCALA": ".scala", "R": ".r"}
_LANGUAGE = {".py": "PYTHON", ".sql": "SQL", ".scala": "SCALA", ".r": "R", ".R": "R", ".ipynb": "PYTHON"}
EXTENSIONS = tuple(_LANGUAGE)
LANGUAGES = tuple(_EXTENSION)
_TITLE = "Databricks notebook source"
_LONGEST_HEADER = 64


def language_in(name: str, content: bytes) -> str | None:
    """Return the language of a notebook, None for a file that is not a notebook.

    Args:
        name: The file's name, with an extension for the language.
        content: The file's beginning, at least its first line.
    """
    extension = next((extension for extension in EXTENSIONS if name.endswith(extension)), None)
    if extension is None or name == extension:
        return None
    language = _LANGUAGE[extension]
    if extension == ".ipynb":
        return language
    first_line = content[:_LONGEST_HEADER].removeprefix(b"\xef\xbb\xbf").split(b"\n", 1)[0].rstrip()
    return language if first_line == header(language).encode() else None


def language_of(file: Path) -> str | None:
    """Return the language of a notebook on disk, None for a file that is not a notebook."""
    if not file.name.endswith(EXTENSIONS):
        return None
    with file.open("rb") as content:
        return language_in(file.name, content.read(_LONGEST_HEADER))


def header(language: str) -> str:
    """Return the first line of a notebook's source."""
    return f"{_COMMENT[language]} {_TITLE}"


def extension_of(language: str) -> str:
    """Return the extension of source files of a language."""
    return _EXTENSION[language]


def with_header(source: bytes, language: str) -> bytes:
    """Return source code with the header of a notebook as its first line."""
    if language_in(f"notebook{extension_of(language)}", source):
        return source
    return header(language).encode() + b"\n" + source


def cells_of_jupyter(content: bytes) -> list[tuple[str, str]]:
    """Return the type (`code`, `markdown`, `raw`) and the text of each cell of an .ipynb file."""
    try:
        document: Any = json.loads(content)
        cells = [(str(cell["cell_type"]), _text(cell["source"])) for cell in document["cells"]]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise invalid("The content is not a Jupyter notebook (nbformat 4)") from error
    return cells


def code_of(file: Path) -> list[str]:
    """Return the code cells of a notebook on disk."""
    content = file.read_bytes()
    if file.suffix != ".ipynb":
        content = jupyter_of_source(content, "PYTHON")
    return [text for kind, text in cells_of_jupyter(content) if kind == "code" and text.strip()]


def source_of_jupyter(content: bytes) -> bytes:
    """Convert an .ipynb file to the source format, in Python."""
    blocks = []
    for kind, text in cells_of_jupyter(content):
        if kind == "code" and not text.startswith(("%", "!")):
            blocks.append(text)
        else:
            magic = text if kind == "code" else f"%md\n{text}"
            blocks.append("\n".join(f"# MAGIC {line}".rstrip() for line in magic.split("\n")))
    return _join(blocks).encode()


def jupyter_of_source(content: bytes, language: str) -> bytes:
    """Convert the source format to an .ipynb file."""
    comment = _COMMENT[language]
    lines = content.decode(errors="replace").splitlines()[1:]
    cells: list[dict[str, Any]] = []
    block: list[str] = []
    for line in [*lines, f"{comment} COMMAND ----------"]:
        if line.strip() != f"{comment} COMMAND ----------":
            block.append(line)
            continue
        cells.append(_cell("\n".join(block).strip("\n"), comment))
        block = []
    document = {
        "cells": cells,
        "metadata": {"language_info": {"name": language.lower()}},
        "nbformat": 4,
        "nbformat_minor": 0,
    }
    return json.dumps(document, indent=1).encode()


def _cell(text: str, comment: str) -> dict[str, Any]:
    mark = f"{comment} MAGIC"
    lines = [line.removeprefix(mark).removeprefix(" ") for line in text.split("\n")]
    if text.startswith(f"{mark} %md"):
        body = "\n".join([lines[0].removeprefix("%md").lstrip(), *lines[1:]]).strip("\n")
        return {"cell_type": "markdown", "metadata": {}, "source": body.splitlines(keepends=True)}
    body = "\n".join(lines) if text.startswith(mark) else text
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {},
        "outputs": [],
        "source": body.splitlines(keepends=True),
    }


def _join(blocks: list[str]) -> str:
    return header("PYTHON") + "\n" + "\n\n# COMMAND ----------\n\n".join(blocks) + "\n"


def _text(source: object) -> str:
    if isinstance(source, list):
        return "".join(str(line) for line in source)
    return str(source)
