"""Notebooks as files: how to tell them from other files, their cells, and their two formats.

A file is named after its notebook, with the extension of a language (source format) or `.ipynb` (Jupyter).
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any

from .errors import invalid

_COMMENT = {"PYTHON": "#", "SQL": "--", "SCALA": "//", "R": "#"}
_EXTENSION = {"PYTHON": ".py", "SQL": ".sql", "SCALA": ".scala", "R": ".r"}
_LANGUAGE = {extension: language for language, extension in _EXTENSION.items()}
_JUPYTER = ".ipynb"
# In upper case for the file of a notebook `x` beside an ordinary file `x.py`, see `other_name`.
EXTENSIONS = tuple(spelled for one in (*_LANGUAGE, _JUPYTER) for spelled in (one, one.upper()))
LANGUAGES = tuple(_EXTENSION)
RUNNABLE = ("PYTHON", "SQL")
"""The languages whose notebooks the sandbox runs."""

_TITLE = "Databricks notebook source"
_LONGEST_HEADER = 64
_DATABRICKS = "application/vnd.databricks.v1+notebook"
"""The metadata in which Databricks keeps the language of a Jupyter notebook."""


def extension_in(name: str) -> str | None:
    """Return the extension of a file name if files of notebooks may have it, else None."""
    extension = PurePath(name).suffix
    return extension if extension in EXTENSIONS else None


def is_jupyter(name: str) -> bool:
    """Whether a file name has the extension of Jupyter notebooks."""
    return PurePath(name).suffix.lower() == _JUPYTER


def language_of(file: Path, name: str | None = None) -> str | None:
    """Return the language of a notebook on disk, None for a file that is not a notebook.

    Args:
        file: The file.
        name: The name under which it will be stored; None for its own.
    """
    name = name or file.name
    extension = extension_in(name)
    if extension is None:
        return None
    if is_jupyter(name):
        status = file.stat()
        return _language_of_jupyter(file, status.st_mtime_ns, status.st_size)
    with file.open("rb") as content:
        first_line = content.read(_LONGEST_HEADER).split(b"\n", 1)[0].decode(errors="replace").rstrip()
    language = _LANGUAGE[extension.lower()]
    # Databricks accepts another character before the header, such as a byte order mark.
    return language if header(language) in {first_line, first_line[1:]} else None


@lru_cache(maxsize=1024)
def _language_of_jupyter(file: Path, modified: int, size: int) -> str | None:
    del modified, size  # a file that changed is read again
    try:
        document = _jupyter(file.read_bytes())
    except ValueError:
        return None
    metadata = document["metadata"]
    for holder, key in ((_DATABRICKS, "language"), ("language_info", "name"), ("kernelspec", "language")):
        found = metadata.get(holder)
        language = str(found.get(key)).upper() if isinstance(found, dict) else ""
        if language in _EXTENSION:
            return language
    return "PYTHON"


def _jupyter(content: bytes) -> dict[str, Any]:
    """Parse an .ipynb file; raise ValueError if it is none."""
    try:
        document = json.loads(content)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(document, dict) or not isinstance(document.get("metadata"), dict):
        raise ValueError("no metadata")  # noqa: TRY004 - not valid content
    cells = document.get("cells")
    is_old = not isinstance(document.get("nbformat"), int) or document["nbformat"] < 4
    if is_old or not isinstance(cells, list):
        raise ValueError("no cells")
    if not all(isinstance(cell, dict) and {"cell_type", "source"} <= cell.keys() for cell in cells):
        raise ValueError("a cell without a type or a source")
    return document


def header(language: str) -> str:
    """Return the first line of a notebook's source."""
    return f"{_COMMENT[language]} {_TITLE}"


def file_name(name: str, language: str) -> str:
    """Return the name of the file of a notebook in the source format."""
    return name + _EXTENSION[language]


def jupyter_file_name(name: str) -> str:
    """Return the name of the file of a Jupyter notebook, which may be named with or without the extension."""
    return name.removesuffix(_JUPYTER) + _JUPYTER


def other_name(name: str) -> str:
    """Return another name for the file of a notebook, if a file that is no notebook has its name.

    In the workspace the notebook `x` and the file `x.py` may be in one folder.
    """
    extension = PurePath(name).suffix
    return name.removesuffix(extension) + extension.swapcase()


def find(folder: Path, name: str) -> Path | None:
    """Return the file of a notebook in a folder by the notebook's name, None if there is none."""
    files = (folder / f"{name}{extension}" for extension in EXTENSIONS)
    return next((file for file in files if file.is_file() and language_of(file) is not None), None)


def format_of(file: Path) -> str:
    """Return the format in which a notebook came and is exported by default: SOURCE or JUPYTER."""
    return "JUPYTER" if is_jupyter(file.name) else "SOURCE"


