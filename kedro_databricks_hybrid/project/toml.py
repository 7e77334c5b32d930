"""Read TOML files of a project."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.errors import SettingsError

if TYPE_CHECKING:
    from kedro_databricks_hybrid.project.requirements_file import Files


def table(files: Files, path: str) -> dict[str, Any]:
    """Return a file's content; empty if there is no such file.

    Raises:
        SettingsError: It is not TOML.
    """
    content = files.read(path)
    if content is None:
        return {}
    toml = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")  # Kedro brings tomli
    try:
        found: dict[str, Any] = toml.loads(content.decode("utf-8"))
    except ValueError as error:
        raise SettingsError(f"{path} is not valid TOML: {error}.", hint=f"Edit {path}.") from None
    return found
