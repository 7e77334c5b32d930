"""`kedro databricks status`: code and data here and on Databricks, side by side; changes nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from kedro_databricks_hybrid.cli.options import Command, env_option, profile_option, say, say_json
from kedro_databricks_hybrid.databricks import clusters, git_folder, git_folder_edits
from kedro_databricks_hybrid.databricks.workspace import connect
from kedro_databricks_hybrid.errors import HybridError
from kedro_databricks_hybrid.git import work_in_progress
from kedro_databricks_hybrid.git.repository import Repository, without_credentials
from kedro_databricks_hybrid.project.project import open_project
from kedro_databricks_hybrid.transfer.plan import State

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import PurePosixPath

    from kedro.framework.startup import ProjectMetadata

    from kedro_databricks_hybrid.databricks.workspace import Workspace
    from kedro_databricks_hybrid.project.project import Project
    from kedro_databricks_hybrid.transfer.plan import Pair


@click.command(cls=Command)
@profile_option
@env_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def status(metadata: ProjectMetadata, profile: str | None, env: str | None, as_json: bool) -> None:
    """Show side by side where code and data stand here and on Databricks; nothing is changed."""
    project = open_project(metadata, env)
    here = local_section(project)
    if not as_json:
        _show(here)
    sections = remote_sections(project, connect(profile))
    if as_json:
        say_json({each.name: each.facts for each in (here, *sections)})
        return
    for section in sections:
        _show(section)


def _show(section: Section) -> None:
    for name, line in zip((section.name, *[""] * len(section.lines)), section.lines, strict=False):
        say(f"{name:<11} {line}")


@dataclass(frozen=True)
class Section:
    """One thing's state: what it is called, what a person reads, and the same for programs."""

    name: str
    lines: list[str]
    facts: dict[str, Any] = field(default_factory=dict)


def local_section(project: Project) -> Section:
    """Tell branch, commit, distance from the upstream and uncommitted edits of the repository."""
    repository = project.repository
    commit = repository.commit("HEAD")
    branch = repository.run("branch", "--show-current").stdout.decode().strip() or None
    edits = repository.edited_paths()
    upstream, ahead, behind = _distance(repository)
    where = f"{branch or 'no branch'} at {commit or 'no commit'}"
    if upstream and (ahead or behind):
        where += f", {ahead} ahead and {behind} behind {upstream}"
    elif branch and not upstream:
        where += ", never pushed"
    lines = [where]
    if edits:
        lines.append(f"{_count(len(edits), 'uncommitted edit')}: {_names(edits)}")
    facts = {
        "branch": branch,
        "commit": commit.sha if commit else None,
        "upstream": upstream,
        "ahead": ahead,
        "behind": behind,
        "edits": edits,
    }
    return Section("here", lines, facts)


def remote_sections(project: Project, workspace: Workspace) -> list[Section]:
    """Ask the Git remote and Databricks, all at once; what cannot be told says why."""
    asked: dict[str, Callable[[], Section]] = {
        "Git remote": lambda: _remote(project),
        "Git folder": lambda: _code(project, workspace),
        "cluster": lambda: _cluster(project, workspace),
        "last run": lambda: _last_run(project, workspace),
    }
    with ThreadPoolExecutor(len(asked)) as pool:
        waiting = {name: pool.submit(_told, name, ask) for name, ask in asked.items()}
        data = _told("data", lambda: _data(project, workspace))  # it loads the project: not in a thread
    found = [future.result() for future in waiting.values()]
    return [*found[:2], data, *found[2:]]


def _told(name: str, ask: Callable[[], Section]) -> Section:
    try:
        return ask()
    except HybridError as error:
        return Section(name, [str(error)], {"error": str(error)})


def _remote(project: Project) -> Section:
    repository, settings = project.repository, project.settings.code
    url = without_credentials(repository.remote_url(settings.remote))
    branch = repository.branch()
    ref = f"refs/heads/{branch}"
    found = repository.at_remote(settings.remote, ref)
    facts: dict[str, Any] = {"url": url, "branch": branch, "commit": found.get(ref) if found else None}
    if found is None:
        return Section("Git remote", [f"{url} does not answer"], {**facts, "error": "no answer"})
    if ref not in found:
        return Section("Git remote", [f"{url} has no branch {branch}"], facts)
    return Section("Git remote", [f"{branch} at {_commit(repository, found[ref])} in {url}"], facts)


def _folder(project: Project, workspace: Workspace) -> Section:
    repository, path = project.repository, project.git_folder(workspace)
    folder = git_folder.get(workspace, path)
    facts: dict[str, Any] = {"path": str(path), "branch": folder.branch, "commit": folder.sha}
    head = repository.commit("HEAD")
    relation = "your commit" if head and head.sha == folder.sha else "not your commit"
    where = f"{folder.branch or 'no branch'} at {_commit(repository, folder.sha)}, {relation}, in {path}"
    try:
        edits = git_folder_edits.read(workspace, folder, repository)
    except HybridError as error:
        return Section("Git folder", [where, f"edits unknown: {error.message}"], {**facts, "edits": None})
    lines = [where]
    if edits.paths:
        lines.append(f"{_count(len(edits.paths), 'edit')} made there: {edits}")
    return Section("Git folder", lines, {**facts, "edits": edits.paths})


