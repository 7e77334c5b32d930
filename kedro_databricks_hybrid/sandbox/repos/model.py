"""Git folders: a working tree in the workspace, with its repository in a folder elsewhere."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from starlette.concurrency import run_in_threadpool

from kedro_databricks_hybrid.sandbox.core.errors import exists, invalid, missing
from kedro_databricks_hybrid.sandbox.core.layout import resolve, segments
from kedro_databricks_hybrid.sandbox.core.removal import remove_tree
from kedro_databricks_hybrid.sandbox.core.store import passing, stored
from kedro_databricks_hybrid.sandbox.repos import git
from kedro_databricks_hybrid.sandbox.repos.git import Git, GitFailedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from kedro_databricks_hybrid.sandbox.core.errors import ApiError
    from kedro_databricks_hybrid.sandbox.core.layout import Layout
    from kedro_databricks_hybrid.sandbox.core.store import Store
    from kedro_databricks_hybrid.sandbox.repos.credentials import GitCredential
    from kedro_databricks_hybrid.sandbox.repos.git import Ref

_DOCUMENT = "repos"


def _check_names(names: tuple[str, ...]) -> None:
    if segments("/" + "/".join(names)) != names or not names:
        raise invalid("it is not the path of a folder")


@stored
@dataclass(frozen=True)
class Repo:
    """One Git folder; `names` is its path in the workspace, without /Workspace."""

    repo_id: int
    names: Annotated[tuple[str, ...], passing(_check_names)]
    url: str
    provider: str
    sparse: tuple[str, ...] | None = None

    @property
    def path(self) -> str:
        """The path as the API shows it."""
        return "/" + "/".join(self.names)


@dataclass(frozen=True)
class Checkout:
    """What a Git folder has checked out: no branch if HEAD is detached, no commit in an empty repository."""

    branch: str | None
    commit: str | None


@dataclass
class _Locks:
    by_key: dict[object, asyncio.Lock] = field(default_factory=dict)

    @asynccontextmanager
    async def hold(self, key: object) -> AsyncIterator[None]:
        async with self.by_key.setdefault(key, asyncio.Lock()):
            yield


class Repos:
    """The Git folders of the workspace."""

    def __init__(self, store: Store, layout: Layout) -> None:
        self._store = store
        self._layout = layout
        self.git = Git.below(layout.home)
        self._locks = _Locks()
        self._repos = {
            key: repo
            for key, repo in store.load(_DOCUMENT, dict[int, Repo]).items()
            if self._tree(repo).is_dir() and self._history(repo).is_dir()
        }
        self._drop_leftovers()

    def _drop_leftovers(self) -> None:
        """Delete repositories of clones and deletions that an earlier server did not finish.

        A Git folder is recorded before its files are moved into the workspace, and its files are moved out
        before the record is deleted: a kill at any moment leaves no files without a record.
        """
        known = {self._history(repo) for repo in self._repos.values()}
        for history in self._layout.git.glob("*.git"):
            if history not in known:
                remove_tree(history)

    def all(self) -> list[Repo]:
        """Return every Git folder, sorted by path."""
        return sorted(self._repos.values(), key=lambda repo: repo.names)

    def get(self, repo_id: int) -> Repo:
        """Return a Git folder by its id; refuse a missing one."""
        try:
            return self._repos[repo_id]
        except KeyError:
            raise missing(f"Repo with ID {repo_id} could not be found.") from None

    def at(self, names: tuple[str, ...]) -> Repo | None:
        """Return the Git folder with its root at a workspace path."""
        return next((repo for repo in self._repos.values() if repo.names == names), None)

    def around(self, names: tuple[str, ...]) -> Repo | None:
        """Return the Git folder that contains a workspace path, or has its root there."""
        return next((repo for repo in self._repos.values() if names[: len(repo.names)] == repo.names), None)

    async def create(self, planned: Repo, credential: GitCredential | None) -> Repo:
        """Clone a remote into the workspace.

        Raises:
            ApiError: The parent is missing, the path is taken, or the remote cannot be read. A clone that is
                incomplete stays, as on Databricks.
        """
        async with self._locks.hold(planned.names):
            await run_in_threadpool(self._check_free, planned)
            scratch = self._layout.scratch / f"clone-{planned.repo_id}"
            history = self._history(planned)
            try:
                failure = await self._clone(planned, scratch, credential)
                await self._save({**self._repos, planned.repo_id: planned})
                await run_in_threadpool(self._move_in, planned, scratch)
                self._repos[planned.repo_id] = planned
            except BaseException:
                remove_tree(history)
                raise
            finally:
                await run_in_threadpool(remove_tree, scratch)
        if failure is not None:
            raise failure
        return planned

    async def checkout_of(self, repo: Repo) -> Checkout:
        """Return the branch and the commit that a Git folder has checked out."""
        history = self._history(repo)
        try:
            commit = (await self.git("rev-parse", "--verify", "HEAD^{commit}", git_dir=history)).strip()
        except GitFailedError:
            commit = None
        try:
            branch = (await self.git("symbolic-ref", "--short", "HEAD", git_dir=history)).strip()
        except GitFailedError:
            branch = None
        return Checkout(branch, commit)

    async def switch(
        self, repo: Repo, ref: Ref, credential: GitCredential | None, *, discard: bool = False
    ) -> None:
        """Fetch, then check out a branch or tag as the remote has it.

        Edits of files that the checkout does not change are kept.

        Raises:
            ApiError: The remote cannot be read or lacks the branch or tag, or edits would be lost.
        """
        async with self._locks.hold(repo.repo_id):
            self.get(repo.repo_id)
            await run_in_threadpool(self._break_locks, repo)
            try:
                await self._in(
                    repo, "fetch", "--prune", "--force", "--tags", "--no-recurse-submodules", "origin",
                    credential=credential,
                )  # fmt: skip
            except GitFailedError as error:
                raise git.remote_refused(repo.url, error.text, credential) from error
            commit = await self._commit_of(repo, ref)
            try:
                if discard:
                    await self._discard(repo)
                option = ["-B", ref.name] if ref.kind == "branch" else ["--detach"]
                await self._in(repo, "checkout", "--quiet", "--no-overwrite-ignore", *option, commit, "--")
            except GitFailedError as error:
                raise git.checkout_refused(repo.path, error.text) from error

    async def set_sparse(self, repo: Repo, patterns: tuple[str, ...]) -> None:
        """Change the patterns of a sparse checkout."""
        if repo.sparse is None:
            raise invalid("Sparse checkout is not enabled for this repo and cannot be enabled after creation")
        async with self._locks.hold(repo.repo_id):
            await self._set_patterns(self._history(repo), self._tree(repo), patterns)
            self._repos[repo.repo_id] = Repo(**{**vars(repo), "sparse": patterns})
            await self._save(self._repos)

    async def remove(self, repo: Repo) -> None:
        """Delete a Git folder with its files and its repository."""
        async with self._locks.hold(repo.repo_id):
            self.get(repo.repo_id)
            scratch = self._layout.scratch / f"removed-{repo.repo_id}"
            with suppress(FileNotFoundError):
                await run_in_threadpool(self._tree(repo).rename, scratch)
            del self._repos[repo.repo_id]
            await self._save(self._repos)
            await run_in_threadpool(remove_tree, scratch)
            await run_in_threadpool(remove_tree, self._history(repo))
        self._locks.by_key.pop(repo.repo_id, None)

    async def remove_below(self, names: tuple[str, ...]) -> None:
        """Delete every Git folder at or below a workspace path."""
        for repo in self.all():
            if repo.names[: len(names)] == names:
                await self.remove(repo)

    async def _in(self, repo: Repo, *arguments: str, credential: GitCredential | None = None) -> str:
        return await self.git(
            *arguments,
            git_dir=self._history(repo),
            work_tree=self._tree(repo),
            credential=credential,
            url=repo.url,
        )

    def _history(self, repo: Repo) -> Path:
        return self._layout.git / f"{repo.repo_id}.git"

    def _tree(self, repo: Repo) -> Path:
        return resolve(self._layout.workspace, repo.names)

    def _break_locks(self, repo: Repo) -> None:
        """Delete the lock files of a killed git; none runs now, since the caller holds this folder's lock."""
        history = self._history(repo)
        for lock in (*history.glob("*.lock"), *(history / "refs").rglob("*.lock")):
            lock.unlink(missing_ok=True)
        self._tree(repo).mkdir(mode=0o700, exist_ok=True)

    def _check_free(self, planned: Repo) -> None:
        parent = resolve(self._layout.workspace, planned.names[:-1])
        if not parent.is_dir():
            raise missing(f"Parent directory /{'/'.join(planned.names[:-1])} does not exist.")
        if self.around(planned.names[:-1]) is not None:
            raise invalid("A Git folder cannot be created inside another Git folder.")
        tree = resolve(self._layout.workspace, planned.names, follow=False)
        if tree.exists() or tree.is_symlink():
            raise exists(
                f"Repo {planned.path} already exists. If you would like to create two repos from the same "
                "remote Git repo, rename the first repo before creating the second one."
            )

    async def _clone(self, planned: Repo, scratch: Path, credential: GitCredential | None) -> ApiError | None:
        """Clone into `scratch`, and move the repository out of it; return why the clone is incomplete."""
        try:
            await self.git(
                "clone", "--quiet", "--no-checkout", "--no-hardlinks", "--template=",
                "--", planned.url, str(scratch),
                credential=credential, url=planned.url,
            )  # fmt: skip
        except GitFailedError as error:
            raise git.remote_refused(planned.url, error.text, credential) from error
        history = self._history(planned)
        await run_in_threadpool((scratch / ".git").rename, history)
        if planned.sparse is not None:
            await self._set_patterns(history, scratch, planned.sparse)
        try:
            await self.git("rev-parse", "--verify", "HEAD^{commit}", git_dir=history)
        except GitFailedError:
            return None  # an empty remote
        try:
            await self.git("checkout", "--quiet", "HEAD", "--", git_dir=history, work_tree=scratch)
            await self.git("reset", "--hard", git_dir=history, work_tree=scratch)
        except GitFailedError as error:
            return git.incomplete_clone(error.text)
        return None

    def _move_in(self, planned: Repo, scratch: Path) -> None:
        self._check_free(planned)
        scratch.rename(resolve(self._layout.workspace, planned.names, follow=False))

    async def _commit_of(self, repo: Repo, ref: Ref) -> str:
        full = f"refs/remotes/origin/{ref.name}" if ref.kind == "branch" else f"refs/tags/{ref.name}"
        try:
            found = await self.git(
                "rev-parse", "--verify", "--end-of-options", f"{full}^{{commit}}", git_dir=self._history(repo)
            )
        except GitFailedError as error:
            raise git.unknown_ref(ref.kind, ref.name) from error
        return found.strip()

    async def _discard(self, repo: Repo) -> None:
        if (await self.checkout_of(repo)).commit is not None:
            await self._in(repo, "reset", "--hard")
        await self._in(repo, "clean", "-f", "-d")

    async def _set_patterns(self, history: Path, tree: Path, patterns: tuple[str, ...]) -> None:
        try:
            await self.git(
                "sparse-checkout", "set", "--cone", "--end-of-options", *patterns,
                git_dir=history, work_tree=tree,
            )  # fmt: skip
        except GitFailedError as error:
            raise invalid(f"Invalid sparse-checkout cone pattern: {error.text[:200]}") from error

    async def _save(self, repos: dict[int, Repo]) -> None:
        document: dict[str, Any] = {str(key): asdict(repo) for key, repo in repos.items()}
        await self._store.save(_DOCUMENT, document)
