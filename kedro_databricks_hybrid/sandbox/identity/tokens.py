"""Tokens that expire: personal access tokens with their API, and OAuth's access tokens."""

from __future__ import annotations

import hmac
import secrets
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.sandbox.core.bodies import Integer, Required
from kedro_databricks_hybrid.sandbox.core.endpoints import endpoints
from kedro_databricks_hybrid.sandbox.core.errors import missing
from kedro_databricks_hybrid.sandbox.core.stamps import now
from kedro_databricks_hybrid.sandbox.core.store import stored

if TYPE_CHECKING:
    from starlette.routing import Route

    from kedro_databricks_hybrid.sandbox.core.endpoints import Handler
    from kedro_databricks_hybrid.sandbox.core.store import Store
    from kedro_databricks_hybrid.sandbox.core.users import User

_DOCUMENT = "tokens"
_NEVER = -1
LIFETIME_SECONDS = 3600


@stored
@dataclass(frozen=True)
class Token:
    """One personal access token; times are milliseconds since the epoch, as in the API."""

    token_id: str
    owner: str
    value: str
    comment: str
    creation_time: int
    expiry_time: int

    def describe(self) -> dict[str, Any]:
        """Return the token as the API shows it, without its value."""
        shown = asdict(self)
        del shown["value"], shown["owner"]
        return shown


class Tokens:
    """The tokens that users created in addition to the first token that each user has."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._tokens = store.load(_DOCUMENT, dict[str, Token])

    def of(self, owner: str) -> list[Token]:
        """Return the valid tokens of a user."""
        return [each for each in self._tokens.values() if each.owner == owner and _is_valid(each)]

    def owner_of(self, value: str) -> str | None:
        """Return the owner of a valid token, None if it is not valid; compares in constant time."""
        found = None
        for each in self._tokens.values():
            if hmac.compare_digest(each.value.encode(), value.encode(errors="replace")) and _is_valid(each):
                found = each.owner
        return found

    async def put(self, token: Token) -> None:
        """Add a token."""
        self._tokens[token.token_id] = token
        await self._save()

    async def remove(self, owner: str, token_id: str) -> None:
        """Revoke one of a user's tokens."""
        token = self._tokens.get(token_id)
        if token is None or token.owner != owner:
            raise missing(f"Token with id {token_id} does not exist.")
        del self._tokens[token_id]
        await self._save()

    async def _save(self) -> None:
        await self._store.save(_DOCUMENT, {key: asdict(token) for key, token in self._tokens.items()})


def routes(tokens: Tokens) -> list[Route]:
    """Return the routes of this family."""

    async def create(user: User, comment: str = "", lifetime_seconds: Integer = 0) -> dict[str, Any]:
        made = now()
        expiry = made + lifetime_seconds * 1000 if lifetime_seconds > 0 else _NEVER
        value = f"dapi{secrets.token_hex(16)}"
        token = Token(secrets.token_hex(32), user.name, value, comment, made, expiry)
        await tokens.put(token)
        return {"token_value": token.value, "token_info": token.describe()}

    async def list_all(user: User) -> dict[str, Any]:
        mine = tokens.of(user.name)
        return {"token_infos": [each.describe() for each in mine]} if mine else {}

    async def delete(user: User, token_id: Required) -> None:
        await tokens.remove(user.name, token_id)

    table: dict[str, Handler] = {"POST /create": create, "GET /list": list_all, "POST /delete": delete}
    return endpoints(table, "/api/2.0/token")


def _is_valid(token: Token) -> bool:
    return token.expiry_time == _NEVER or token.expiry_time > now()


@dataclass(frozen=True)
class AccessToken:
    """One access token, its owner, and when it expires, in seconds since the epoch."""

    value: str
    owner: str
    end: float


class AccessTokens:
    """The valid access tokens; a restart drops them, and clients request new ones."""

    def __init__(self) -> None:
        self._tokens: list[AccessToken] = []

    def create(self, owner: str) -> AccessToken:
        """Return a new token of a user."""
        made = time.time()
        token = AccessToken(f"eyJ{secrets.token_urlsafe(32)}", owner, made + LIFETIME_SECONDS)
        self._tokens = [*(each for each in self._tokens if each.end > made), token]
        return token

    def owner_of(self, value: str) -> str | None:
        """Return the owner of a valid token, None if it is not valid; compares in constant time."""
        found, moment = None, time.time()
        for each in self._tokens:
            if hmac.compare_digest(each.value.encode(), value.encode(errors="replace")) and each.end > moment:
                found = each.owner
        return found
