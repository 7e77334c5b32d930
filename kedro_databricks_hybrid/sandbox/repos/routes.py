"""The repos API: Git folders over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import Field

from kedro_databricks_hybrid.sandbox.core.bodies import Body, Flag, Integer, Required
from kedro_databricks_hybrid.sandbox.core.endpoints import endpoint
from kedro_databricks_hybrid.sandbox.core.errors import absent, invalid
from kedro_databricks_hybrid.sandbox.core.layout import names_of
from kedro_databricks_hybrid.sandbox.core.pages import Paged
from kedro_databricks_hybrid.sandbox.core.stamps import new_id
from kedro_databricks_hybrid.sandbox.repos.credentials import provider_named
from kedro_databricks_hybrid.sandbox.repos.git import Ref, checked_url
from kedro_databricks_hybrid.sandbox.repos.model import Repo

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import Route

    from kedro_databricks_hybrid.sandbox.repos.credentials import GitCredential
    from kedro_databricks_hybrid.sandbox.workspace_state import Sandbox

PAGE_SIZE = 20
_PROVIDER_OF_HOST = {
    "github.com": "gitHub",
    "gitlab.com": "gitLab",
    "bitbucket.org": "bitbucketCloud",
    "dev.azure.com": "azureDevOpsServices",
}


class _Source(Body):
    sparse_checkout: dict[str, Any] | None = None
    git_credential_id: Integer | None = None

    @property
    def patterns(self) -> tuple[str, ...] | None:
        """The sparse-checkout patterns, None if no sparse checkout was asked for."""
        if self.sparse_checkout is None:
            return None
        patterns = self.sparse_checkout.get("patterns") or []
        if not isinstance(patterns, list) or not all(isinstance(pattern, str) for pattern in patterns):
            raise invalid("sparse_checkout.patterns must be a list of strings")
        if any(not pattern or "\0" in pattern or not pattern.isprintable() for pattern in patterns):
            raise invalid("Invalid sparse-checkout cone pattern")
        return tuple(patterns)


class _Create(_Source):
    url: Required
    provider: Required | None = None
    path: str = ""


class _List(Paged):
    path_prefix: str = ""
    page_token: str = Field("", alias="next_page_token")


class _Repo(Body):
    repo_id: Integer


class _Update(_Repo, _Source):
    branch: Required | None = None
    tag: Required | None = None
    dangerously_force_discard_all: Flag = False


class _Api:
    """The handlers of this family."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._repos = sandbox.repos

    async def create(self, request: Request, given: _Create) -> dict[str, Any]:
        user = request.state.user
        url = checked_url(given.url)
        provider = _provider(given.provider, url)
        names = names_of(given.path or f"/Repos/{user.name}/{_name_in(url)}")
        _check_path(names)
        self._sandbox.access.check(user, names)
        planned = Repo(new_id(), names, url, provider, given.patterns)
        credential = self._credential(request, given, planned)
        return await self._describe(await self._repos.create(planned, credential))

    async def list_page(self, request: Request, given: _List) -> dict[str, Any]:
        prefix = given.path_prefix.removeprefix("/Workspace")
        if prefix in {"", "/"}:
            prefix = "/Repos"
        part = given.page(PAGE_SIZE)
        user = request.state.user
        visible = [
            repo
            for repo in self._repos.all()
            if repo.path.startswith(prefix) and self._sandbox.access.may(user, repo.names)
        ]
        shown = [await self._describe(repo) for repo in part.of(visible)]
        return {**({"repos": shown} if shown else {}), **part.next(len(visible))}

    async def get(self, request: Request, given: _Repo) -> dict[str, Any]:
        return await self._describe(self._named(request, given))

    async def update(self, request: Request, given: _Update) -> None:
        repo = self._named(request, given)
        if given.branch and given.tag:
            raise invalid("Only one of branch and tag can be specified.")
        credential = self._credential(request, given, repo)
        if given.patterns is not None:
            await self._repos.set_sparse(repo, given.patterns)
            repo = self._repos.get(repo.repo_id)
        ref = Ref.branch(given.branch) if given.branch else Ref.tag(given.tag) if given.tag else None
        if ref is not None:
            discard = given.dangerously_force_discard_all
            await self._repos.switch(repo, ref, credential, discard=discard)
        elif given.patterns is None:
            raise invalid("One of branch and tag must be specified.")

    async def delete(self, request: Request, given: _Repo) -> None:
        await self._repos.remove(self._named(request, given))

    def _named(self, request: Request, given: _Repo) -> Repo:
        repo = self._repos.get(given.repo_id)
        self._sandbox.access.check(request.state.user, repo.names)
        return repo

    def _credential(self, request: Request, given: _Source, repo: Repo) -> GitCredential | None:
        """Return the credential for the remote; none for a remote on this machine."""
        owner = request.state.user.name
        if given.git_credential_id is not None:
            return self._sandbox.git_credentials.get(owner, given.git_credential_id)
        if urlsplit(repo.url).scheme not in {"https", "http"}:
            return None
        return self._sandbox.git_credentials.default(owner, repo.provider)

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
    base = "/api/2.0/repos"
    return [
        endpoint("POST", base, _Create, api.create),
        endpoint("GET", base, _List, api.list_page),
        endpoint("GET", f"{base}/{{repo_id}}", _Repo, api.get),
        endpoint("PATCH", f"{base}/{{repo_id}}", _Update, api.update),
        endpoint("DELETE", f"{base}/{{repo_id}}", _Repo, api.delete),
    ]


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