def extension_of(kind: str, language: str) -> str:
    """Return the extension of an exported notebook, without a dot."""
    return (_JUPYTER if kind == "JUPYTER" else _EXTENSION[language]).removeprefix(".")


def with_header(source: bytes, language: str) -> bytes:
    """Return source code with the header of a notebook as its first line."""
    mark = header(language).encode()
    first_line = source.split(b"\n", 1)[0].rstrip()
    return source if mark in {first_line, first_line[1:]} else mark + b"\n" + source


def cells_of(content: bytes, kind: str, language: str) -> list[tuple[str, str]]:
    """Return the type (`code`, `markdown`, `raw`) and the text of each cell of a notebook.

    Raises:
        ApiError: 400 if an .ipynb file cannot be parsed.
    """
    if kind == "SOURCE":
        return _cells_of_source(content, language)
    try:
        document = _jupyter(content)
    except ValueError as error:
        raise invalid(f"The content is not a Jupyter notebook (nbformat 4): {error}") from error
    return [(str(cell["cell_type"]), _text(cell["source"])) for cell in document["cells"]]


def code_of(file: Path) -> list[str]:
    """Return the code cells of a Python or SQL notebook on disk, as a Python kernel runs them."""
    language = language_of(file) or "PYTHON"
    cells = cells_of(file.read_bytes(), format_of(file), language)
    code = [text for kind, text in cells if kind == "code" and text.strip()]
    if language == "SQL":
        return [text if text.lstrip().startswith("%") else f"%sql\n{text}" for text in code]
    return code


def as_source(content: bytes, kind: str, language: str) -> bytes:
    """Return a notebook in the source format: with the header of its language, without a newline at the end.

    Args:
        content: Its file.
        kind: The format of the file.
        language: Its language.
    """
    if kind == "SOURCE":
        after_header = content.partition(b"\n")[2]
        return header(language).encode() + b"\n" + after_header.rstrip(b"\r\n")
    comment = _COMMENT[language]
    blocks = []
    for cell, text in cells_of(content, kind, language):
        if cell == "code" and not text.startswith(("%", "!")):
            blocks.append(text)
        else:
            magic = text if cell == "code" else f"%md\n{text}"
            blocks.append("\n".join(f"{comment} MAGIC {line}".rstrip() for line in magic.split("\n")))
    body = f"\n\n{_separator(language)}\n\n".join(blocks).rstrip("\n")
    return f"{header(language)}\n{body}".encode()


def as_jupyter(content: bytes, kind: str, language: str, name: str) -> bytes:
    """Return a notebook as an .ipynb file; like Databricks, with metadata of its own.

    Args:
        content: Its file.
        kind: The format of the file.
        language: Its language.
        name: Its name.
    """
    if kind == "JUPYTER":
        document = _jupyter(content)
    else:
        cells = [_jupyter_cell(*cell) for cell in _cells_of_source(content, language)]
        document = {"cells": cells, "metadata": {}}
    own = {"language": language.lower(), "notebookName": name}
    info = document["metadata"].get("language_info")
    info = {**(info if isinstance(info, dict) else {}), "name": language.lower()}
    document["metadata"] = {**document["metadata"], _DATABRICKS: own, "language_info": info}
    return json.dumps({**document, "nbformat": 4, "nbformat_minor": 0}, indent=1).encode()


def _separator(language: str) -> str:
    return f"{_COMMENT[language]} COMMAND ----------"


def _cells_of_source(content: bytes, language: str) -> list[tuple[str, str]]:
    lines = content.decode(errors="replace").replace("\r\n", "\n").split("\n")[1:]
    separator = re.compile(rf"^[ \t]*{re.escape(_separator(language))}[ \t]*$", re.MULTILINE)
    return [_cell(block.strip("\n"), _COMMENT[language]) for block in separator.split("\n".join(lines))]


def _cell(text: str, comment: str) -> tuple[str, str]:
    mark = f"{comment} MAGIC"
    if not text.startswith(mark):
        return "code", text
    lines = [line.removeprefix(mark).removeprefix(" ") for line in text.split("\n")]
    if not lines[0].startswith("%md"):
        return "code", "\n".join(lines)
    return "markdown", "\n".join([lines[0].removeprefix("%md").lstrip(), *lines[1:]]).strip("\n")


def _jupyter_cell(kind: str, text: str) -> dict[str, Any]:
    cell = {"cell_type": kind, "metadata": {}, "source": text.splitlines(keepends=True)}
    return {**cell, "execution_count": None, "outputs": []} if kind == "code" else cell


def _text(source: object) -> str:
    if isinstance(source, list):
        return "".join(str(line) for line in source)
    return str(source)
