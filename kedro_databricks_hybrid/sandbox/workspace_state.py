"""The workspace itself: what the API families share."""

from __future__ import annotations

import secrets
import shutil
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.sandbox.clusters.model import Clusters
from kedro_databricks_hybrid.sandbox.core.store import Store
from kedro_databricks_hybrid.sandbox.faults.rules import Faults
from kedro_databricks_hybrid.sandbox.identity.tokens import AccessTokens, Tokens
from kedro_databricks_hybrid.sandbox.identity.users import DEFAULT_USER, Access, Users
from kedro_databricks_hybrid.sandbox.kernel.access import NotebookAccess, NotebookAccesses
from kedro_databricks_hybrid.sandbox.kernel.environment import NotebookEnvironment
from kedro_databricks_hybrid.sandbox.repos.credentials import GitCredentials
from kedro_databricks_hybrid.sandbox.repos.model import Repos
from kedro_databricks_hybrid.sandbox.secrets.model import Secrets
from kedro_databricks_hybrid.sandbox.volumes.model import UnityCatalog
from kedro_databricks_hybrid.sandbox.volumes.upload_model import UPLOADS
from kedro_databricks_hybrid.sandbox.workspace.model import Tree

if TYPE_CHECKING:
    from kedro_databricks_hybrid.sandbox.core.layout import Layout
    from kedro_databricks_hybrid.sandbox.identity.users import User

_DOCUMENT = "workspace"


class Sandbox:
    """One local workspace: its files, its people, its clusters and its switches.

    Args:
        layout: Where its files are.
        user: The user who is always there.
        url: The server's own address, once it is known.
        kernels: Which of `kinds.KINDS` its kernels are, None for what this machine allows.
    """

    def __init__(
        self, layout: Layout, *, user: str = DEFAULT_USER, url: str = "", kernels: str | None = None
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
        self.user = self.users.add(user)
        self.tokens = Tokens(self.store)
        self.access_tokens = AccessTokens()
        self._document = self.store.load(_DOCUMENT)
        if "org_id" not in self._document:
            self._document = {
                "org_id": str(10**15 + secrets.randbelow(9 * 10**15)),
                "public_dbfs_root": True,
            }
            self.store.save_now(_DOCUMENT, self._document)
        self.faults = Faults()
        self.access = Access(self.users)
        self.git_credentials = GitCredentials(self.store)
        self.repos = Repos(self.store, layout)
        self.tree = Tree(layout.workspace, self.access, self.repos)
        self.unity_catalog = UnityCatalog(self.store, layout, self.user.name)
        self.secrets = Secrets(self.store)
        self.notebook_accesses = NotebookAccesses()
        self.clusters = Clusters(self.store, creator=self.user.name)

    def user_of(self, token: str) -> User | None:
        """Return whose token this is: the one that a user has from the start, or one that was made later."""
        made = self.tokens.owner_of(token) or self.access_tokens.owner_of(token)
        return self.users.named(made) if made else self.users.by_token(token)

    def notebook_environment(
        self, name: str, user: User, cluster_id: str | None = None
    ) -> NotebookEnvironment:
        """Return a new environment for a user's Python process; its access is valid at once."""
        access = NotebookAccess(user, self.url, self.org_id, cluster_id)
        cluster = self.clusters.find(cluster_id) if cluster_id else None
        return NotebookEnvironment(
            self.layout.kernels / name,
            self.layout,
            name,
            self.notebook_accesses.add(access),
            libraries=self.library_environment(cluster_id, user).packages if cluster_id else None,
            visible=self._visible(user),
            dbfs=self.public_dbfs_root,
            dbfs_mount=cluster is not None and cluster.mounts_dbfs,
            kernels=self.kernels,
        )

    def library_environment(self, cluster_id: str, user: User) -> NotebookEnvironment:
        """Return the environment that the packages of a cluster are installed in."""
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
            if folder.is_dir() and not folder.is_symlink() and self.access.may(user, (parent, folder.name))
        )

    @property
    def org_id(self) -> str:
        """The number of this workspace, made once."""
        return str(self._document["org_id"])

    @property
    def public_dbfs_root(self) -> bool:
        """Whether dbfs:/ may be used at all, which new workspaces forbid."""
        return bool(self._document.get("public_dbfs_root", True))

    @public_dbfs_root.setter
    def public_dbfs_root(self, allowed: bool) -> None:
        self._document["public_dbfs_root"] = allowed
        self.store.save_now(_DOCUMENT, self._document)

    @property
    def uploads(self) -> str:
        """Which of UPLOADS this workspace offers."""
        return str(self._document.get("uploads", UPLOADS[0]))

    @uploads.setter
    def uploads(self, kind: str) -> None:
        self._document["uploads"] = kind
        self.store.save_now(_DOCUMENT, self._document)

    @property
    def port(self) -> int:
        """The port of the last start, 0 if there was none."""
        return int(self._document.get("port", 0))

    @port.setter
    def port(self, port: int) -> None:
        self._document["port"] = port
        self.store.save_now(_DOCUMENT, self._document)


def _empty(layout: Layout) -> None:
    """Drop uploads and clones that an earlier server could not finish."""
    for leftover in layout.scratch.iterdir():
        if leftover.is_dir() and not leftover.is_symlink():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)
