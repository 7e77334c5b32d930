"""The workspace: the state of every API family."""

from __future__ import annotations

import uuid
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar

from pydantic import Field

from kedro_databricks_hybrid.sandbox.clusters.model import Clusters
from kedro_databricks_hybrid.sandbox.core.groups import Groups
from kedro_databricks_hybrid.sandbox.core.layout import resolve
from kedro_databricks_hybrid.sandbox.core.permissions import Permissions
from kedro_databricks_hybrid.sandbox.core.principals import Principals
from kedro_databricks_hybrid.sandbox.core.removal import remove_tree
from kedro_databricks_hybrid.sandbox.core.stamps import new_id
from kedro_databricks_hybrid.sandbox.core.store import Store, stored
from kedro_databricks_hybrid.sandbox.core.users import DEFAULT_USER, Access, Users
from kedro_databricks_hybrid.sandbox.core.workspace_kinds import DEFAULT_KIND, KINDS, UPLOADS, Kind
from kedro_databricks_hybrid.sandbox.faults.rules import Faults
from kedro_databricks_hybrid.sandbox.identity.tokens import AccessTokens, Tokens
from kedro_databricks_hybrid.sandbox.kernel.access import NotebookAccess, NotebookAccesses
from kedro_databricks_hybrid.sandbox.kernel.environment import NotebookEnvironment
from kedro_databricks_hybrid.sandbox.repos.credentials import GitCredentials
from kedro_databricks_hybrid.sandbox.repos.model import Repos
from kedro_databricks_hybrid.sandbox.secrets.model import Secrets
from kedro_databricks_hybrid.sandbox.unity_catalog.model import UnityCatalog
from kedro_databricks_hybrid.sandbox.workspace.model import Tree

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from kedro_databricks_hybrid.sandbox.core.layout import Layout
    from kedro_databricks_hybrid.sandbox.core.users import User

_DOCUMENT = "workspace"
Value = TypeVar("Value")


def _one_of(names: Iterable[str]) -> Any:  # noqa: ANN401 - a part of an annotation
    return Field(pattern=f"^({'|'.join(names)})$")


@stored
@dataclass
class _Settings:
    """What is saved of the workspace itself; a new one has no id yet."""

    org_id: Annotated[str, Field(pattern="^[0-9]*$")] = ""
    like: Annotated[str, _one_of(KINDS)] = DEFAULT_KIND
    public_dbfs_root: bool = True
    task_environments: bool = True
    uploads: Annotated[str, _one_of(UPLOADS)] = UPLOADS[0]
    port: Annotated[int, Field(ge=0, le=65535)] = 0


