"""The project's notebook: the guide's four cells, for users and for jobs. Pure except `require_for_jobs`.

A job can run it at a commit if that commit's notebook reads a job's parameters.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.errors import NotFoundError

if TYPE_CHECKING:
    from kedro_databricks_hybrid.git.repository import Repository
    from kedro_databricks_hybrid.project.git_source import Source
    from kedro_databricks_hybrid.project.requirements import Requirements

NAME = PurePosixPath("notebooks/run_on_databricks")
"""Its path in the project without extension, as Databricks lists it."""

PATH = f"{NAME}.py"
"""Its path in the project, in Databricks' source format."""

JUPYTER_PATH = f"{NAME}.ipynb"
"""Its path as a Jupyter notebook."""

_INTRODUCTION = """\
Attach this notebook to a cluster and run its cells in order. After you change the code, run the last
two again. Its paths are relative, so it works in any user's Git folder."""

_RUN_OR_JOB = """\
from kedro_databricks_hybrid.job_task import ran_as_job

if not ran_as_job():  # in a job, runs what the job's parameters say
    session.run()"""


@dataclass(frozen=True)
class Content:
    """The content of a project's notebook.

    Args:
        requirements: The requirements file, relative to the project; None if pip cannot install one.
        env: The Kedro env to load; None for Kedro's default.
        takes_jobs: Whether the requirements install this package, so that jobs can run the notebook.
        has_paths: Whether the file names relative paths, for which pip must run in the project's folder.
    """

    requirements: str | None = "requirements.txt"
    env: str | None = "databricks"
    takes_jobs: bool = True
    has_paths: bool = False

    @property
    def cells(self) -> list[str]:
        """The code cells."""
        install = [f"%pip install -r ../{self.requirements}"] if self.requirements else []
        if self.requirements and self.has_paths:
            install = ["%cd ..", f"%pip install -r {self.requirements}", f"%cd {NAME.parent}"]
        env = f" --env={self.env}" if self.env else ""
        run = _RUN_OR_JOB if self.takes_jobs else "session.run()"
        return [*install, "%load_ext kedro.ipython", f"%reload_kedro ..{env}", run]

    def as_source(self) -> str:
        """Return the notebook in Databricks' source format."""
        introduction = "\n".join(f"# MAGIC {line}" for line in ("%md", *_INTRODUCTION.splitlines()))
        cells = [f"# MAGIC {cell}" if cell.startswith("%") else cell for cell in self.cells]
        return (
            "# Databricks notebook source\n"
            + "\n\n# COMMAND ----------\n\n".join([introduction, *cells])
            + "\n"
        )

    def as_jupyter(self) -> str:
        """Return the notebook in Jupyter's format."""
        cells = [_cell(0, "markdown", _INTRODUCTION)]
        cells += [_cell(number, "code", text) for number, text in enumerate(self.cells, 1)]
        kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
        document = {
            "cells": cells,
            "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
            "nbformat": 4,
            "nbformat_minor": 5,
        }
        return json.dumps(document, indent=1) + "\n"


def takes_jobs(text: str) -> bool:
    """Tell whether a notebook reads a job's parameters."""
    return "ran_as_job()" in text


def content_for(required: Requirements | None, env: str | None, *, takes_jobs: bool = True) -> Content:
    """Return the content of the notebook of a project with these requirements.

    Args:
        required: The project's requirements; None if it has none.
        env: The Kedro env to load.
        takes_jobs: Whether the requirements install this package.
    """
    if required is None or not required.is_for_pip:
        return Content(None, env=env, takes_jobs=takes_jobs)
    return Content(str(required.path), env, takes_jobs, required.listing.needs_own_folder)


def _cell(number: int, kind: str, text: str) -> dict[str, object]:
    cell: dict[str, object] = {"cell_type": kind, "id": f"cell-{number}", "metadata": {}}
    if kind == "code":
        cell |= {"execution_count": None, "outputs": []}
    return {**cell, "source": text.splitlines(keepends=True)}


def require_for_jobs(repository: Repository, sha: str) -> None:
    """Refuse a commit whose notebook a job cannot run.

    Raises:
        NotFoundError: It has none, or one that does not read a job's parameters.
    """
    found = [repository.file_at(sha, path) for path in (PATH, JUPYTER_PATH)]
    texts = [each.decode("utf-8", "replace") for each in found if each is not None]
    if any(takes_jobs(text) for text in texts):
        return
    problem = "cannot be run by jobs" if texts else "is missing"
    raise NotFoundError(
        f"The notebook {NAME} of commit {sha[:7]} {problem}.",
        hint=f"Run `kedro databricks notebook{' --force' if texts else ''}`, commit it, then "
        "`kedro databricks push`.",
    )


def path_in_repository(repository: Repository) -> PurePosixPath:
    """Return the notebook's path in the repository, for a task with a Git source."""
    return PurePosixPath(repository.prefix) / NAME


def git_source(source: Source, *, commit: str | None = None, branch: str | None = None) -> dict[str, str]:
    """Return the Git source of a job, in the form of the jobs API.

    Args:
        source: The remote and its provider.
        commit: The exact commit to run.
        branch: Without a commit, the branch whose newest commit each run uses.
    """
    ref = {"git_commit": commit} if commit else {"git_branch": branch or source.branch}
    return {"git_url": source.url, "git_provider": source.provider, **ref}
