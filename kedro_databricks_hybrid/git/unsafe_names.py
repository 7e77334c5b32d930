"""Names that tools act on: which files from elsewhere may be written here, and which with consent alone."""

from __future__ import annotations

import fnmatch
import re
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import PurePosixPath

_REPOSITORY = re.compile(r"\.(git|hg|jj|bzr)|git~[0-9]+")  # the last is what Windows also calls `.git`

# Patterns for a file or a folder, in lower case.
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

# Code points that macOS leaves out when it compares names.
_IGNORED = dict.fromkeys(
    (*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0xFEFF), None
)


class Verdict(Enum):
    """What becomes of a file from elsewhere."""

    TAKE = "take"
    ASK = "ask"
    """A start-up file: some program runs it, or what it names, when it starts beside it."""
    REFUSE = "refuse"
    """It would leave its folder, or be part of a repository, whose settings name programs."""


def judge(path: PurePosixPath | str) -> Verdict:
    """Judge a path of a file from elsewhere, relative to the folder that it is to be written to.

    Names count in any case and in the spellings that NTFS and macOS take for the same file: with dots, spaces
    or a stream's name (`.git::$INDEX_ALLOCATION`) at the end, with a backslash for a slash, with code points
    that show nothing. A name of which nothing is left then, such as `..`, leads elsewhere.
    """
    text = str(path)
    names = [_plain(name) for name in re.split(r"[/\\]", text)]
    if "" in names or "\0" in text or any(map(_REPOSITORY.fullmatch, names)):
        return Verdict.REFUSE
    return Verdict.ASK if any(map(_IS_STARTUP.match, names)) else Verdict.TAKE


def shown(path: PurePosixPath | str) -> str:
    """Return a path from elsewhere as it may be printed, with an escape for all that shows nothing."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in str(path)
    )


def _plain(name: str) -> str:
    return name.translate(_IGNORED).casefold().partition(":")[0].rstrip(" .")
