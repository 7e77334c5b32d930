"""What cannot be transferred, said in one line with the next step, before anything moves."""

from __future__ import annotations

import errno
import os
import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.databricks.workspace import translated
from kedro_databricks_hybrid.errors import MachineError, NotFoundError, TransferError, WorkspaceError
from kedro_databricks_hybrid.git.unsafe_names import Verdict, judge, shown
from kedro_databricks_hybrid.transfer.files import OURS
from kedro_databricks_hybrid.transfer.local import is_draft

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import PurePosixPath

    from kedro_databricks_hybrid.transfer.trees.protocol import RemoteTree

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_MAX_NAME = 255  # bytes
_MAX_PATH = 3000  # bytes below the root
_WAYS_OUT = {
    **dict.fromkeys((errno.EACCES, errno.EPERM), "Make it writable for you"),
    **dict.fromkeys(
        (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY),
        "Move away what has its name here, a file in place of a folder or the other way around",
    ),
    errno.ENAMETOOLONG: "Rename it on Databricks, since its name is too long for this disk",
}


@contextmanager
def explained(action: str) -> Iterator[None]:
    """Translate errors, and name the setting to change where a data root as a whole is out of reach."""
    try:
        with translated(action):
            yield
    except NotFoundError:
        raise
    except WorkspaceError as error:
        if "DBFS root is disabled" in error.message:
            hint = (
                "Keep the data in a volume: `kedro databricks init --volume=<catalog>.<schema>.<volume>` "
                "sets data.root."
            )
        elif "PERMISSION_DENIED" in error.message:
            hint = "Ask for write access to it, or set another data.root in databricks.yml."
        else:
            raise
        raise WorkspaceError(f"{error.message.rstrip('.')}.", hint=hint) from error


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Translate what the disk refuses while a file or folder is written; the hint fits the cause.

    Raises:
        MachineError: The disk is full, or the like.
        TransferError: It cannot be written.
    """
    try:
        yield
    except OSError as error:
        named = Path(str(error.filename or target))
        file = target if any(map(is_draft, named.parts)) else named
        way_out = _WAYS_OUT.get(error.errno or 0)
        raise MachineError.of(error, file) or TransferError(
            f"{file} cannot be written: {error.strerror}.",
            hint=f"{way_out}, then pull again." if way_out else "Pull again.",
        ) from error


def refuse_names(paths: Sequence[PurePosixPath]) -> None:
    """Refuse paths that cannot exist on Databricks.

    Raises:
        TransferError: A name is no valid Unicode, holds a control character, or is too long.
    """
    for path in paths:
        if problem := _problem(path):
            shown = str(path).encode("utf-8", "backslashreplace").decode()
            raise TransferError(f"{shown[:300]!r} {problem}.", hint="Rename it.")


def refuse_sizes(sizes: Sequence[tuple[PurePosixPath, int]], tree: RemoteTree) -> None:
    """Refuse files that do not fit.

    Raises:
        TransferError: A file is larger than the API takes.
    """
    if tree.largest is None:
        return
    for path, size in sizes:
        if size > tree.largest:
            raise TransferError(
                f"{path} has {size / 1e9:.1f} GB, but a file in {tree.root} may have "
                f"{tree.largest / 1024**3:.0f} GiB at most.",
                hint="Split it, or write it from the cluster.",
            )


def _problem(path: PurePosixPath) -> str | None:
    try:
        encoded = str(path).encode()
    except UnicodeEncodeError:
        return "is not valid Unicode, which Databricks needs"
    if _CONTROL.search(str(path)):
        return "holds a control character, which Databricks refuses"
    if len(encoded) > _MAX_PATH:
        return f"is longer than {_MAX_PATH} bytes"
    if len(encoded) > _MAX_NAME and any(len(name.encode()) > _MAX_NAME for name in path.parts):
        return f"holds a name longer than {_MAX_NAME} bytes"
    return None


def refuse_escapes(paths: Sequence[PurePosixPath]) -> None:
    """Refuse remote names that would leave the data folder, or that git or this tool acts on here.

    Raises:
        TransferError: There is such a name.
    """
    for path in paths:
        foreign = any("\\" in name or ":" in name for name in path.parts) and os.name == "nt"
        own = OURS in path.parts or any(map(is_draft, path.parts))
        if judge(path) is Verdict.REFUSE or own or foreign:
            raise TransferError(
                f"{shown(path)} cannot be a file here: it would leave the data folder, or git or this tool "
                "would act on it.",
                hint="Delete or rename it on Databricks; nothing was pulled.",
            )
