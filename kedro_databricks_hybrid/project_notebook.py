"""The notebook of the project as a commit has it: whether jobs can run it there, and from where."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from kedro_databricks_hybrid import notebook_text
from kedro_databricks_hybrid.errors import NotFoundError

if TYPE_CHECKING:
    from kedro_databricks_hybrid.code import Source
    from kedro_databricks_hybrid.git import Repository


def require(repository: Repository, sha: str) -> None:
    """Refuse a commit whose notebook a job cannot run.

    Raises:
        NotFoundError: It has none, or one that does not take a job's parameters.
    """
    found = [repository.file_at(sha, path) for path in (notebook_text.PATH, notebook_text.JUPYTER_PATH)]
    texts = [each.decode("utf-8", "replace") for each in found if each is not None]
    if any(notebook_text.takes_jobs(text) for text in texts):
        return
    problem = "is not one that jobs can run" if texts else "is missing"
    raise NotFoundError(
        f"The notebook {notebook_text.NAME} of commit {sha[:7]} {problem}.",
        hint=f"Run `kedro databricks notebook{' --force' if texts else ''}`, commit it, then "
        "`kedro databricks push`.",
    )


def path_in_repository(repository: Repository) -> PurePosixPath:
    """Return the notebook's path in the repository, as a task with a git source names it."""
    return PurePosixPath(repository.prefix) / notebook_text.NAME


def git_source(source: Source, *, commit: str | None = None, branch: str | None = None) -> dict[str, str]:
    """Return where Databricks checks the code out from, as the jobs API takes it.

    Args:
        source: The remote and its provider.
        commit: The exact commit, or
        branch: the branch whose newest commit counts whenever a run starts.
    """
    ref = {"git_commit": commit} if commit else {"git_branch": branch or source.branch}
    return {"git_url": source.url, "git_provider": source.provider, **ref}
