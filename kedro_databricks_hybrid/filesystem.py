"""An fsspec file system for `dbfs:///...` paths: files on DBFS and in volumes, by the workspace's API.

It is registered by an entry point, so pandas and Kedro's datasets open such paths without further options.
"""

from __future__ import annotations

import datetime as dt
import errno
import io
import os
import shutil
import tempfile
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from fsspec import AbstractFileSystem

from kedro_databricks_hybrid.databricks import volume_paths

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from kedro_databricks_hybrid.databricks.workspace import Workspace
    from kedro_databricks_hybrid.transfer.files import Listing, RemoteFile
    from kedro_databricks_hybrid.transfer.trees.protocol import RemoteTree

_IN_MEMORY = 8 * 1024 * 1024


class DatabricksFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """Files on DBFS and in volumes, read and written by the workspace's API.

    Paths are `/root/...` for DBFS and `/Volumes/<catalog>/<schema>/<volume>/...`.

    Args:
        profile: A profile of ~/.databrickscfg, or `sandbox`; None means the one of this run, or else the
            SDK's unified authentication.
        instance: The host of another workspace, as in fsspec's built-in `dbfs` file system.
        token: The token for that workspace.
        **options: Options of fsspec.
    """

    protocol = "dbfs"
    root_marker = "/"

    def __init__(
        self,
        profile: str | None = None,
        *,
        instance: str | None = None,
        token: str | None = None,
        **options: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(**options)
        if bool(instance) != bool(token):
            raise ValueError("dbfs: give both instance and token, or neither.")
        self._profile = profile
        self._instance = instance
        self._token = token
        self._trees: dict[str, RemoteTree] = {}

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        """Return /x for dbfs:///x, dbfs:/x, /dbfs/x and /x."""
        absolute = "/" + str(path).removeprefix("dbfs:").lstrip("/")
        if absolute == "/dbfs" or absolute.startswith("/dbfs/"):
            absolute = absolute[len("/dbfs") :]
        return absolute.rstrip("/") or "/"

    def ls(self, path: str, detail: bool = True, **options: Any) -> list[Any]:  # noqa: ANN401, ARG002, FBT001, FBT002
        """List a folder; the list of a file is the file itself."""
        path = self._strip_protocol(path)
        tree, below = self._split(path)
        listing = tree.list(below)
        found = [self.info(path)] if listing is None else _entries(tree, listing)
        return found if detail else [each["name"] for each in found]

    def walk(self, path: str, *arguments: Any, **options: Any) -> Iterator[tuple[str, Any, Any]]:  # noqa: ANN401
        """Yield each folder below a path with its folders and files.

        Raises:
            TransferError: A link leads to a folder above it.
        """
        from kedro_databricks_hybrid.databricks.link_loops import LinkLoops
        from kedro_databricks_hybrid.errors import TransferError

        # fsspec calls this method for each folder again, with the same options.
        loops = options.setdefault("loops", LinkLoops(self._strip_protocol(path), TransferError))
        for folder, folders, files in super().walk(path, *arguments, **options):
            if folders:
                loops.enter(PurePosixPath(folder).relative_to(loops.root), [*folders, *files])
            yield folder, folders, files

    def info(self, path: str, **options: Any) -> dict[str, Any]:  # noqa: ANN401, ARG002
        """Describe a file or a folder.

        Raises:
            FileNotFoundError: The path does not exist.
        """
        path = self._strip_protocol(path)
        tree, below = self._split(path)
        if below.parts:
            file = tree.find(below)
            if file is not None:
                return _file(tree, file)
        if tree.list(below) is None:
            raise FileNotFoundError(path)
        return {"name": path, "size": 0, "type": "directory"}

    def modified(self, path: str) -> dt.datetime:
        """Return the time of a file's last change."""
        stamp = self.info(path).get("modified", 0)
        return dt.datetime.fromtimestamp(stamp / 1000, tz=dt.timezone.utc)

    def makedirs(self, path: str, exist_ok: bool = False) -> None:  # noqa: FBT001, FBT002
        """Make a folder and its parents."""
        if not exist_ok and self.exists(path):
            raise FileExistsError(path)
        tree, below = self._split(self._strip_protocol(path))
        tree.make_folder(below)

    def mkdir(self, path: str, create_parents: bool = True, **options: Any) -> None:  # noqa: ANN401, ARG002, FBT001, FBT002
        """Make a folder; its parents are always made, too."""
        self.makedirs(path, exist_ok=True)

    def rm_file(self, path: str) -> None:
        """Remove a file or an empty folder: fsspec's recursive `rm` calls this for both."""
        tree, below = self._split(self._strip_protocol(path))
        if not below.parts or tree.find(below) is None:
            self.rmdir(path)
        else:
            tree.delete(below)

    def rmdir(self, path: str) -> None:
        """Remove an empty folder.

        Raises:
            FileNotFoundError: The folder does not exist.
            OSError: It is not empty.
        """
        path = self._strip_protocol(path)
        tree, below = self._split(path)
        listing = tree.list(below)
        if listing is None:
            raise FileNotFoundError(path)
        if listing.files or listing.folders:
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), path)
        if tree.root.startswith("dbfs:"):
            tree.delete(below)
            return
        from kedro_databricks_hybrid.databricks.workspace import translated

        with translated(f"remove the folder {path}"):
            self._workspace().client.files.delete_directory(path)

    def cp_file(self, path1: str, path2: str, **options: Any) -> None:  # noqa: ANN401, ARG002
        """Copy a file through this machine."""
        with self.open(path1, "rb") as source, self.open(path2, "wb") as target:
            shutil.copyfileobj(source, target)

    def created(self, path: str) -> dt.datetime:
        """Return the time of a file's last change: Databricks does not record when it was created."""
        return self.modified(path)

    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,  # noqa: ARG002
        autocommit: bool = True,  # noqa: ARG002, FBT001, FBT002
        cache_options: dict[str, Any] | None = None,  # noqa: ARG002
        **options: Any,  # noqa: ANN401, ARG002
    ) -> Any:  # noqa: ANN401 - a binary file
        """Open a file: it is downloaded before it is read, and uploaded when it is closed after writing."""
        tree, below = self._split(self._strip_protocol(path))
        if mode == "rb":
            return self._downloaded(tree, below, path)
        if mode in {"wb", "xb", "ab"}:
            if mode == "xb" and tree.find(below) is not None:
                raise FileExistsError(path)
            upload = _UploadedOnClose(tree, below)
            if mode == "ab" and tree.find(below) is not None:
                with self._downloaded(tree, below, path) as before:
                    shutil.copyfileobj(before, upload)
            return upload
        raise ValueError(f"A file on Databricks cannot be opened with mode {mode!r}.")

    def _downloaded(self, tree: RemoteTree, below: PurePosixPath, path: str) -> BinaryIO:
        file = tree.find(below)
        if file is None:
            raise FileNotFoundError(path)
        content: BinaryIO = io.BytesIO()
        if file.size > _IN_MEMORY:
            content = tempfile.TemporaryFile()  # noqa: SIM115
        content.writelines(tree.chunks(below, file.size))
        content.seek(0)
        return content

    def _split(self, path: str) -> tuple[RemoteTree, PurePosixPath]:
        """Return the tree of a path's data root, and the path below it."""
        absolute = PurePosixPath(path)
        if in_volume := volume_paths.split(absolute):
            volume, below = in_volume
            root = str(volume)
        else:
            top = PurePosixPath(*absolute.parts[: min(2, max(1, len(absolute.parts) - 1))])
            root, below = f"dbfs:{top}", absolute.relative_to(top)
        if root not in self._trees:
            from kedro_databricks_hybrid.transfer.trees.open import open_tree

            self._trees[root] = open_tree(self._workspace(), root)
        return self._trees[root], below

    def _workspace(self) -> Workspace:
        from kedro_databricks_hybrid.databricks import workspace
        from kedro_databricks_hybrid.spark import connect

        if not self._instance or not self._token:
            return connect.workspace_of_run(self._profile)
        host = self._instance if "://" in self._instance else f"https://{self._instance}"
        return workspace.connect_with(host, self._token)


