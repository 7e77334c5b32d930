"""Refuse what cannot be transferred before anything is transferred, and translate errors."""

from __future__ import annotations

import errno
import os
import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.databricks import grants
from kedro_databricks_hybrid.databricks.workspace import translated
from kedro_databricks_hybrid.errors import MachineError, NotFoundError, TransferError, WorkspaceError
from kedro_databricks_hybrid.git.unsafe_names import Verdict, judge, shown
from kedro_databricks_hybrid.transfer.files import STATE_FOLDER
from kedro_databricks_hybrid.transfer.local import is_draft

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import PurePosixPath

    from kedro_databricks_hybrid.transfer.trees.protocol import RemoteTree

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_MAX_NAME = 255  # bytes
_MAX_PATH = 3000  # bytes below the root
_HINTS = {
    **dict.fromkeys((errno.EACCES, errno.EPERM), "Make it writable for you"),
    **dict.fromkeys(
        (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY),
        "Move or delete the local file or folder that is in the way",
    ),
    errno.ENAMETOOLONG: "Rename it on Databricks: its name is too long for this disk",
}


@contextmanager
def explained(action: str) -> Iterator[None]:
    """Translate the SDK's errors; where the whole data root is refused, name the setting to change.

    Args:
        action: What is tried, for the message, such as `list dbfs:/x`.
    """
    try:
        with translated(action):
            yield
    except NotFoundError:
        raise
    except WorkspaceError as error:
        from databricks.sdk.errors import PermissionDenied

        if "DBFS root is disabled" in error.message:
            hint = (
                "Keep the data in a volume: `kedro databricks init --volume=<catalog>.<schema>.<volume>` "
                "sets data.root."
            )
        elif isinstance(error.__cause__, PermissionDenied):
            asked = grants.missing(error.message) or "write access to it"
            hint = f"Ask for {asked}, or set another data.root in databricks.yml."
        else:
            raise
        raise WorkspaceError(f"{error.message.rstrip('.')}.", hint=hint) from error


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Translate the disk's errors while a file or folder is written; the hint depends on the cause.

    Raises:
        MachineError: The disk is full, read-only or broken.
        TransferError: The file or folder cannot be written.
    """
    try:
        yield
    except OSError as error:
        named = Path(str(error.filename or target))
        file = target if any(map(is_draft, named.parts)) else named
        hint = _HINTS.get(error.errno or 0)
        raise MachineError.of(error, file) or TransferError(
            f"{shown(str(file))} cannot be written: {error.strerror}.",
            hint=f"{hint}, then pull again." if hint else "Pull again.",
        ) from error


def refuse_names(paths: Sequence[PurePosixPath]) -> None:
    """Refuse paths that cannot exist on Databricks.

    Raises:
        TransferError: A name is not valid Unicode, contains a control character, or is too long.
    """
    for path in paths:
        if problem := _problem(path):
            shown = str(path).encode("utf-8", "backslashreplace").decode()
            raise TransferError(f"{shown[:300]!r} {problem}.", hint="Rename it.")


def refuse_sizes(sizes: Sequence[tuple[PurePosixPath, int]], tree: RemoteTree) -> None:
    """Refuse files that are too large.

    Raises:
        TransferError: A file is larger than the API accepts.
    """
    if tree.largest is None:
        return
    for path, size in sizes:
        if size > tree.largest:
            raise TransferError(
                f"{path} has {size / 1e9:.1f} GB, but a file in {tree.root} may have "
                f"{tree.largest / 1024**3:.0f} GiB at most.",
                hint="Split it, or write it on the cluster.",
            )


def _problem(path: PurePosixPath) -> str | None:
    try:
        encoded = str(path).encode()
    except UnicodeEncodeError:
        return "is not valid Unicode, which Databricks requires"
    if _CONTROL.search(str(path)):
        return "contains a control character, which Databricks refuses"
    if len(encoded) > _MAX_PATH:
        return f"is longer than {_MAX_PATH} bytes"
    if len(encoded) > _MAX_NAME and any(len(name.encode()) > _MAX_NAME for name in path.parts):
        return f"contains a name longer than {_MAX_NAME} bytes"
    return None


def refuse_escapes(paths: Sequence[PurePosixPath]) -> None:
    """Refuse remote paths outside the data folder, and names that git or this plugin acts on.

    Raises:
        TransferError: A path is one of these.
    """
    for path in paths:
        invalid_here = os.name == "nt" and any("\\" in name or ":" in name for name in path.parts)
        is_state = STATE_FOLDER in path.parts or any(map(is_draft, path.parts))
        if judge(path) is Verdict.REFUSE or is_state or invalid_here:
            raise TransferError(
                f"{shown(path)} cannot be pulled: it is outside the data folder, or git or this plugin would "
                "act on it.",
                hint="Delete or rename it on Databricks. Nothing was pulled.",
            )
