"""The keys of a project's secrets in a secret scope, which it may share with other projects. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.errors import SettingsError

ENTRY = "credentials."
"""What the name of a secret begins with that holds a whole entry of the credentials, as YAML."""

if TYPE_CHECKING:
    from collections.abc import Iterable

_KEY = re.compile(r"[\w\-.]{1,128}", re.ASCII)


def key_of(project: str, name: str) -> str:
    """Return the key of a project's secret; it begins with the project's name.

    Raises:
        SettingsError: Databricks allows no such key.
    """
    key = f"{project}.{name}"
    if not _KEY.fullmatch(key):
        raise SettingsError(
            f"{key!r} cannot be the key of a secret.",
            hint="Use at most 128 letters, digits, dashes, underscores and periods.",
        )
    return key


def command(names: Iterable[str]) -> str:
    """Return the command that sets secrets, by their names."""
    listed = list(names)
    if any(name.startswith(ENTRY) for name in listed):
        return "kedro databricks secrets push --from-local"
    one = len(listed) == 1
    return f"kedro databricks secrets set {listed[0]}" if one else "kedro databricks secrets push"