class _UploadedOnClose(io.BufferedIOBase):
    """A file that is buffered locally and uploaded when it is closed, unless its `with` block failed."""

    def __init__(self, tree: RemoteTree, path: PurePosixPath) -> None:
        self._tree = tree
        self._path = path
        self._content = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - closed with this file
        self._failed = False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def write(self, data: Any) -> int:  # noqa: ANN401 - any buffer
        return self._content.write(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._content.seek(offset, whence) or self._content.tell())

    def tell(self) -> int:
        return self._content.tell()

    def __exit__(self, *error: object) -> None:
        self._failed = error[0] is not None
        self.close()

    def close(self) -> None:
        if self.closed:
            return
        try:
            if not self._failed:
                self._send()
        finally:
            self._content.close()
            super().close()

    def _send(self) -> None:
        size = self._content.seek(0, io.SEEK_END) or self._content.tell()
        self._content.seek(0)
        if not self._tree.makes_parents:
            self._tree.make_folder(self._path.parent)
        from kedro_databricks_hybrid.transfer.files import SMALL

        if size <= SMALL:
            self._tree.write(self._path, self._content.read())
        else:
            self._tree.upload(self._path, self._content, size)  # type: ignore[arg-type]


def _entries(tree: RemoteTree, listing: Listing) -> list[dict[str, Any]]:
    folders = [{"name": _full(tree, each), "size": 0, "type": "directory"} for each in listing.folders]
    return [*folders, *(_file(tree, each) for each in listing.files)]


def _file(tree: RemoteTree, file: RemoteFile) -> dict[str, Any]:
    return {
        "name": _full(tree, file.path),
        "size": file.size,
        "type": "file",
        "modified": file.modified,
    }


def _full(tree: RemoteTree, path: PurePosixPath) -> str:
    return str(PurePosixPath(tree.root.removeprefix("dbfs:")) / path)
