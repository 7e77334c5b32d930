"""The state that survives a restart: a few small JSON documents."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.sandbox.core.atomic import write_atomically

if TYPE_CHECKING:
    from pathlib import Path


class Store:
    """JSON documents by name, each written whole: a reader finds the old one or the new one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writing = asyncio.Lock()

    def load(self, name: str) -> dict[str, Any]:
        """Return the document, empty if it was never saved."""
        try:
            document: dict[str, Any] = json.loads(self._path(name).read_bytes())
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise ValueError(
                f"{self._path(name)} is damaged: {error}. Move it away to start anew."
            ) from error
        return document

    def save_now(self, name: str, document: dict[str, Any]) -> None:
        """Save from code outside of the event loop."""
        write_atomically(self._path(name), _encode(document))

    async def save(self, name: str, document: dict[str, Any]) -> None:
        """Save without blocking the event loop; saves take effect in the order of the calls."""
        content = _encode(document)
        async with self._writing:
            await asyncio.to_thread(write_atomically, self._path(name), content)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"


def _encode(document: dict[str, Any]) -> bytes:
    return json.dumps(document, indent=1).encode()
