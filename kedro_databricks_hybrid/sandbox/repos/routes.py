"""The repos API: Git folders over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from kedro_databricks_hybrid.sandbox.core.bodies import Flag, Integer, Required
from kedro_databricks_hybrid.sandbox.core.endpoints import endpoints
from kedro_databricks_hybrid.sandbox.core.errors import absent, invalid
from kedro_databricks_hybrid.sandbox.core.layout import names_of
from kedro_databricks_hybrid.sandbox.core.pages import Page, Token
from kedro_databricks_hybrid.sandbox.core.permissions import EDIT, MANAGE, READ
from kedro_databricks_hybrid.sandbox.core.stamps import new_id
from kedro_databricks_hybrid.sandbox.repos.credentials import provider_named
from kedro_databricks_hybrid.sandbox.repos.git import Ref, checked_url
from kedro_databricks_hybrid.sandbox.repos.model import Repo

if TYPE_CHECKING:
    from starlette.routing import Route

    from kedro_databricks_hybrid.sandbox.core.endpoints import Handler
    from kedro_databricks_hybrid.sandbox.core.users import User
    from kedro_databricks_hybrid.sandbox.repos.credentials import GitCredential
    from kedro_databricks_hybrid.sandbox.workspace_state import Sandbox

PAGE_SIZE = 20
_PROVIDER_OF_HOST = {
    "github.com": "gitHub",
    "gitlab.com": "gitLab",
    "bitbucket.org": "bitbucketCloud",
    "dev.azure.com": "azureDevOpsServices",
}


class _Api:
    """The handlers of this family."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._repos = sandbox.repos

    async def create(
        self,
        user: User,
        url: Required,
        provider: Required | None = None,
        path: str = "",
        sparse_checkout: dict[str, Any] | None = None,
        git_credential_id: Integer | None = None,
    ) -> dict[str, Any]:
        url = checked_url(url)
        provider = _provider(provider, url)
        names = names_of(path or f"/Repos/{user.name}/{_name_in(url)}")
        _check_path(names)
        self._sandbox.access.check(user, names, MANAGE)
        planned = Repo(new_id(), names, url, provider, _patterns(sparse_checkout))
        credential = self._credential(user, git_credential_id, planned)
        return await self._describe(await self._repos.create(planned, credential))

    async def list_page(
        self, user: User, path_prefix: str = "", next_page_token: Token = 0
    ) -> dict[str, Any]:
        prefix = path_prefix.removeprefix("/Workspace")
        if prefix in {"", "/"}:
            prefix = "/Repos"
        part = Page(next_page_token, PAGE_SIZE)
        visible = [
            repo
            for repo in self._repos.all()
            if repo.path.startswith(prefix) and self._sandbox.access.may(user, repo.names)
        ]
        shown = [await self._describe(repo) for repo in part.of(visible)]
        return {**({"repos": shown} if shown else {}), **part.next(len(visible))}

    async def get(self, user: User, repo_id: Integer) -> dict[str, Any]:
        return await self._describe(self._named(user, repo_id))

    async def update(
        self,
        user: User,
        repo_id: Integer,
        branch: Required | None = None,
        tag: Required | None = None,
        sparse_checkout: dict[str, Any] | None = None,
        git_credential_id: Integer | None = None,
        dangerously_force_discard_all: Flag = False,
    ) -> None:
        repo = self._named(user, repo_id, EDIT)
        if branch and tag:
            raise invalid("Only one of branch and tag can be specified.")
        credential = self._credential(user, git_credential_id, repo)
        patterns = _patterns(sparse_checkout)
        if patterns is not None:
            await self._repos.set_sparse(repo, patterns)
            repo = self._repos.get(repo.repo_id)
        ref = Ref.branch(branch) if branch else Ref.tag(tag) if tag else None
        if ref is not None:
            await self._repos.switch(repo, ref, credential, discard=dangerously_force_discard_all)
        elif patterns is None:
            raise invalid("One of branch and tag must be specified.")

    async def delete(self, user: User, repo_id: Integer) -> None:
        repo = self._named(user, repo_id, MANAGE)
        await self._repos.remove(repo)
        await self._sandbox.permissions.forget(repo.path)

    def _named(self, user: User, repo_id: int, level: str = READ) -> Repo:
        repo = self._repos.get(repo_id)
        self._sandbox.access.check(user, repo.names, level)
        return repo

    def _credential(self, user: User, credential_id: int | None, repo: Repo) -> GitCredential | None:
        """Return the credential for the remote; none for a remote on this machine."""
        if credential_id is not None:
            return self._sandbox.git_credentials.get(user.name, credential_id)
        if urlsplit(repo.url).scheme not in {"https", "http"}:
            return None
        return self._sandbox.git_credentials.default(user.name, repo.provider)

    async def _describe(self, repo: Repo) -> dict[str, Any]:
        checkout = await self._repos.checkout_of(repo)
        shown: dict[str, Any] = {
            "id": repo.repo_id,
            "path": repo.path,
            "url": repo.url,
            "provider": repo.provider,
        }
        if checkout.branch is not None:
            shown["branch"] = checkout.branch
        if checkout.commit is not None:
            shown["head_commit_id"] = checkout.commit
        if repo.sparse is not None:
            shown["sparse_checkout"] = {"patterns": list(repo.sparse)}
        return shown


def routes(sandbox: Sandbox) -> list[Route]:
    """Return the routes of this family."""
    api = _Api(sandbox)
    table: dict[str, Handler] = {
        "POST ": api.create,
        "GET ": api.list_page,
        "GET /{repo_id}": api.get,
        "PATCH /{repo_id}": api.update,
        "DELETE /{repo_id}": api.delete,
    }
    return endpoints(table, "/api/2.0/repos")


def _patterns(sparse_checkout: dict[str, Any] | None) -> tuple[str, ...] | None:
    """Return the sparse-checkout patterns, None if no sparse checkout was asked for."""
    if sparse_checkout is None:
        return None
    patterns = sparse_checkout.get("patterns") or []
    if not isinstance(patterns, list) or not all(isinstance(pattern, str) for pattern in patterns):
        raise invalid("sparse_checkout.patterns must be a list of strings")
    if any(not pattern or "\0" in pattern or not pattern.isprintable() for pattern in patterns):
        raise invalid("Invalid sparse-checkout cone pattern")
    return tuple(patterns)


def _provider(given: str | None, url: str) -> str:
    if given is not None:
        return provider_named(given)
    host = urlsplit(url).hostname or ""
    if host not in _PROVIDER_OF_HOST:
        raise absent("provider")
    return _PROVIDER_OF_HOST[host]


def _name_in(url: str) -> str:
    return url.rstrip("/").rsplit("/", 1)[-1].removesuffix(".git") or "repo"


def _check_path(names: tuple[str, ...]) -> None:
    if len(names) < 2 or (names[0] == "Repos" and len(names) != 3):
        raise invalid("Repo path must be in the format /Repos/{folder}/{repo-name}, or outside of /Repos.")
