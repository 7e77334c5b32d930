"""Git credentials, with which the workspace fetches a user's private repositories."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field

from kedro_databricks_hybrid.sandbox.core.bodies import Body, Flag, Integer, Required, parse
from kedro_databricks_hybrid.sandbox.core.endpoints import endpoints
from kedro_databricks_hybrid.sandbox.core.errors import invalid, missing
from kedro_databricks_hybrid.sandbox.core.stamps import new_id
from kedro_databricks_hybrid.sandbox.core.store import stored

if TYPE_CHECKING:
    from starlette.routing import Route

    from kedro_databricks_hybrid.sandbox.core.endpoints import Handler
    from kedro_databricks_hybrid.sandbox.core.store import Store
    from kedro_databricks_hybrid.sandbox.core.users import User

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
                    changed = replace(other, is_default_for_provider=False)
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


def _checked_token(token: str) -> str:
    if len(token) > _MAX_TOKEN_LENGTH or not token.isprintable():
        raise invalid("personal_access_token is not a token")
    return token


class _Fields(Body):
    git_provider: Annotated[Required, AfterValidator(provider_named)]
    git_username: str = ""
    git_email: str = ""
    token: Annotated[str, Field(alias="personal_access_token"), AfterValidator(_checked_token)] = ""
    name: str = ""
    is_default_for_provider: Flag | None = None


class _Api:
    """The handlers of this family."""

    def __init__(self, credentials: GitCredentials) -> None:
        self._credentials = credentials

    async def create(self, user: User, given: dict[str, Any]) -> dict[str, Any]:
        fields = parse(_Fields, given).model_dump()
        if fields["is_default_for_provider"] is None:
            default = self._credentials.default(user.name, fields["git_provider"])
            fields["is_default_for_provider"] = default is None
        credential = GitCredential(new_id(), user.name, **fields)
        await self._credentials.put(credential)
        return credential.describe()

    async def list_all(self, user: User) -> dict[str, Any]:
        mine = self._credentials.of(user.name)
        return {"credentials": [credential.describe() for credential in mine]} if mine else {}

    async def get(self, user: User, credential_id: Integer) -> dict[str, Any]:
        return self._credentials.get(user.name, credential_id).describe()

    async def update(self, user: User, credential_id: Integer, given: dict[str, Any]) -> None:
        changes = parse(_Fields, given).model_dump(exclude_unset=True)
        await self._credentials.put(replace(self._credentials.get(user.name, credential_id), **changes))

    async def delete(self, user: User, credential_id: Integer) -> None:
        await self._credentials.remove(user.name, credential_id)


def routes(credentials: GitCredentials) -> list[Route]:
    """Return the routes of this family."""
    api = _Api(credentials)
    table: dict[str, Handler] = {
        "POST ": api.create,
        "GET ": api.list_all,
        "GET /{credential_id}": api.get,
        "PATCH /{credential_id}": api.update,
        "DELETE /{credential_id}": api.delete,
    }
    return endpoints(table, "/api/2.0/git-credentials")
