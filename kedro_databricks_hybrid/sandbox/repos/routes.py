"""The repos API: Git folders over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kedro_databricks_hybrid.sandbox.core.errors import invalid
from kedro_databricks_hybrid.sandbox.core.fields import Fields, body, query
from kedro_databricks_hybrid.sandbox.core.layout import names_of
from kedro_databricks_hybrid.sandbox.core.pages import page
from kedro_databricks_hybrid.sandbox.core.stamps import new_id
from kedro_databricks_hybrid.sandbox.repos.credentials import provider_named
from kedro_databricks_hybrid.sandbox.repos.git import Ref, checked_url
from kedro_databricks_hybrid.sandbox.repos.model import Repo

if TYPE_CHECKING:
    from starlette.requests import Request

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

    async def create(self, request: Request) -> Response:
        fields = await body(request)
        user = request.state.user
        url = checked_url(fields.text("url"))
        provider = _provider(fields, url)
        default_path = f"/Repos/{user.name}/{_name_in(url)}"
        names = names_of(fields.text("path", default_path) or default_path)
        _check_path(names)
        self._sandbox.access.check(user, names)
        sparse = _patterns(fields) if fields.has("sparse_checkout") else None
        planned = Repo(new_id(), names, url, provider, sparse)
        credential = self._credential(request, fields, planned)
        repo = await self._repos.create(planned, credential)
        return JSONResponse(await self._describe(repo))

    async def list_page(self, request: Request) -> Response:
        fields = query(request)
        prefix = fields.text("path_prefix", "").removeprefix("/Workspace")
        if prefix in {"", "/"}:
            prefix = "/Repos"
        part = page(fields, PAGE_SIZE, cursor="next_page_token")
        user = request.state.user
        visible = [
            repo
            for repo in self._repos.all()
            if repo.path.startswith(prefix) and self._sandbox.access.may(user, repo.names)
        ]
        shown = [await self._describe(repo) for repo in part.of(visible)]
        return JSONResponse({**({"repos": shown} if shown else {}), **part.next(len(visible))})

    async def get(self, request: Request) -> Response:
        return JSONResponse(await self._describe(self._named(request)))

    async def update(self, request: Request) -> Response:
        fields = await body(request)
        repo = self._named(request)
        if fields.has("branch") and fields.has("tag"):
            raise invalid("Only one of branch and tag can be specified.")
        credential = self._credential(request, fields, repo)
        if fields.has("sparse_checkout"):
            await self._repos.set_sparse(repo, _patterns(fields))
            repo = self._repos.get(repo.repo_id)
        discard = fields.flag("dangerously_force_discard_all")
        if fields.has("branch"):
            await self._repos.switch(repo, Ref.branch(fields.text("branch")), credential, discard=discard)
        elif fields.has("tag"):
            await self._repos.switch(repo, Ref.tag(fields.text("tag")), credential, discard=discard)
        elif not fields.has("sparse_checkout"):
            raise invalid("One of branch and tag must be specified.")
        return JSONResponse({})

    async def delete(self, request: Request) -> Response:
        await self._repos.remove(self._named(request))
        return JSONResponse({})

    def _named(self, request: Request) -> Repo:
        repo = self._repos.get(Fields(request.path_params).number("repo_id"))
        self._sandbox.access.check(request.state.user, repo.names)
        return repo

    def _credential(self, request: Request, fields: Fields, repo: Repo) -> GitCredential | None:
        """Return the credential for the remote; none for a remote on this machine."""
        owner = request.state.user.name
        if fields.has("git_credential_id"):
            return self._sandbox.git_credentials.get(owner, fields.number("git_credential_id"))
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
        Route(base, api.create, methods=["POST"]),
        Route(base, api.list_page, methods=["GET"]),
        Route(f"{base}/{{repo_id}}", api.get, methods=["GET"]),
        Route(f"{base}/{{repo_id}}", api.update, methods=["PATCH"]),
        Route(f"{base}/{{repo_id}}", api.delete, methods=["DELETE"]),
    ]


def _provider(fields: Fields, url: str) -> str:
    if fields.has("provider"):
        return provider_named(fields.text("provider"))
    host = urlsplit(url).hostname or ""
    if host not in _PROVIDER_OF_HOST:
        raise invalid("Missing required field: provider")
    return _PROVIDER_OF_HOST[host]


def _name_in(url: str) -> str:
    return url.rstrip("/").rsplit("/", 1)[-1].removesuffix(".git") or "repo"


def _check_path(names: tuple[str, ...]) -> None:
    if len(names) < 2 or (names[0] == "Repos" and len(names) != 3):
        raise invalid("Repo path must be in the format /Repos/{folder}/{repo-name}, or outside of /Repos.")


def _patterns(fields: Fields) -> tuple[str, ...]:
    patterns = fields.mapping("sparse_checkout").get("patterns") or []
    if not isinstance(patterns, list) or not all(isinstance(pattern, str) for pattern in patterns):
        raise invalid("sparse_checkout.patterns must be a list of strings")
    if any(not pattern or "\0" in pattern or not pattern.isprintable() for pattern in patterns):
        raise invalid("Invalid sparse-checkout cone pattern")
    return tuple(patterns)
