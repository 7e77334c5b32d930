"""`dbutils` of a notebook: files, secrets, widgets, task values, exit from the notebook, restart of Python.

Names are as on Databricks, in camel case. Secrets are requested with the notebook's token.
"""

from __future__ import annotations

import base64
import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from ...core import checksum_files
from ...core.guesses import MOUNT_REFUSED
from ..spark_defaults import DBFS
from . import notebook_run, task_values
from .dbfs_mount import MISSING_VARIABLE
from .notebook_context import EntryPoint, RefusedError, call_api

_ROOTS = ("/Volumes", "/Workspace")  # absolute paths outside of DBFS


class NotebookExit(BaseException):
    """The notebook exits with a value; the API shows this as success."""


class PythonRestart(BaseException):
    """The notebook requests a new Python process; the API shows this as success."""


class ExecutionError(Exception):
    """Databricks refuses a function of `dbutils.fs`."""


class FileInfo(NamedTuple):
    """One entry of a listing; times are milliseconds since the epoch, on DBFS whole seconds."""

    path: str
    name: str
    size: int
    modificationTime: int  # noqa: N815

    def isDir(self) -> bool:  # noqa: N802
        """Whether this is a folder."""
        return self.name.endswith("/")

    def isFile(self) -> bool:  # noqa: N802
        """Whether this is a file."""
        return not self.isDir()


class MountInfo(NamedTuple):
    """One mount point of DBFS."""

    mountPoint: str  # noqa: N815
    source: str
    encryptionType: str  # noqa: N815


class DBUtils:
    """The object `dbutils`; every instance has the same widgets.

    Args:
        spark: Not used; accepted because code calls `pyspark.dbutils.DBUtils(spark)`.
    """

    def __init__(self, spark: object = None) -> None:
        del spark
        self.fs = FileSystem()
        self.widgets = _WIDGETS
        self.notebook = Notebook()
        self.library = Library()
        self.jobs = task_values.Jobs()
        self.secrets = SecretsUtility()


class FileSystem:
    """`dbutils.fs`, on `dbfs:/`, `/Volumes/`, `/Workspace/` and `file:/` paths."""

    def ls(self, dir: str) -> list[FileInfo]:  # noqa: A002
        """List a folder, or the one file."""
        path = _local(dir)
        entries = checksum_files.visible(path) if path.is_dir() else [_existing(path, dir)]
        base = _uri(dir).rstrip("/") if path.is_dir() else _uri(dir).rpartition("/")[0]
        return [_info(base, entry) for entry in entries]

    def mkdirs(self, dir: str) -> bool:  # noqa: A002
        """Create a folder and its parents."""
        _local(dir).mkdir(parents=True, exist_ok=True)
        return True

    def put(self, file: str, contents: str, overwrite: bool = False) -> bool:  # noqa: FBT001, FBT002
        """Write a text to a file."""
        path = _local(file)
        if path.exists() and not overwrite:
            raise FileExistsError(f"{_uri(file)} already exists. Use overwrite=True to replace it.")
        path.parent.mkdir(parents=True, exist_ok=True)
        written = path.write_bytes(contents.encode())
        print(f"Wrote {written} bytes.")  # noqa: T201 - as Databricks does
        return True

    def head(self, file: str, max_bytes: int = 65536) -> str:
        """Return the beginning of a file."""
        with _existing(_local(file), file).open("rb") as content:
            return content.read(max_bytes).decode("utf-8", errors="replace")

    def cp(self, source: str, destination: str, recurse: bool = False) -> bool:  # noqa: FBT001, FBT002
        """Copy a file, or with `recurse` a folder."""
        origin, target = _existing(_local(source), source), _local(destination)
        if origin.is_dir():
            if not recurse:
                raise IsADirectoryError(f"{_uri(source)} is a directory. Use recurse=True to copy it.")
            shutil.copytree(origin, target, dirs_exist_ok=True)
        else:
            target = target / origin.name if target.is_dir() else target
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(origin, target)
        return True

    def mv(self, source: str, destination: str, recurse: bool = False) -> bool:  # noqa: FBT001, FBT002
        """Move a file, or with `recurse` a folder."""
        self.cp(source, destination, recurse)
        return self.rm(source, recurse)

    def rm(self, dir: str, recurse: bool = False) -> bool:  # noqa: A002, FBT001, FBT002
        """Delete a file or a folder; return False if it does not exist."""
        path = _local(dir)
        if path.is_dir() and not path.is_symlink():
            if any(path.iterdir()) and not recurse:
                raise OSError(f"{_uri(dir)} is not empty. Use recurse=True to remove it.")
            shutil.rmtree(path)
        elif path.exists():
            path.unlink()
            checksum_files.forget(path)
        else:
            return False
        return True

    def mount(
        self,
        source: str,
        mount_point: str,
        encryption_type: str = "",
        owner: str | None = None,
        extra_configs: dict[str, str] | None = None,
    ) -> NoReturn:
        """Refuse to mount cloud storage: as Databricks does, or because the sandbox has none."""
        del encryption_type, owner, extra_configs
        _refuse_mounts("mount")
        _refuse_storage(source, mount_point)

    def updateMount(  # noqa: N802
        self,
        source: str,
        mount_point: str,
        encryption_type: str = "",
        owner: str | None = None,
        extra_configs: dict[str, str] | None = None,
    ) -> NoReturn:
        """Refuse to mount cloud storage, as `mount` does."""
        del encryption_type, owner, extra_configs
        _refuse_mounts("updateMount")
        _refuse_storage(source, mount_point)

    def unmount(self, mount_point: str) -> NoReturn:
        """Refuse, because nothing is mounted."""
        _refuse_mounts("unmount")
        raise ExecutionError(f"requirement failed: Directory not mounted: {mount_point}")

    def mounts(self) -> list[MountInfo]:
        """Return what is mounted on DBFS, where the access mode allows it."""
        _refuse_mounts("mounts")
        return [MountInfo("/Volumes", "UnityCatalogVolumes", ""), MountInfo("/", "DatabricksRoot", "")]

    def refreshMounts(self) -> bool:  # noqa: N802
        """Do nothing: each process sees new mounts at once."""
        return True


