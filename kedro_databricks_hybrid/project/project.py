"""The project that a command works on: its settings, its repository, its data, its paths."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.databricks import git_folder, mirror
from kedro_databricks_hybrid.errors import SettingsError
from kedro_databricks_hybrid.git.repository import Repository
from kedro_databricks_hybrid.project import settings as databricks_yml

if TYPE_CHECKING:
    from collections.abc import Collection

    from kedro.framework.startup import ProjectMetadata

    from kedro_databricks_hybrid.databricks.git_folder import GitFolder
    from kedro_databricks_hybrid.databricks.workspace import Workspace
    from kedro_databricks_hybrid.project.requirements import Requirements
    from kedro_databricks_hybrid.project.settings import Settings


@dataclass(frozen=True)
class Project:
    """A Kedro project here: Kedro's metadata, the env that applies, its settings and its repository."""

    metadata: ProjectMetadata
    env: str | None
    settings: Settings
    repository: Repository

    @property
    def data(self) -> Path:
        """The local data folder."""
        return self.metadata.project_path / self.settings.data.local

    def git_folder(self, workspace: Workspace) -> PurePosixPath:
        """Return the path of the project's Git folder."""
        return PurePosixPath(self.filled(self.settings.code.folder, workspace))

    def folder(self, workspace: Workspace) -> PurePosixPath:
        """Return the path of the Kedro project, which may be a folder inside the one with the code."""
        code = self.files_folder(workspace) if self.syncs_files else self.git_folder(workspace)
        return code / self.repository.prefix

    @property
    def syncs_files(self) -> bool:
        """Whether uncommitted files are what runs, instead of commits."""
        return self.settings.code.sync == "files"

    def files_folder(self, workspace: Workspace) -> PurePosixPath:
        """Return the path of the folder that uncommitted files go to."""
        return mirror.path_beside(self.git_folder(workspace), workspace.user)

    def code_there(self, workspace: Workspace) -> GitFolder:
        """Return what a run runs: the Git folder, or the mirror of the working tree.

        Raises:
            NotFoundError: There is none.
        """
        if self.syncs_files:
            return mirror.get(workspace, self.files_folder(workspace))
        return git_folder.get(workspace, self.git_folder(workspace))

    def requirements(self, workspace: Workspace, sha: str | None) -> Requirements | None:
        """Return what a commit wants installed there; a wheel of this package where no index has it."""
        from kedro_databricks_hybrid.project import requirements
        from kedro_databricks_hybrid.run import own_package

        read = self.repository.reader(sha or "", requirements.FILES)
        found = requirements.find_requirements(
            self.folder(workspace), read, self.settings.compute.pip_options
        )
        wheel = own_package.path_for(workspace) if found and found.wants_own else None
        return found.with_own(wheel) if found and wheel else found

    def data_root(self, workspace: Workspace) -> str:
        """Return the data root with its placeholders filled in.

        Raises:
            SettingsError: The settings give none.
        """
        root = self.settings.data.root
        if root is None:
            message = "The project has no data root on Databricks yet."
            raise SettingsError(message, hint=self._root_hint(workspace))
        return self.filled(root, workspace)

    def _root_hint(self, workspace: Workspace) -> str:
        if self.env not in {None, databricks_yml.DATABRICKS_ENV}:
            return f"Set data.root in conf/{self.env}/{databricks_yml.FILE_NAME}."
        return f"`kedro databricks init --yes{workspace.flags}` takes the default one."

    def filled(self, template: str, workspace: Workspace) -> str:
        """Return a path of the settings with its placeholders filled in."""
        return databricks_yml.fill(
            template,
            user=workspace.user,
            project=databricks_yml.project_name(self.metadata.package_name),
            branch=self.repository.branch() if "{branch}" in template else None,
        )


def open_project(metadata: ProjectMetadata, env: str | None) -> Project:
    """Read everything about a project that is known without a network.

    Args:
        metadata: As Kedro's CLI hands it over.
        env: The env that was asked for; None takes `databricks` where the project has it.

    Raises:
        SettingsError: databricks.yml is wrong, or the project has no such env.
        GitError: The project is not in a Git repository.
    """
    path = metadata.project_path
    if env:
        databricks_yml.require_env(path, env)
    applied = env or databricks_yml.default_env(path)
    return Project(metadata, applied, databricks_yml.load(path, applied), Repository(path))


def data_root_key(workspace: Workspace, root: str) -> str:
    """Return what names a data root across workspaces; the sandbox may change its port."""
    return f"{'local' if workspace.is_local else workspace.host} {root}"


def in_data(data: Path, paths: Collection[Path]) -> list[Path]:
    """Return the paths in the data folder; datasets elsewhere are none of ours."""
    return [path for path in paths if path.is_relative_to(data) and ".." not in path.relative_to(data).parts]
