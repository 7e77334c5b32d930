"""The project that a command works on: settings, repository and data, and its paths on a workspace."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.databricks import git_folder, mirror
from kedro_databricks_hybrid.databricks.secret_scope import SecretScope
from kedro_databricks_hybrid.errors import SettingsError
from kedro_databricks_hybrid.git.project_files import CommitFiles
from kedro_databricks_hybrid.git.repository import Repository
from kedro_databricks_hybrid.project import settings as databricks_yml
from kedro_databricks_hybrid.project.datasets import CatalogOptions, ProjectCatalog, conf_folder
from kedro_databricks_hybrid.transfer import local
from kedro_databricks_hybrid.transfer.missing import find_missing
from kedro_databricks_hybrid.transfer.progress import Progress
from kedro_databricks_hybrid.transfer.pull import Pull
from kedro_databricks_hybrid.transfer.push import Push
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

_CODE = re.compile(r'(File ")([^"\n]+)(", line \d)')


@dataclass(frozen=True)
class Project:
    """A Kedro project on this machine: its metadata, env, settings and repository."""

    metadata: ProjectMetadata
    env: str | None
    settings: Settings
    repository: Repository
    conf: Path

    @property
    def conf_name(self) -> str:
        """The folder of the configuration as messages and git name it: relative to the project."""
        return Path(os.path.relpath(self.conf, self.metadata.project_path)).as_posix()

    @property
    def data(self) -> Path:
        """The local data folder."""
        return self.metadata.project_path / self.settings.data.local

    @property
    def syncs_files(self) -> bool:
        """Whether uncommitted files are what runs, instead of commits."""
        return self.settings.code.sync == "files"

    def require_env_in(self, sha: str | None) -> None:
        """Refuse a commit without the env's folder or a data root, since only commits reach Databricks.

        Without the folder a run would fail there; without a data root it would write its results into the Git
        folder.

        Args:
            sha: The commit; one that this repository lacks is not checked.

        Raises:
            SettingsError: The folder is not in it, or its settings have no data root although those here do.
        """
        commit = self.repository.commit(sha) if self.env and sha and not self.syncs_files else None
        if commit is None:
            return
        folder = f"{self.conf_name}/{self.env}"
        if not self.repository.has_folder(commit.sha, folder):
            ignored = self.repository.run("check-ignore", "--quiet", f"{folder}/{databricks_yml.FILE_NAME}")
            force = "--force " if ignored.returncode == 0 else ""
            raise SettingsError(
                f"{folder} is not in the commit {commit}, and only commits reach Databricks.",
                hint=f"Run `git add {force}{folder}`, commit, then push.",
            )
        names = [
            f"{self.conf_name}/{env}/{databricks_yml.FILE_NAME}"
            for env in (databricks_yml.BASE_ENV, self.env)
        ]
        texts = self.repository.files_at(commit.sha, names)
        layers = [
            databricks_yml.parse(text.decode(errors="replace"), where=name) for name, text in texts.items()
        ]
        if self.settings.data.root and not databricks_yml.merge(*layers).data.root:
            raise SettingsError(
                f"The commit {commit} has no data root, and only commits reach Databricks.",
                hint=f"Run `git add {self.conf_name}`, commit, then push.",
            )

    def on(self, workspace: Workspace) -> ProjectOnWorkspace:
        """Return this project together with a workspace, and so with its paths there."""
        return ProjectOnWorkspace(
            self.metadata, self.env, self.settings, self.repository, self.conf, workspace
        )


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
        is_own = self.conf == conf_folder(self.metadata)  # `init` writes no other
        if self.env not in {None, databricks_yml.DATABRICKS_ENV} or not is_own:
            return f"Set data.root in {self.conf_name}/{self.env or 'base'}/{databricks_yml.FILE_NAME}."
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
        options = CatalogOptions(self.env, params, pipelines, self.workspace.user, self.conf)
        return ProjectCatalog(self.metadata, options)

    @cached_property
    def data_folders(self) -> tuple[DataFolder, ...]:
        """The local data folder, then those of `data.folders`.

        Raises:
            SettingsError: Two of them would be one at the data root.
        """
        others = self.settings.data.folders or []
        names = [PurePosixPath(each).name for each in others]
        if same := [name for name in names if (self.data / name).exists()]:
            raise SettingsError(
                f"The folders {self.settings.data.local}/{same[0]} and {others[names.index(same[0])]} of "
                "data.folders would be one in the data root.",
                hint="Rename one of them.",
            )
        main = DataFolder("", self.data, self.data_tree, self.data_key, tuple(map(PurePosixPath, names)))
        return (main, *(self._other_folder(each) for each in others))

    def _other_folder(self, name: str) -> DataFolder:
        path = Path(os.path.normpath(self.metadata.project_path / name))
        tree = open_tree(self.workspace, databricks_yml.root_of(self.data_root, name))
        key = f"{self.data_key.removesuffix(self.data_tree.root)}{tree.root}"
        return DataFolder(f"{name.rstrip('/')}/", path, tree, key)

    def missing_inputs(self, known: ProjectData) -> list[MissingInput]:
        """Return the inputs of pipelines that exist neither in a local data folder nor at the data root."""
        found = []
        for folder in self.data_folders:
            inputs = {name: in_data(folder.path, paths) for name, paths in known.named_inputs.items()}
            found += find_missing(folder.tree, folder.path, inputs)
        return found

    def outside_inputs(self, known: ProjectData) -> list[str]:
        """Return the inputs of pipelines that are on this machine, but reach Databricks in no way."""
        found = []
        for name, paths in known.named_inputs.items():
            for path in paths:
                shown = Path(os.path.relpath(path, self.metadata.project_path)).as_posix()
                if path.exists() and not self._is_data(path) and not self._is_in_git(shown):
                    found.append(f"{shown} ({name})")
        return found

    def _is_data(self, path: Path) -> bool:
        return any(in_data(folder.path, [path]) for folder in self.data_folders)

    def _is_in_git(self, path: str) -> bool:
        """Tell whether what push sends has a file or folder, by its path relative to the project."""
        if self.syncs_files:
            listed = self.repository.run("ls-files", "-co", "--exclude-standard", "--", path)
            return bool(listed.stdout)
        return self.repository.id_at("HEAD", path) is not None

    @cached_property
    def secret_scope(self) -> SecretScope:
        """The secret scope with the project's secrets."""
        project = databricks_yml.project_name(self.metadata.package_name)
        return SecretScope(self.workspace, self.filled(self.settings.secrets.scope), project)

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

        Raises:
            SettingsError: pip cannot install them, or would install something else.
        """
        from kedro_databricks_hybrid.project import own_package, requirements

        files = CommitFiles(self.repository, sha or "", requirements.FILES)
        found = requirements.find_requirements(self.folder, files, self.settings.compute.pip_options)
        if found is None or not found.includes_own_package:
            return found
        if conflict := requirements.conflict_with_own(found.listing):
            raise SettingsError(f"pip cannot install these requirements: {conflict}.", hint=requirements.EDIT)
        wheel = own_package.path_for(self.workspace)
        if wheel is None:
            return found
        return found.with_own_wheel(wheel, own_package.sha256() if found.listing.has_hashes else "")

    def filled(self, template: str) -> str:
        """Return a path of the settings with its placeholders filled in."""
        return databricks_yml.fill(
            template,
            user=self.workspace.user,
            project=databricks_yml.project_name(self.metadata.package_name),
            branch=self.repository.branch() if "{branch}" in template else None,
        )


@dataclass(frozen=True)
class DataFolder:
    """A local folder with data, and its files at the data root.

    Args:
        prefix: What its paths begin with where several folders are shown; empty for `data.local`.
        path: The local folder.
        tree: Its files on Databricks.
        key: What local state calls them.
        skip: Folders in the tree that belong to other data folders.
    """

    prefix: str
    path: Path
    tree: RemoteTree
    key: str
    skip: tuple[PurePosixPath, ...] = ()

    def push(self, progress: Progress) -> Push:
        """Return a push of this folder."""
        return Push(self.tree, self.path, self.key, progress)

    def pull(self, progress: Progress | None = None) -> Pull:
        """Return a pull to this folder."""
        return Pull(self.tree, self.path, self.key, progress or Progress(), self.skip)

    def named(self, names: Collection[str], others: Collection[DataFolder]) -> list[Path]:
        """Return those of the paths typed at the shell that are in this folder.

        Those in none of the other folders are of `data.local`.

        Raises:
            TransferError: A path is in none of them.
        """
        typed = {name: Path(os.path.normpath(Path.cwd() / name)) for name in names}
        if self.prefix:
            return [path for path in typed.values() if path.is_relative_to(self.path)]
        rest = [
            name
            for name, path in typed.items()
            if not any(path.is_relative_to(each.path) for each in others if each.prefix)
        ]
        return local.named(self.path, rest)


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
        """Replace the code locations of a traceback by those of files that also exist on this machine.

        Other paths stay, as they say what the run looked for there.
        """
        return _CODE.sub(lambda found: f"{found[1]}{self._here(found[2])}{found[3]}", text)

    def in_record(self, record: dict[str, Any]) -> dict[str, Any]:
        """Replace code locations in a record of a run log."""
        found = {}
        if "path" in record:
            found["path"] = self._here(record["path"])
        if "traceback" in record:
            found["traceback"] = self.in_text(record["traceback"])
        return {**record, **found}

    def _here(self, path: str) -> str:
        if not path.startswith(f"{self.remote}/"):
            return path
        local = self.local / path.removeprefix(f"{self.remote}/")
        return str(local) if local.exists() else path


def open_project(metadata: ProjectMetadata, env: str | None, conf_source: str | None = None) -> Project:
    """Read what can be known about a project without a network.

    Args:
        metadata: Kedro's description of the project.
        env: The Kedro env; None selects `databricks` if the project has it.
        conf_source: The option `--conf-source`.

    Raises:
        SettingsError: databricks.yml is invalid, or the project has no such env.
        GitError: The project is not in a Git repository.
    """
    conf = conf_folder(metadata, conf_source)
    if env:
        databricks_yml.require_env(conf, env)
    applied = env or databricks_yml.default_env(conf)
    repository = Repository(metadata.project_path)
    return Project(metadata, applied, databricks_yml.load(conf, applied), repository, conf)


def in_data(data: Path, paths: Collection[Path]) -> list[Path]:
    """Return the paths that lie in the data folder."""
    plain = (Path(os.path.normpath(path)) for path in paths)
    return [path for path in plain if path.is_relative_to(data)]
