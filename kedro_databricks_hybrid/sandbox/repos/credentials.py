"""Git credentials, with which the workspace fetches a user's private repositories."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kedro_databricks_hybrid.sandbox.core.errors import invalid, missing
from kedro_databricks_hybrid.sandbox.core.fields import Fields, body
from kedro_databricks_hybrid.sandbox.core.stamps import new_id
from kedro_databricks_hybrid.sandbox.core.store import stored

if TYPE_CHECKING:
    from starlette.requests import Request

    from kedro_databricks_hybrid.sandbox.core.store import Store

_DOCUMENT = "git_credentials"
_MAX_TOKEN_LENGTH = 10_000
PROVIDERS = (
    "gitHub",
    "bitbucketCloud",
    "gitLab",
    "azureDevOpsServices",
    "gitHubEnterprise",
    "bitbucketServer",
    "gitLabEnterpriseEdition",
    "awsCodeCommit",
)
# Names are accepted in any case, and stored as above.
_BY_LOWER_CASE = {name.lower(): name for name in PROVIDERS}


@stored
@dataclass(frozen=True)
class GitCredential:
    """One credential; `token` is sent to the Git remote and never shown."""

    credential_id: int
    owner: str
    git_provider: str
    git_username: str
    git_email: str
    token: str
    name: str
    is_default_for_provider: bool

    def describe(self) -> dict[str, Any]:
        """Return the credential as the API shows it, without the token."""
        shown = asdict(self)
        del shown["token"], shown["owner"]
        return {name: value for name, value in shown.items() if value != ""}


def provider_named(name: str) -> str:
    """Return a provider's name as in PROVIDERS, from a name in any case."""
    try:
        return _BY_LOWER_CASE[name.lower()]
    except KeyError:
        raise invalid(
            f"Invalid Git provider {name[:100]!r}. Supported Git providers: {', '.join(PROVIDERS)}"
        ) from None


class GitCredentials:
    """The credentials of every user."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._credentials = store.load(_DOCUMENT, dict[int, GitCredential])

    def of(self, owner: str) -> list[GitCredential]:
        """Return one user's credentials."""
        return [credential for credential in self._credentials.values() if credential.owner == owner]

    def get(self, owner: str, credential_id: int) -> GitCredential:
        """Return one of the user's credentials; refuse a missing one."""
        credential = self._credentials.get(credential_id)
        if credential is None or credential.owner != owner:
            raise missing(f"Git credential with ID {credential_id} could not be found.")
        return credential

    def default(self, owner: str, provider: str) -> GitCredential | None:
        """Return the user's default credential for a provider, None without one."""
        for credential in self.of(owner):
            if credential.git_provider == provider and credential.is_default_for_provider:
                return credential
        return None

    async def put(self, credential: GitCredential) -> None:
        """Add or replace a credential; a new default replaces the provider's old one."""
        if credential.is_default_for_provider:
            for other in self.of(credential.owner):
                if other.git_provider == credential.git_provider:
                    changed = GitCredential(**{**asdict(other), "is_default_for_provider": False})
                    self._credentials[other.credential_id] = changed
        self._credentials[credential.credential_id] = credential
        await self._save()

    async def remove(self, owner: str, credential_id: int) -> None:
        """Delete one of the user's credentials."""
        self.get(owner, credential_id)
        del self._credentials[credential_id]
        await self._save()

    async def _save(self) -> None:
        document = {str(key): asdict(credential) for key, credential in self._credentials.items()}
        await self._store.save(_DOCUMENT, document)


class _Api:
    """The handlers of this family."""

    def __init__(self, credentials: GitCredentials) -> None:
        self._credentials = credentials

    async def create(self, request: Request) -> Response:
        fields = await body(request)
        owner = request.state.user.name
        provider = provider_named(fields.text("git_provider"))
        if not fields.has("is_default_for_provider"):
            is_default = self._credentials.default(owner, provider) is None
        else:
            is_default = fields.flag("is_default_for_provider")
        credential = GitCredential(
            credential_id=new_id(),
            owner=owner,
            git_provider=provider,
            git_username=fields.text("git_username", ""),
            git_email=fields.text("git_email", ""),
            token=_token(fields, ""),
            name=fields.text("name", ""),
            is_default_for_provider=is_default,
        )
        await self._credentials.put(credential)
        return JSONResponse(credential.describe())

    async def list_all(self, request: Request) -> Response:
        mine = self._credentials.of(request.state.user.name)
        return JSONResponse({"credentials": [credential.describe() for credential in mine]} if mine else {})

    async def get(self, request: Request) -> Response:
        return JSONResponse(self._named(request).describe())

    async def update(self, request: Request) -> Response:
        fields = await body(request)
        old = self._named(request)
        await self._credentials.put(
            GitCredential(
                credential_id=old.credential_id,
                owner=old.owner,
                git_provider=provider_named(fields.text("git_provider")),
                git_username=fields.text("git_username", old.git_username),
                git_email=fields.text("git_email", old.git_email),
                token=_token(fields, old.token),
                name=fields.text("name", old.name),
                is_default_for_provider=fields.flag(
                    "is_default_for_provider", default=old.is_default_for_provider
                ),
            )
        )
        return JSONResponse({})

    async def delete(self, request: Request) -> Response:
        credential = self._named(request)
        await self._credentials.remove(credential.owner, credential.credential_id)
        return JSONResponse({})

    def _named(self, request: Request) -> GitCredential:
        credential_id = Fields(request.path_params).number("credential_id")
        return self._credentials.get(request.state.user.name, credential_id)


def routes(credentials: GitCredentials) -> list[Route]:
    """Return the routes of this family."""
    api = _Api(credentials)
    base = "/api/2.0/git-credentials"
    return [
        Route(base, api.create, methods=["POST"]),
        Route(base, api.list_all, methods=["GET"]),
        Route(f"{base}/{{credential_id}}", api.get, methods=["GET"]),
        Route(f"{base}/{{credential_id}}", api.update, methods=["PATCH"]),
        Route(f"{base}/{{credential_id}}", api.delete, methods=["DELETE"]),
    ]


def _token(fields: Fields, default: str) -> str:
    token = fields.text("personal_access_token", default)
    if len(token) > _MAX_TOKEN_LENGTH or not token.isprintable():
        raise invalid("personal_access_token is not a token")
    return token
