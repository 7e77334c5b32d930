"""This tool's folder in the local data folder. It ignores itself for Git, and no push sends it."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.errors import HybridError, MachineError, TransferError
from kedro_databricks_hybrid.transfer.files import OURS

if TYPE_CHECKING:
    from pathlib import Path


def path(data: Path, name: str) -> Path:
    """Return where a file of ours is or would be."""
    return data / OURS / name


def make(data: Path) -> Path:
    """Return the folder, made if need be.

    Raises:
        MachineError: The disk is full, or the like.
        TransferError: The data folder cannot be written.
    """
    folder = data / OURS
    try:
        folder.mkdir(parents=True, exist_ok=True)
        ignore = folder / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", encoding="utf-8")
    except OSError as error:
        raise _unwritable(folder, error) from error
    return folder


def write(data: Path, name: str, content: str | bytes) -> None:
    """Replace a file of ours by a whole one.

    Raises:
        MachineError: The disk is full, or the like.
        TransferError: The data folder cannot be written.
    """
    target = make(data) / name
    draft = target.with_name(f"{target.name}.{secrets.token_hex(4)}")
    try:
        target.parent.mkdir(exist_ok=True)
        draft.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(draft, target)  # noqa: PTH105 - the name tells that it replaces
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise _unwritable(target, error) from error


def _unwritable(file: Path, error: OSError) -> HybridError:
    return MachineError.of(error, file) or TransferError(
        f"{file} cannot be written: {error.strerror}.", hint="Fix that, then try again."
    )
