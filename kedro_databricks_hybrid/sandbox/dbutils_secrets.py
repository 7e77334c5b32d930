"""`dbutils.secrets`: asks the workspace with the notebook's own token."""

from __future__ import annotations

import base64
from typing import Any, NamedTuple

from kedro_databricks_hybrid.sandbox.notebook_context import RefusedError, ask


class SecretMetadata(NamedTuple):
    """One secret of a listing."""

    key: str


class SecretScope(NamedTuple):
    """One scope of a listing."""

    name: str

    def getName(self) -> str:  # noqa: N802 - Databricks' name
        """Return its name."""
        return self.name


class SecretsUtility:
    """`dbutils.secrets`; what it returns is redacted where a notebook shows it."""

    def get(self, scope: str, key: str) -> str:
        """Return a secret as text."""
        return self.getBytes(scope, key).decode()

    def getBytes(self, scope: str, key: str) -> bytes:  # noqa: N802 - Databricks' name
        """Return a secret as bytes."""
        return base64.b64decode(_ask("get", scope=scope, key=key)["value"])

    def list(self, scope: str) -> list[SecretMetadata]:
        """Return the names of the secrets in a scope."""
        return [SecretMetadata(one["key"]) for one in _ask("list", scope=scope).get("secrets", [])]

    def listScopes(self) -> Any:  # noqa: ANN401, N802 - `list` is this class's own here; Databricks' name
        """Return the scopes."""
        return [SecretScope(one["name"]) for one in _ask("scopes/list").get("scopes", [])]


def _ask(call: str, **fields: str) -> Any:  # noqa: ANN401 - JSON
    try:
        return ask("GET", f"/api/2.0/secrets/{call}", fields)
    except RefusedError as error:
        raise ValueError(str(error)) from None
