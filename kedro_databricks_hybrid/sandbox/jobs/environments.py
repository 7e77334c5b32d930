"""Environments of serverless tasks that are kept: the same dependencies are installed once."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.sandbox.clusters.libraries import as_local
from kedro_databricks_hybrid.sandbox.core.removal import remove_tree

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from kedro_databricks_hybrid.sandbox.core.layout import Layout
    from kedro_databricks_hybrid.sandbox.kernel.environment import NotebookEnvironment

KEPT = 8
"""How many environments are kept: those that were used last."""

_NAMED = re.compile(r"[A-Za-z0-9][\w.-]*\s*(\[[^]]*\])?\s*([<>=!~][^@/]*)?(;[^@/]*)?")
_INDEX = re.compile(r"(-i|--index-url|--extra-index-url|--pre)\b.*")
_FILE_OF_LINES = re.compile(r"(?:-r|--requirement|-c|--constraint)[ =]?\s*(/\S+)")


class Environments:
    """The environments that are kept, each in a folder named by what it consists of."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def fill(
        self, made: NotebookEnvironment, dependencies: Sequence[str], install: Callable[[], Awaitable[None]]
    ) -> None:
        """Give a new environment its packages: those that are kept, else install and keep them.

        Args:
            made: The environment, whose files exist.
            dependencies: Its requirements, as lines of a requirements file.
            install: Installs them into it.
        """
        key = await asyncio.to_thread(key_of, made, dependencies)
        if key is None:
            await install()
            return
        kept = self._layout.environments / key
        async with self._locks[key]:
            if kept.is_dir():
                await _completed(_restore, kept, made)
                return
            await install()
            await _completed(self._keep, made, kept)

    def _keep(self, made: NotebookEnvironment, kept: Path) -> None:
        copy = Path(tempfile.mkdtemp(prefix="environment-", dir=self._layout.scratch))
        shutil.copytree(made.packages, copy, symlinks=True, dirs_exist_ok=True)
        copy.rename(kept)
        busy = {key for key, lock in self._locks.items() if lock.locked()}
        by_use = sorted(
            self._layout.environments.iterdir(), key=lambda one: one.stat().st_mtime, reverse=True
        )
        for old in by_use[KEPT:]:
            if old.name not in busy:
                remove_tree(old)


async def _completed(copy: Callable[..., None], *arguments: object) -> None:
    """Copy in a thread; a cancelled task waits for it, so that its files are not deleted meanwhile."""
    copying = asyncio.create_task(asyncio.to_thread(copy, *arguments))
    try:
        await asyncio.shield(copying)
    finally:
        await asyncio.wait([copying])


def key_of(made: NotebookEnvironment, dependencies: Sequence[str]) -> str | None:
    """Return what an environment is kept under: its Python, the dependencies, and their files.

    Returns:
        A name for a folder; None if the dependencies may change although their lines do not.
    """
    found: list[object] = [sys.prefix, made.prefix, made.visible_packages()]
    try:
        for line in dependencies:
            found += _contents(made, as_local(line.strip()))
    except (OSError, ValueError):  # which pip reports
        return None
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()


def _contents(made: NotebookEnvironment, line: str) -> list[str]:
    """Return a line with the digests of the files that it names.

    Raises:
        OSError: A file cannot be read.
        ValueError: It names a folder, a repository, or something else that may change.
    """
    text = line.partition(" #")[0].strip()
    if not text or text.startswith("#"):
        return []
    if _NAMED.fullmatch(text) or _INDEX.fullmatch(text):
        return [text]
    lines = _FILE_OF_LINES.fullmatch(text)
    if not lines and not text.startswith("/"):
        raise ValueError(text)
    content = made.on_machine(lines[1] if lines else text).read_bytes()
    found = [text, hashlib.sha256(content).hexdigest()]
    for each in content.decode().splitlines() if lines else ():
        found += _contents(made, as_local(each.strip()))
    return found


def _restore(kept: Path, made: NotebookEnvironment) -> None:
    shutil.rmtree(made.packages)
    shutil.copytree(kept, made.packages, symlinks=True)
    with suppress(OSError):
        os.utime(kept)
