"""Judge names of files from Databricks: some must not be written locally, others need consent."""

from __future__ import annotations

import fnmatch
import re
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import PurePosixPath

_REPOSITORY = re.compile(r"\.(git|hg|jj|bzr)|git~[0-9]+")  # the last is a short name of `.git` on Windows

_SURROGATES = re.compile(r"[\ud800-\udfff]")

# Patterns of file and folder names, in lower case.
_STARTUP = (
    # Python, its debugger, pytest, Jupyter
    *("*.pth", "sitecustomize.py", "usercustomize.py", "pyvenv.cfg", "conftest.py", ".pdbrc"),
    *("ipython_config.py", ".ipython", "jupyter*_config.py", "jupyter*_config.json", ".jupyter"),
    # shells, direnv, mise, conda
    *(".env", ".envrc", ".autoenv*", "mise.toml", ".mise.toml", ".mise", ".condarc"),
    *("activate.d", "deactivate.d"),
    # editors and what runs in them
    *(".vscode", "*.code-workspace", ".idea", ".fleet", ".zed", ".cursor", ".mcp.json"),
    *(".devcontainer", ".devcontainer.json", "*.sublime-project", ".dir-locals*.el"),
    *(".exrc", ".vimrc", ".lvimrc", ".nvimrc", ".nvim.lua"),
    # other debuggers, R
    *(".gdbinit", ".lldbinit", ".rprofile", ".renviron"),
)

_IS_STARTUP = re.compile("|".join(map(fnmatch.translate, _STARTUP)))

# Code points that macOS ignores when it compares names.
_IGNORED = dict.fromkeys(
    (*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0xFEFF), None
)


class Verdict(Enum):
    """Whether a file from Databricks may be written locally."""

    TAKE = "take"
    ASK = "ask"
    """A start-up file: a program that starts in its folder runs it, or a program that it names."""
    REFUSE = "refuse"
    """It would be written outside of the folder, or into a repository, whose settings name programs."""


def judge(path: PurePosixPath | str) -> Verdict:
    """Judge the path of a file from Databricks, relative to the folder that it will be written to.

    Names are compared as NTFS and macOS do: ignoring case, dots, spaces or a stream's name
    (`.git::$INDEX_ALLOCATION`) at the end, and invisible code points; a backslash counts as a slash. A name
    that is empty after that, such as `..`, is refused, and so is what is no Unicode.
    """
    text = str(path)
    names = [_plain(name) for name in re.split(r"[/\\]", text)]
    is_text = "\0" not in text and not _SURROGATES.search(text)
    if "" in names or not is_text or any(map(_REPOSITORY.fullmatch, names)):
        return Verdict.REFUSE
    return Verdict.ASK if any(map(_IS_STARTUP.match, names)) else Verdict.TAKE


def shown(path: PurePosixPath | str) -> str:
    """Return a path from Databricks with escapes for unprintable characters, to print it."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in str(path)
    )


def _plain(name: str) -> str:
    return name.translate(_IGNORED).casefold().partition(":")[0].rstrip(" .")
