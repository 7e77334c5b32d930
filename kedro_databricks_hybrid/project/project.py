"""The project that a command works on: settings, repository and data, and its paths on a workspace."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.databricks import git_folder, mirror
from kedro_databricks_hybrid.errors import SettingsError
from kedro_databricks_hybrid.git.repository import Repository
from kedro_databricks_hybrid.project import settings as databricks_yml
from kedro_databricks_hybrid.project.datasets import CatalogOptions, ProjectCatalog
from kedro_databricks_hybrid.transfer.missing import find_missing
from kedro_databricks_hybrid.transfer.trees.open import open_tree

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from kedro.framework.startup import ProjectMetadata

    from kedro_databricks_hybrid.databricks.git_folder import GitFolder
    from kedro_databricks_hybrid.databricks.workspace import Workspace
    from kedro_databricks_hybrid.project.datasets import ProjectData
    from kedro_databricks_hybrid.project.requirements import Requirements
    from kedro_databricks_hybrid.project.settings import Settings
    from kedro_databricks_hybrid.transfer.missing import MissingInput
    from kedro_databricks_hybrid.transfer.trees.protocol import RemoteTree

_KEYS_WITH_PATHS = ("path", "traceback")


@dataclass(frozen=True)
class Project:
    """A Kedro project on this machine: its metadata, env, settings and repository."""

    metadata: ProjectMetadata
    env: str | None
    settings: Settings
    repository: Repository

    @property
    def data(self) -> Path:
        """The local data folder."""
        return self.metadata.project_path / self.settings.data.local

    @property
    def syncs_files(self) -> bool:
        """Whether uncommitted files are what runs, instead of commits."""
        return self.settings.code.sync == "files"

    def require_env_in(self, sha: str | None) -> None:
        """Refuse a commit without the env's folder, as a run would fail on Databricks.

        Args:
            sha: The commit; one that this repository lacks is not checked.

        Raises:
            SettingsError: The folder is not in it.
        """
        commit = self.repository.commit(sha) if self.env and sha and not self.syncs_files else None
        folder = f"conf/{self.env}"
        if commit is None or self.repository.has_folder(commit.sha, folder):
            return
        ignored = self.repository.run("check-ignore", "--quiet", f"{folder}/{databricks_yml.FILE_NAME}")
        force = "--force " if ignored.returncode == 0 else ""
        raise SettingsError(
            f"{folder} is not in the commit {commit}, and only commits reach Databricks.",
            hint=f"Run `git add {force}{folder}`, commit, then push.",
        )

    def on(self, workspace: Workspace) -> ProjectOnWorkspace:
        """Return this project together with a workspace, and so with its paths there."""
        return ProjectOnWorkspace(self.metadata, self.env, self.settings, self.repository, workspace)


@dataclass(frozen=True)
class ProjectOnWorkspace(Project):
    """A project and the workspace that a command works on; each path is computed once, at first use."""

    workspace: Workspace

    @cached_property
    def git_folder(self) -> PurePosixPath:
        """The path of the Git folder."""
        return PurePosixPath(self.filled(self.settings.code.folder))

    @cached_property
    def mirror_folder(self) -> PurePosixPath:
        """The path of the folder that `code.sync: files` sends the working tree to."""
        return mirror.path_beside(self.git_folder, self.workspace.user)

    @cached_property
    def folder(self) -> PurePosixPath:
        """The path of the Kedro project, which may lie in a folder below the top of its repository."""
        return (self.mirror_folder if self.syncs_files else self.git_folder) / self.repository.prefix

    @cached_property
    def data_root(self) -> str:
        """The data root with its placeholders filled in.

        Raises:
            SettingsError: The settings have no data root.
        """
        root = self.settings.data.root
        if root is None:
            message = "The project has no data root on Databricks yet."
            raise SettingsError(message, hint=self._root_hint())
        return self.filled(root)

    @cached_property
    def data_tree(self) -> RemoteTree:
        """The files below the data root."""
        return open_tree(self.workspace, self.data_root)

    def _root_hint(self) -> str:
        if self.env not in {None, databricks_yml.DATABRICKS_ENV}:
            return f"Set data.root in conf/{self.env}/{databricks_yml.FILE_NAME}."
        return f"`kedro databricks init --yes{self.workspace.flags}` takes the default one."

    @property
    def data_key(self) -> str:
        """What local state calls the data root, unique across workspaces; the sandbox may change its port."""
        host = "local" if self.workspace.is_local else self.workspace.host
        return f"{host} {self.data_tree.root}"

    @property
    def local_paths(self) -> LocalPaths:
        """Translates paths of the project on the workspace to local ones."""
        return LocalPaths(self.folder, self.metadata.project_path)

    def attach_command(self, run_id: str) -> str:
        """Return the command that follows a run again."""
        return f"kedro databricks attach {run_id}{self.workspace.flags}"

    def catalog(self, params: Mapping[str, Any], pipelines: Collection[str] = ()) -> ProjectCatalog:
        """Read the project's pipelines and catalog.

        Args:
            params: The parameters of `--params`.
            pipelines: The chosen pipelines; none means all.

        Raises:
            UnknownDataError: The project cannot be loaded.
        """
        options = CatalogOptions(self.env, params, pipelines, self.workspace.user)
        return ProjectCatalog(self.metadata, options)

    def missing_inputs(self, known: ProjectData) -> list[MissingInput]:
        """Return the inputs of pipelines that exist neither in the local data folder nor at the data root."""
        inputs = {name: in_data(self.data, paths) for name, paths in known.named_inputs.items()}
        return find_missing(self.data_tree, self.data, inputs)

    def code(self) -> GitFolder:
        """Return the code that a run uses: the Git folder, or the mirror of the working tree.

        Raises:
            NotFoundError: It does not exist.
        """
        if self.syncs_files:
            return mirror.get(self.workspace, self.mirror_folder)
        return git_folder.get(self.workspace, self.git_folder)

    def requirements(self, sha: str | None) -> Requirements | None:
        """Return a commit's requirements; a wheel replaces this package if it is not from an index.

        Args:
            sha: The commit of the code on the workspace; None if it has none.
        """
        from kedro_databricks_hybrid.project import own_package, requirements

        read = self.repository.reader(sha or "", requirements.FILES)
        found = requirements.find_requirements(self.folder, read, self.settings.compute.pip_options)
        wheel = own_package.path_for(self.workspace) if found and found.includes_own_package else None
        return found.with_own_wheel(wheel) if found and wheel else found

    def filled(self, template: str) -> str:
        """Return a path of the settings with its placeholders filled in."""
        return databricks_yml.fill(
            template,
            user=self.workspace.user,
            project=databricks_yml.project_name(self.metadata.package_name),
            branch=self.repository.branch() if "{branch}" in template else None,
        )


@dataclass(frozen=True)
class LocalPaths:
    """Translates paths of the project on the workspace to local ones.

    Args:
        remote: The project's folder on the workspace.
        local: The project's folder on this machine.
    """

    remote: PurePosixPath
    local: Path

    def in_text(self, text: str) -> str:
        """Replace the paths of files that also exist on this machine."""
        return re.sub(rf"{re.escape(str(self.remote))}/([^\s\"':,]+)", self._local, text)

    def in_record(self, record: dict[str, Any]) -> dict[str, Any]:
        """Replace such paths in a record of a run log."""
        found = {key: self.in_text(record[key]) for key in _KEYS_WITH_PATHS if key in record}
        return {**record, **found}

    def _local(self, match: re.Match[str]) -> str:
        path = self.local / match[1]
        return str(path) if path.exists() else match[0]


def open_project(metadata: ProjectMetadata, env: str | None) -> Project:
    """Read what can be known about a project without a network.

    Args:
        metadata: Kedro's description of the project.
        env: The Kedro env; None selects `databricks` if the project has it.

    Raises:
        SettingsError: databricks.yml is invalid, or the project has no such env.
        GitError: The project is not in a Git repository.
    """
    path = metadata.project_path
    if env:
        databricks_yml.require_env(path, env)
    applied = env or databricks_yml.default_env(path)
    return Project(metadata, applied, databricks_yml.load(path, applied), Repository(path))


def in_data(data: Path, paths: Collection[Path]) -> list[Path]:
    """Return the paths that lie in the data folder."""
    return [path for path in paths if path.is_relative_to(data) and ".." not in path.relative_to(data).parts]
