"""`kedro databricks status`: compare code and data on this machine and on Databricks; changes nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from kedro_databricks_hybrid.cli.options import (
    Command,
    catalog_options,
    env_option,
    json_option,
    profile_option,
    say_json,
    waiting,
    warn,
)
from kedro_databricks_hybrid.cli.output import first_names, say_aligned, with_count
from kedro_databricks_hybrid.databricks import clusters, git_folder, git_folder_edits
from kedro_databricks_hybrid.databricks.workspace import connect
from kedro_databricks_hybrid.errors import (
    ConnectionFailedError,
    HybridError,
    SandboxError,
    UnexpectedAnswerError,
)
from kedro_databricks_hybrid.git import work_in_progress
from kedro_databricks_hybrid.git.remotes import without_credentials
from kedro_databricks_hybrid.parallel import start
from kedro_databricks_hybrid.project.project import open_project
from kedro_databricks_hybrid.run.local_state import CheckedFiles
from kedro_databricks_hybrid.transfer.plan import State, units_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import PurePosixPath

    from kedro.framework.startup import ProjectMetadata

    from kedro_databricks_hybrid.git.repository import Repository
    from kedro_databricks_hybrid.project.project import Project, ProjectOnWorkspace
    from kedro_databricks_hybrid.transfer.plan import Unit

_NO_ANSWER = (ConnectionFailedError, SandboxError, UnexpectedAnswerError)


@click.command(cls=Command)
@profile_option
@env_option
@catalog_options
@json_option
@click.pass_obj
def status(
    metadata: ProjectMetadata,
    profile: str | None,
    env: str | None,
    params: dict[str, Any],
    pipelines: list[str],
    as_json: bool,
) -> None:
    """Compare code and data on this machine and on Databricks, without changing anything.

    The exit status is 1 if the workspace did not answer, or not as its API documents.
    """
    project = open_project(metadata, env)
    local = _local(project)
    if not as_json:
        _show(local)
    with waiting("Asking the Git remote and Databricks, and comparing the data"):
        on_workspace = project.on(connect(profile, warn))
        sections = _remote_sections(on_workspace, lambda: _data(on_workspace, params, pipelines))
    if as_json:
        say_json({each.name: each.document for each in (local, *sections)})
    else:
        for section in sections:
            _show(section)
    if any(section.is_unknown for section in sections):
        raise SystemExit(1)


def _show(section: Section) -> None:
    for number, line in enumerate(section.lines):
        say_aligned("" if number else section.name, line, column=12)


@dataclass(frozen=True)
class Section:
    """One part of the report.

    Args:
        name: Its heading.
        lines: The lines to print.
        document: The same for `--json`.
        is_unknown: Whether the workspace did not answer, or not as its API documents.
    """

    name: str
    lines: list[str]
    document: dict[str, Any] = field(default_factory=dict)
    is_unknown: bool = False


def _local(project: Project) -> Section:
    """Describe branch, commit, distance from the upstream branch and uncommitted edits."""
    repository = project.repository
    commit = repository.commit("HEAD")
    branch = repository.run("branch", "--show-current").stdout.decode().strip() or None
    edits = repository.edited_paths()
    upstream, is_gone, ahead, behind = _distance(repository, branch)
    where = f"{branch or 'no branch'} at {commit or 'no commit'}"
    if is_gone:
        where += f", and {upstream} was deleted at the remote"
    elif ahead or behind:
        where += f", {ahead} ahead and {behind} behind {upstream}"
    elif branch and not upstream:
        where += ", never pushed"
    lines = [where]
    if edits:
        lines.append(f"{with_count(len(edits), 'uncommitted edit')}: {first_names(edits)}")
    document = {
        "branch": branch,
        "commit": commit.sha if commit else None,
        "upstream": None if is_gone else upstream,
        "ahead": ahead,
        "behind": behind,
        "edits": edits,
    }
    return Section("here", lines, document)


def _remote_sections(project: ProjectOnWorkspace, ask_data: Callable[[], Section]) -> list[Section]:
    """Ask the Git remote and Databricks at the same time; a section that fails shows its error."""
    asked: dict[str, Callable[[], Section]] = {
        "Git remote": lambda: _remote(project),
        "Git folder": lambda: _code(project),
        "cluster": lambda: _cluster(project),
        "last run": lambda: _last_run(project),
    }
    waiting = [start(partial(_or_error, name, ask)) for name, ask in asked.items()]
    data = _or_error("data", ask_data)  # it loads the project: not in a thread
    found = [future.result() for future in waiting]
    return [*found[:2], data, *found[2:]]


def _or_error(name: str, ask: Callable[[], Section]) -> Section:
    try:
        return ask()
    except HybridError as error:
        return Section(name, [str(error)], {"error": str(error)}, isinstance(error, _NO_ANSWER))


def _remote(project: Project) -> Section:
    repository, settings = project.repository, project.settings.code
    url = " and ".join(map(without_credentials, repository.push_urls(settings.remote)))
    branch = repository.branch()
    ref = f"refs/heads/{branch}"
    found = repository.at_remote(settings.remote, ref)
    document: dict[str, Any] = {"url": url, "branch": branch, "commit": found.get(ref) if found else None}
    if found is None:
        return Section("Git remote", [f"{url} does not answer"], {**document, "error": "no answer"})
    if ref not in found:
        return Section("Git remote", [f"{url} has no branch {branch}"], document)
    return Section("Git remote", [f"{branch} at {_commit(repository, found[ref])} in {url}"], document)


def _folder(project: ProjectOnWorkspace) -> Section:
    repository, path = project.repository, project.git_folder
    folder = git_folder.get(project.workspace, path)
    document: dict[str, Any] = {"path": str(path), "branch": folder.branch, "commit": folder.sha}
    head = repository.commit("HEAD")
    relation = "your commit" if head and head.sha == folder.sha else "not your commit"
    where = f"{folder.branch or 'no branch'} at {_commit(repository, folder.sha)}, {relation}, in {path}"
    store = CheckedFiles(project.workspace.host, str(path))
    checked = store.read()
    try:
        edits = git_folder_edits.read(project.workspace, folder, repository, checked=checked)
    except HybridError as error:
        lines = [where, f"edits unknown: {error.message}"]
        return Section("Git folder", lines, {**document, "edits": None}, isinstance(error, _NO_ANSWER))
    store.write(checked)
    lines = [where]
    if edits.paths:
        lines.append(f"{with_count(len(edits.paths), 'edit')} made in the Git folder: {edits}")
    return Section("Git folder", lines, {**document, "edits": edits.paths})


def _code(project: ProjectOnWorkspace) -> Section:
    if not project.syncs_files:
        return _folder(project)
    mirror = project.code()
    is_current = work_in_progress.holds_edits(project.repository, mirror.sha)
    relation = "your current files" if is_current else "not your current files"
    document = {"path": str(mirror.path), "commit": mirror.sha, "is_current": is_current}
    return Section(
        "files", [f"{_commit(project.repository, mirror.sha)}, {relation}, in {mirror.path}"], document
    )


def _cluster(project: ProjectOnWorkspace) -> Section:
    workspace, wanted = project.workspace, project.settings.compute.cluster
    chosen = None if wanted == clusters.SERVERLESS else clusters.choose(workspace, wanted)
    if chosen is None:
        document = {"id": None, "name": clusters.SERVERLESS, "state": None, "runtime": None}
        why = "" if wanted else f"{clusters.NONE_VISIBLE}: "
        return Section("cluster", [f"{why}serverless compute; every run becomes a job"], document)
    details = clusters.details(workspace, chosen)
    return Section(
        "cluster",
        [f"{details.name} is {details.state.lower()}, Databricks Runtime {details.runtime}"],
        {"id": details.cluster_id, "name": details.name, "state": details.state, "runtime": details.runtime},
    )


def _last_run(project: ProjectOnWorkspace) -> Section:
    from kedro_databricks_hybrid.run import history

    runs = history.latest(project.data_tree, 1)
    if not runs:
        return Section("last run", ["none"], {"id": None})
    run = runs[0]
    sha = run.info.get("commit")
    line = f"{run.run_id} {run.outcome}, ran {_commit(project.repository, sha)}"
    if user := run.info.get("user"):
        line += f" for {user}"
    return Section(
        "last run", [line], {"id": run.run_id, "outcome": run.outcome, "commit": sha, "user": user}
    )


def _data(project: ProjectOnWorkspace, params: Mapping[str, Any], pipelines: Collection[str]) -> Section:
    from pathlib import PurePosixPath

    from kedro_databricks_hybrid.project.project import in_data
    from kedro_databricks_hybrid.transfer import local

    root = project.data_tree.root
    known = project.catalog(params, pipelines).data()
    upload: list[str] = []
    download: list[str] = []
    conflict: list[str] = []
    for folder in project.data_folders:
        pairs = [pair.as_listed() for pair in folder.pull().pairs([PurePosixPath()])]
        units = units_of(pairs, with_local=True)
        inputs, results = (
            {local.inside(folder.path, path) for path in in_data(folder.path, paths)}
            for paths in (known.inputs, known.results)
        )
        clear = [unit for unit in units if not unit.must_be_compared]
        for found, below, states in (
            (upload, inputs, (State.ONLY_HERE, State.CHANGED_HERE)),
            (download, results, (State.ONLY_THERE, State.CHANGED_THERE)),
            (conflict, inputs | results, (State.CHANGED_BOTH,)),
        ):
            found += [f"{folder.prefix}{path}" for path in _in_state(clear, below, *states)]
    missing = project.missing_inputs(known)
    lines = [
        f"{len(upload)} to upload, {len(download)} to download, {len(conflict)} in conflict; {root}",
        *(f"{what}: {first_names(paths)}" for what, paths in
          (("upload", upload), ("download", download), ("conflict", conflict)) if paths),
        *([f"missing here and there: {first_names(missing)}"] if missing else []),
        *(f"unknown: the data of {module}, which cannot be imported here ({error})"
          for module, error in known.unknown.items()),
    ]  # fmt: skip
    document = {"root": root, "upload": upload, "download": download, "conflict": conflict}
    names = [each.dataset for each in missing]
    return Section("data", lines, {**document, "missing": names, "unknown": dict(known.unknown)})


def _in_state(units: list[Unit], below: set[PurePosixPath], *states: State) -> list[str]:
    return [
        str(unit.path)
        for unit in units
        if unit.state in states and (unit.path in below or any(each in below for each in unit.path.parents))
    ]


def _distance(repository: Repository, branch: str | None) -> tuple[str | None, bool, int, int]:
    """Return a branch's upstream, whether it is gone, and how many commits the branch is ahead and behind."""
    fields = "%(upstream:short)%00%(upstream:track,nobracket)"
    told = repository.run("for-each-ref", f"--format={fields}", f"refs/heads/{branch}") if branch else None
    upstream, _, track = (told.stdout.decode().strip("\n") if told else "").partition("\0")
    ahead, behind = (_counted(word, track) for word in ("ahead", "behind"))
    return upstream or None, track == "gone", ahead, behind


def _counted(word: str, track: str) -> int:
    found = re.search(rf"{word} (\d+)", track)
    return int(found[1]) if found else 0


def _commit(repository: Repository, sha: str | None) -> str:
    if not sha:
        return "no commit"
    return str(repository.commit(sha) or f"{sha[:7]} (not in this repository)")