class Widgets:
    """`dbutils.widgets`: the parameters of this notebook by name."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}

    def text(self, name: str, defaultValue: str, label: str = "") -> None:  # noqa: N803
        """Define a parameter, or keep the value that it has."""
        del label
        self._values.setdefault(name, defaultValue)

    def dropdown(self, name: str, defaultValue: str, choices: list[str], label: str = "") -> None:  # noqa: N803
        """Define a parameter with a choice of values."""
        if defaultValue not in choices:
            raise ValueError(f"The default value '{defaultValue}' of widget {name} is not among its choices.")
        self.text(name, defaultValue, label)

    combobox = dropdown
    multiselect = dropdown

    def get(self, name: str) -> str:
        """Return the value of a parameter."""
        if name not in self._values:
            raise ValueError(f"InputWidgetNotDefined: No input widget named {name} is defined")
        return self._values[name]

    def getAll(self) -> dict[str, str]:  # noqa: N802
        """Return all parameters."""
        return dict(self._values)

    def remove(self, name: str) -> None:
        """Remove a parameter."""
        self._values.pop(name, None)

    def removeAll(self) -> None:  # noqa: N802
        """Remove all parameters."""
        self._values.clear()


_WIDGETS = Widgets()


class Notebook:
    """`dbutils.notebook`."""

    entry_point = EntryPoint()

    def exit(self, value: str) -> None:
        """Exit from the notebook with a value."""
        raise NotebookExit(value)

    def run(self, path: str, timeout_seconds: int, arguments: dict[str, str] | None = None) -> str:
        """Run another notebook and return the value that it exits with; a timeout of 0 means none."""
        return notebook_run.run(path, timeout_seconds, arguments or {})


class Library:
    """`dbutils.library`."""

    def restartPython(self) -> None:  # noqa: N802
        """Replace the Python process; installed packages are kept, variables and modules are lost."""
        raise PythonRestart


def _refuse_mounts(function: str) -> None:
    """Refuse a function about mounts on compute that has no /dbfs."""
    if MISSING_VARIABLE in os.environ:
        raise ExecutionError(MOUNT_REFUSED.format(function=function))


def _refuse_storage(source: str, mount_point: str) -> NoReturn:
    raise ExecutionError(
        f"{source} cannot be mounted at {mount_point}: the sandbox has no cloud storage. Use a volume."
    )


def _local(path: str) -> Path:
    """Return the local path of a path of `dbutils.fs`."""
    if path.startswith("file:"):
        return Path("/", path.removeprefix("file:").lstrip("/"))
    absolute = "/" + path.removeprefix("dbfs:").lstrip("/")
    if ":" in path.partition("/")[0] and not path.startswith("dbfs:"):
        raise ValueError(f"No file system for the scheme of {path}")
    if absolute.startswith(tuple(f"{root}/" for root in _ROOTS)) or absolute in _ROOTS:
        return Path(absolute)
    return Path(DBFS, absolute.lstrip("/"))


def _uri(path: str) -> str:
    if path.startswith(("dbfs:", "file:")):
        return path
    return f"dbfs:/{path.lstrip('/')}"


def _existing(local: Path, path: str) -> Path:
    if not local.exists():
        raise FileNotFoundError(f"No such file or directory: {_uri(path)}")
    return local


def _info(base: str, entry: Path) -> FileInfo:
    status = entry.stat()
    name = f"{entry.name}/" if entry.is_dir() else entry.name
    size = 0 if entry.is_dir() else status.st_size
    on_dbfs = entry.is_relative_to(DBFS)
    modified = int(status.st_mtime) * 1000 if on_dbfs else int(status.st_mtime * 1000)
    return FileInfo(f"{base}/{name}", name, size, modified)


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
    """`dbutils.secrets`; its values are redacted in the notebook's output."""

    def get(self, scope: str, key: str) -> str:
        """Return a secret as text."""
        return self.getBytes(scope, key).decode()

    def getBytes(self, scope: str, key: str) -> bytes:  # noqa: N802 - Databricks' name
        """Return a secret as bytes."""
        return base64.b64decode(_call_secrets("get", scope=scope, key=key)["value"])

    def list(self, scope: str) -> list[SecretMetadata]:
        """Return the names of the secrets in a scope."""
        return [SecretMetadata(one["key"]) for one in _call_secrets("list", scope=scope).get("secrets", [])]

    def listScopes(self) -> Any:  # noqa: ANN401, N802 - `list` is a method here; Databricks' name
        """Return the scopes."""
        return [SecretScope(one["name"]) for one in _call_secrets("scopes/list").get("scopes", [])]


def _call_secrets(call: str, **fields: str) -> Any:  # noqa: ANN401 - JSON
    try:
        return call_api("GET", f"/api/2.0/secrets/{call}", fields)
    except RefusedError as error:
        raise ValueError(str(error)) from None