class _Kept(Generic[Value]):
    """A value of the workspace that is the same after a restart."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, sandbox: Sandbox, owner: type) -> Value:
        value: Value = getattr(sandbox.settings, self._name)
        return value

    def __set__(self, sandbox: Sandbox, value: Value) -> None:
        setattr(sandbox.settings, self._name, value)
        sandbox.store.save_now(_DOCUMENT, asdict(sandbox.settings))


class Sandbox:
    """One local workspace: files, users, clusters and switches.

    Args:
        layout: The folders of its files.
        user: The name of the user that it has from the start.
        url: The server's address; set once the server listens.
        like: The kind of workspace, one of KINDS; None for that of the last start.
        kernels: The kind of its kernels, one of `kernel.kinds.KINDS`; None for what this machine allows.

    Attributes:
        public_dbfs_root: Whether dbfs:/ may be used; new workspaces on Databricks forbid it.
        task_environments: Whether notebook tasks on serverless compute may name an environment; not all
            workspaces allow it.
        uploads: How large files are uploaded to volumes, one of UPLOADS.
        port: The port of the last start, 0 if there was none.
    """

    public_dbfs_root = _Kept[bool]()
    task_environments = _Kept[bool]()
    uploads = _Kept[str]()
    port = _Kept[int]()

    def __init__(
        self,
        layout: Layout,
        *,
        user: str = DEFAULT_USER,
        url: str = "",
        like: str | None = None,
        kernels: str | None = None,
    ) -> None:
        layout.make()
        _empty(layout)
        for folder in ("Users", "Repos", "Shared"):
            (layout.workspace / folder).mkdir(mode=0o700, exist_ok=True)
        self.layout = layout
        self.url = url
        self.kernels = kernels
        self.store = Store(layout.state)
        self.users = Users(self.store, layout)
        self.groups = Groups(self.store)
        self.principals = Principals(self.users, self.groups)
        self.permissions = Permissions(self.store, self.groups)
        self.user = self.users.add(user)
        self.tokens = Tokens(self.store)
        self.access_tokens = AccessTokens()
        self.settings = self.store.load(_DOCUMENT, _Settings)
        if not self.settings.org_id:
            self.settings.org_id = str(new_id(16))
            self._become(KINDS[like or DEFAULT_KIND])
        self.faults = Faults()
        self.access = Access(self.users, self.permissions)
        self.git_credentials = GitCredentials(self.store)
        self.repos = Repos(self.store, layout)
        self.tree = Tree(layout.workspace, self.access, self.permissions, self.repos)
        self.tree.partial_git_info = self.kind.partial_git_info
        self.unity_catalog = UnityCatalog(
            self.store, layout, self.metastore_id, self.user.name, self.kind.objects
        )
        self.secrets = Secrets(self.store, self.permissions, self.principals)
        self.notebook_accesses = NotebookAccesses()
        self.clusters = Clusters(self.store, creator=self.user.name, access_mode=self.kind.access_mode)
        if like is not None:
            self.like = like

    def user_of(self, token: str) -> User | None:
        """Return the user of a token: a first token, one made by the tokens API, or an OAuth access token."""
        made = self.tokens.owner_of(token) or self.access_tokens.owner_of(token)
        return self.users.named(made) if made else self.users.by_token(token)

    def notebook_environment(
        self, name: str, user: User, cluster_id: str | None = None
    ) -> NotebookEnvironment:
        """Return a new environment for a user's Python process; its token is valid from now on."""
        access = NotebookAccess(user, self.url, self.org_id, cluster_id)
        cluster = self.clusters.find(cluster_id) if cluster_id else None
        return NotebookEnvironment(
            self.layout.kernels / name,
            self.layout,
            name,
            self.notebook_accesses.add(access),
            libraries=self.library_environment(cluster_id, user).packages if cluster_id else None,
            visible=self._visible(user),
            fixed=self._fixed(user),
            dbfs=self.public_dbfs_root,
            dbfs_mount=cluster is not None and cluster.mounts_dbfs,
            kernels=self.kernels,
        )

    def library_environment(self, cluster_id: str, user: User) -> NotebookEnvironment:
        """Return the environment into which the packages of a cluster are installed."""
        access = NotebookAccess(user, self.url, self.org_id, cluster_id)
        folder = self.layout.libraries / cluster_id
        return NotebookEnvironment(
            folder,
            self.layout,
            cluster_id,
            access,
            visible=self._visible(user),
            dbfs=self.public_dbfs_root,
            kernels=self.kernels,
        )

    def _visible(self, user: User) -> tuple[str, ...]:
        """Return the folders of Users and Repos that a user's Python processes see."""
        return tuple(
            f"{parent}/{folder.name}"
            for parent in ("Users", "Repos")
            for folder in sorted((self.layout.workspace / parent).iterdir())
            if folder.is_dir()
            and not folder.is_symlink()
            and self.access.owner_of((parent, folder.name)) in {None, user.name}
        ) + tuple("/".join(names) for names in self._granted(user, editable=True))

    def _fixed(self, user: User) -> tuple[tuple[Path, str], ...]:
        """Return the folders in others' homes that a user's Python processes see and cannot change."""
        return tuple(
            (self.layout.workspace.joinpath(*names), f"/Workspace/{'/'.join(names)}")
            for names in self._granted(user, editable=False)
        )

    def _granted(self, user: User, *, editable: bool) -> list[tuple[str, ...]]:
        """Return the folders in others' homes on which a user has permissions."""
        return [
            names
            for names, may_edit in self.access.granted(user)
            if may_edit == editable and resolve(self.layout.workspace, names).is_dir()
        ]

    @property
    def org_id(self) -> str:
        """The workspace id, made at the first start."""
        return self.settings.org_id

    @property
    def metastore_id(self) -> str:
        """The id of the metastore of its Unity Catalog."""
        return str(uuid.uuid5(uuid.NAMESPACE_OID, self.org_id))

    @property
    def kind(self) -> Kind:
        """The kind of this workspace."""
        return KINDS[self.like]

    @property
    def like(self) -> str:
        """The name of its kind, one of KINDS.

        A new kind changes the DBFS root and the clusters and adds its first catalog; nothing is deleted.
        """
        return self.settings.like

    @like.setter
    def like(self, name: str) -> None:
        kind, is_new = KINDS[name], name != self.like
        self._become(kind)
        if is_new:
            self.clusters.offer(kind.access_mode)
            self.tree.partial_git_info = kind.partial_git_info
            self.unity_catalog.provide(kind.objects, self.user.name)

    def _become(self, kind: Kind) -> None:
        self.settings.like = kind.name
        self.public_dbfs_root = kind.dbfs_root


def _empty(layout: Layout) -> None:
    """Delete uploads and clones that an earlier server did not finish."""
    for leftover in layout.scratch.iterdir():
        if leftover.is_dir() and not leftover.is_symlink():
            remove_tree(leftover)
        else:
            leftover.unlink(missing_ok=True)
