"""Find modules of the project that are on this machine, but not in what reaches Databricks."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kedro_databricks_hybrid.project.project import Project

_NO_MODULE = re.compile(r"No module named '([\w.]+)'")
_NO_NAME = re.compile(r"cannot import name '(\w+)' from (?:partially initialized module )?'([\w.]+)'")


@dataclass(frozen=True)
class Ignored:
    """A file that git ignores, and the line that makes it do so.

    Args:
        path: The file, relative to the project.
        rule: The file with the line, its number, and its pattern, as words.
    """

    path: str
    rule: str

    def __str__(self) -> str:
        return f"{self.path} ({self.rule})"


def imported(project: Project) -> list[Ignored]:
    """Return the files in the project's package that this process has imported and git ignores."""
    metadata = project.metadata
    package = metadata.source_dir / metadata.package_name
    files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    inside = {Path(each) for each in files if each and Path(each).is_relative_to(package)}
    return _ignored(project, sorted(os.path.relpath(each, metadata.project_path) for each in inside))


def next_step(project: Project, error: str, sha: str | None) -> str | None:
    """Return what to do about an import that failed on Databricks, if the module is on this machine.

    Args:
        project: The project.
        error: The last line of the traceback.
        sha: The commit that ran; None if it is unknown, or if uncommitted files ran.
    """
    file = _file_of(project, error)
    if file is None:
        return None
    ignored = _ignored(project, [file])
    if project.syncs_files:
        if not ignored:
            return f"{file} is here: push, then run again."
        return f"{ignored[0]} is here, but not in what push sends: change that line, then push and run again."
    commit = project.repository.commit(sha) if sha else None
    if commit is None or project.repository.id_at(commit.sha, file):
        return None
    if project.repository.id_at("HEAD", file):
        return f"{file} is in a later commit: push, then run again."
    left_out = f": {ignored[0].rule} leaves it out" if ignored else ""
    add = f"git add {'--force ' if ignored else ''}{file}"
    return (
        f"{file} is here, but not in the commit {commit.sha[:7]}{left_out}. "
        f"Run `{add}`, commit, then push and run again."
    )


def _file_of(project: Project, error: str) -> str | None:
    """Return the file here, relative to the project, of the module that an error says is missing."""
    if match := _NO_MODULE.search(error):
        name = match[1]
    elif match := _NO_NAME.search(error):
        name = f"{match[2]}.{match[1]}"
    else:
        return None
    root, path = project.metadata.project_path, name.replace(".", "/")
    tops = (project.metadata.source_dir, root)
    for file in (top / each for top in tops for each in (f"{path}.py", f"{path}/__init__.py")):
        if file.is_file():
            return Path(os.path.relpath(file, root)).as_posix()
    return None


def _ignored(project: Project, paths: Sequence[str]) -> list[Ignored]:
    if not paths:
        return []
    given = "".join(f"{path}\0" for path in paths)
    result = project.repository.run("check-ignore", "--verbose", "-z", "--stdin", given=given)
    fields = result.stdout.decode("utf-8", "replace").split("\0")
    found = zip(*(fields[first::4] for first in range(4)), strict=False)
    return [Ignored(path, f"{source}, line {line}: {rule}") for source, line, rule, path in found]
