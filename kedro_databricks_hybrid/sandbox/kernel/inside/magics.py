"""The magics of a Databricks notebook that IPython lacks or defines differently."""

from __future__ import annotations

import re
import shlex
import site
import subprocess
import sys
import sysconfig
from typing import TYPE_CHECKING, Any, cast

from . import notebook_run

if TYPE_CHECKING:
    from collections.abc import Callable

    from IPython.core.interactiveshell import InteractiveShell

_OTHER_LANGUAGES = ("scala", "r")
_CELL_MAGICS = {"sh", "fs", "sql", "md", "python", "run", *_OTHER_LANGUAGES}
_FIRST_LINE = re.compile(r"%(\w+)[ \t]*(.*)", re.DOTALL)
# One statement of SQL: up to a semicolon outside of quotes and comments.
_STATEMENT = re.compile(
    r"""(?: '(?:\\.|[^'\\])*' | "(?:\\.|[^"\\])*" | `[^`]*` | --[^\n]* | /\*.*?\*/ | [^;] )+""",
    re.DOTALL | re.VERBOSE,
)
_COMMENTS = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_RESTART_NOTE = (
    "Note: you may need to restart the kernel using %restart_python or "
    "dbutils.library.restartPython() to use updated packages."
)


def register(shell: InteractiveShell) -> None:
    """Register the magics in an IPython shell."""
    shell.input_transformers_cleanup.insert(0, whole_cell)
    # IPython's annotations lack `self`
    define = cast("Callable[[Any, str, str], None]", shell.register_magic_function)
    define(_pip, "line", "pip")
    define(_restart, "line", "restart_python")
    define(_shell, "cell", "sh")
    define(lambda line, cell: _files(shell, line + cell), "cell", "fs")
    define(lambda line, cell: _sql(shell, line + cell), "cell", "sql")
    define(lambda line, cell: None, "cell", "md")  # noqa: ARG005
    define(lambda line, cell: notebook_run.include(shell, line + cell), "cell", "run")
    define(lambda line: notebook_run.include(shell, line), "line", "run")
    for language in _OTHER_LANGUAGES:
        define(_refuse(language), "cell", language)


def whole_cell(lines: list[str]) -> list[str]:
    """Turn a cell that begins with `%sh` or a similar magic into an IPython cell magic, `%%sh`."""
    start = next((number for number, line in enumerate(lines) if line.strip()), len(lines))
    if start == len(lines):
        return lines
    match = _FIRST_LINE.match(lines[start])
    if match is None or match[1] not in _CELL_MAGICS:
        return lines
    body = [match[2], *lines[start + 1 :]] if match[2].strip() else lines[start + 1 :]
    if match[1] == "python":
        return body
    return [f"%%{match[1]}\n", *body] if body else [f"%%{match[1]}\n", "\n"]


def _pip(line: str) -> None:
    """Run pip in this notebook's environment; unlike in IPython, a failure is an error."""
    arguments = shlex.split(line)
    _stream([sys.executable, "-m", "pip", *arguments], shown=f"pip {line}")
    if arguments[:1] in (["install"], ["uninstall"]):
        site.addsitedir(sysconfig.get_path("purelib"))  # for a package that is linked from a checkout
        print(_RESTART_NOTE)  # noqa: T201 - the cell's output


def _shell(line: str, cell: str) -> None:
    """Run a cell in bash."""
    _stream(["bash", *shlex.split(line), "-c", cell], shown="bash")


def _restart(line: str) -> None:
    """Restart the Python process."""
    from .dbutils import Library

    del line
    Library().restartPython()


def _files(shell: InteractiveShell, command: str) -> object:
    """Run a command of dbutils.fs, such as `ls /`."""
    name, *arguments = shlex.split(command)
    return getattr(shell.user_ns["dbutils"].fs, name)(*arguments)


def _sql(shell: InteractiveShell, cell: str) -> None:
    """Run statements of SQL, and show the rows of the last one, which is then `_sqldf`."""
    from .display import display

    rows = None
    for statement in statements(cell):
        rows = shell.user_ns["spark"].sql(statement)
    if rows is not None:
        shell.user_ns["_sqldf"] = rows
        display(rows)


def statements(cell: str) -> list[str]:
    """Return the statements of a cell in SQL, which semicolons separate."""
    found = [one.strip() for one in _STATEMENT.findall(cell)]
    return [one for one in found if _COMMENTS.sub("", one).strip()]


def _refuse(language: str) -> Callable[[str, str], None]:
    def refuse(line: str, cell: str) -> None:
        del line, cell
        raise NotImplementedError(f"The sandbox does not run cells in {language.title()}.")

    return refuse


def _stream(command: list[str], *, shown: str) -> None:
    """Run a command, print its output while it appears, and raise if it fails."""
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    ) as process:
        for text in process.stdout or ():
            sys.stdout.write(text)
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, shown)