def _code(project: Project, workspace: Workspace) -> Section:
    if not project.syncs_files:
        return _folder(project, workspace)
    mirror = project.code_there(workspace)
    is_now = work_in_progress.holds_edits(project.repository, mirror.sha)
    relation = "your files as they are" if is_now else "not your files as they are"
    facts = {"path": str(mirror.path), "commit": mirror.sha, "is_current": is_now}
    return Section(
        "files", [f"{_commit(project.repository, mirror.sha)}, {relation}, in {mirror.path}"], facts
    )


def _cluster(project: Project, workspace: Workspace) -> Section:
    wanted = project.settings.compute.cluster
    chosen = None if wanted == clusters.SERVERLESS else clusters.choose(workspace, wanted)
    if chosen is None:
        facts = {"id": None, "name": clusters.SERVERLESS, "state": None, "runtime": None}
        why = "" if wanted else f"{clusters.NONE_VISIBLE}: "
        return Section("cluster", [f"{why}serverless compute; every run becomes a job"], facts)
    details = clusters.details(workspace, chosen)
    return Section(
        "cluster",
        [f"{details.name} is {details.state.lower()}, Databricks Runtime {details.runtime}"],
        {"id": details.cluster_id, "name": details.name, "state": details.state, "runtime": details.runtime},
    )


def _last_run(project: Project, workspace: Workspace) -> Section:
    from kedro_databricks_hybrid.run import history
    from kedro_databricks_hybrid.transfer.trees.open import open_tree

    runs = history.latest(open_tree(workspace, project.data_root(workspace)), 1)
    if not runs:
        return Section("last run", ["none"], {"id": None})
    run = runs[0]
    sha = run.facts.get("commit")
    line = f"{run.run_id} {run.outcome}, ran {_commit(project.repository, sha)}"
    if user := run.facts.get("user"):
        line += f" for {user}"
    return Section(
        "last run", [line], {"id": run.run_id, "outcome": run.outcome, "commit": sha, "user": user}
    )


def _data(project: Project, workspace: Workspace) -> Section:
    from pathlib import PurePosixPath

    from kedro_databricks_hybrid.project import datasets
    from kedro_databricks_hybrid.project.project import data_root_key, in_data
    from kedro_databricks_hybrid.transfer import local
    from kedro_databricks_hybrid.transfer.pull import Pull
    from kedro_databricks_hybrid.transfer.trees.open import open_tree

    tree = open_tree(workspace, project.data_root(workspace))
    pairs = Pull(tree, project.data, data_root_key(workspace, tree.root)).pairs([PurePosixPath()])
    known = datasets.of_project(project.metadata)
    inputs, results = (
        {local.inside(project.data, path) for path in in_data(project.data, paths)}
        for paths in (known.inputs, known.results)
    )
    clear = [pair for pair in pairs if not pair.must_be_compared]
    upload = _in_state(clear, inputs, State.ONLY_HERE, State.CHANGED_HERE)
    download = _in_state(clear, results, State.ONLY_THERE, State.CHANGED_THERE)
    conflict = _in_state(clear, inputs | results, State.CHANGED_BOTH)
    lines = [
        f"{len(upload)} to upload, {len(download)} to download, {len(conflict)} in conflict; {tree.root}",
        *(f"{what}: {_names(paths)}" for what, paths in
          (("upload", upload), ("download", download), ("conflict", conflict)) if paths),
    ]  # fmt: skip
    return Section(
        "data", lines, {"root": tree.root, "upload": upload, "download": download, "conflict": conflict}
    )


def _in_state(pairs: list[Pair], below: set[PurePosixPath], *states: State) -> list[str]:
    return [
        str(pair.path)
        for pair in pairs
        if pair.state in states and (pair.path in below or any(each in below for each in pair.path.parents))
    ]


def _distance(repository: Repository) -> tuple[str | None, int, int]:
    named = repository.run("rev-parse", "--abbrev-ref", "--symbolic-full-name", "@{upstream}")
    if named.returncode != 0:
        return None, 0, 0
    counted = repository.run("rev-list", "--left-right", "--count", "HEAD...@{upstream}").stdout.split()
    ahead, behind = (int(number) for number in counted) if len(counted) == 2 else (0, 0)
    return named.stdout.decode().strip(), ahead, behind


def _commit(repository: Repository, sha: str | None) -> str:
    if not sha:
        return "no commit"
    return str(repository.commit(sha) or f"{sha[:7]} (not here)")


def _names(paths: list[str]) -> str:
    return ", ".join(paths[:5]) + (f" and {len(paths) - 5} more" if len(paths) > 5 else "")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
