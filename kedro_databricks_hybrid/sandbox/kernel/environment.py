"""The files and environment variables of a notebook process."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
import venv
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from kedro_databricks_hybrid.sandbox.core.machine_variables import machine_variables
from kedro_databricks_hybrid.sandbox.core.removal import remove_tree
from kedro_databricks_hybrid.sandbox.kernel import kinds, namespace, runtime, spark_defaults
from kedro_databricks_hybrid.sandbox.kernel.access import ACCESS_FILE
from kedro_databricks_hybrid.sandbox.kernel.inside.dbfs_mount import MISSING_VARIABLE
from kedro_databricks_hybrid.spark import java

if TYPE_CHECKING:
    from types import SimpleNamespace

    from kedro_databricks_hybrid.sandbox.core.layout import Layout
    from kedro_databricks_hybrid.sandbox.kernel.access import NotebookAccess

DRIVER_FOLDER = "/databricks/driver"
"""The working directory of a context, as on Databricks; Git folders are elsewhere."""

CLUSTER_LIBRARIES = f"{spark_defaults.LOCAL_DISK}/.ephemeral_nfs/cluster_libraries/python"
"""The folder in which a context finds the packages of its cluster."""

_ENVIRONMENTS = ".ephemeral_nfs/envs"
_SPARK_CONFIGURATION = "spark/conf"


@dataclass(frozen=True)
class NotebookEnvironment:
    """The folders of one context: their paths on this machine, and the paths at which its process sees them.

    Attributes:
        folder: The files of this context, deleted with it.
        layout: The sandbox's folders.
        name: The context's id.
        access: The token of its notebooks.
        libraries: The folder of its cluster's packages, None without a cluster.
        visible: The folders of `/Workspace/Users` and `/Workspace/Repos` that its user may see.
        dbfs: Whether it may use the DBFS root.
        dbfs_mount: Whether Python code sees that root at /dbfs.
        kernels: The kind of its kernel, one of `kinds.KINDS`; None for what this machine allows.
        fixed: Further folders, and the paths at which the process sees them and cannot change them.
        python_name: The name of its Python environment, if it is not the context's id.
    """

    folder: Path
    layout: Layout
    name: str
    access: NotebookAccess
    libraries: Path | None = None
    visible: tuple[str, ...] = ()
    dbfs: bool = True
    dbfs_mount: bool = True
    kernels: str | None = None
    fixed: tuple[tuple[Path, str], ...] = ()
    python_name: str = ""

    @property
    def binds(self) -> list[tuple[Path | None, str]]:
        """Each folder with the absolute path at which the context sees it; None hides a path."""
        workspace = self.layout.workspace
        root = self.layout.dbfs if self.dbfs else None
        shown = [Path(os.path.realpath(folder)) for folder in (self.folder, self.home)]
        return [
            (None, os.path.realpath(self.layout.home)),
            *((folder, str(folder)) for folder in shown),
            (workspace, "/Workspace"),
            (None, "/Workspace/Users"),
            (None, "/Workspace/Repos"),
            *((workspace / name, f"/Workspace/{name}") for name in self.visible),
            *self.fixed,
            (root if self.dbfs_mount else None, "/dbfs"),
            (self.layout.volumes, "/Volumes"),
            (self.folder / "databricks", "/databricks"),
            (self.runtime, runtime.PREFIX),
            (self.folder / "disk", spark_defaults.LOCAL_DISK),
            (root, spark_defaults.DBFS),
            *([(self.libraries, CLUSTER_LIBRARIES)] if self.libraries else []),
        ]

    @property
    def prefix(self) -> str:
        """The Python environment of the context, as the context sees it."""
        return f"{spark_defaults.LOCAL_DISK}/{_ENVIRONMENTS}/pythonEnv-{self.python_name or self.name}"

    @property
    def python(self) -> str:
        """The interpreter of the context, as the context sees it."""
        return f"{self.prefix}/bin/python"

    @property
    def home(self) -> Path:
        """The home folder on all clusters, with caches and pip's settings; not the user's home."""
        return self.layout.kernels / "home"

    @property
    def runtime(self) -> Path:
        """The packages that all environments see, linked once per start of the sandbox."""
        return self.layout.scratch / "runtime"

    @property
    def packages(self) -> Path:
        """The Python environment of the context, as a path on this machine."""
        return self.folder / "disk" / Path(self.prefix).relative_to(spark_defaults.LOCAL_DISK)

    def on_machine(self, path: str) -> Path:
        """Return the path on this machine of an absolute path that its process sees.

        Raises:
            FileNotFoundError: It is hidden.
        """
        for source, target in reversed(self.binds):
            if PurePosixPath(path).is_relative_to(target):
                if source is None:
                    raise FileNotFoundError(path)
                return source / PurePosixPath(path).relative_to(target)
        return Path(path)

    @staticmethod
    def visible_packages() -> list[str]:
        """Return the names and versions of the packages with which the sandbox runs, which may be linked."""
        return sorted(f"{each.name} {each.version}" for each in metadata.distributions())

    def inside(self, command: list[str]) -> list[str]:
        """Return the command line that runs a command with the folders at their absolute paths."""
        program = [*kinds.chosen(self.kernels).program(self.folder), "--parent", str(os.getpid())]
        for source, target in self.binds:
            program += ["--bind", str(source or namespace.HIDDEN), target]
        for _, target in self.fixed:
            program += ["--read-only", target]
        return [*program, "--cwd", DRIVER_FOLDER, "--", *command]

    def make(self) -> None:
        """Create the files; takes tens of milliseconds, so it must not run on the event loop."""
        disk = self.folder / "disk"
        configuration = self.folder / "databricks" / _SPARK_CONFIGURATION
        driver = self.folder / "databricks" / "driver"
        for folder in (self.home, disk / "tmp", disk / "warehouse", configuration, driver):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        spark_defaults.write(configuration)
        access = self.folder / "databricks" / ACCESS_FILE
        access.touch(mode=0o600)
        access.write_text(self.access.document(), encoding="utf-8")
        self._share_pip_settings()
        if self.libraries:
            self.libraries.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._make_environment(self.packages)

    def remove(self) -> None:
        """Delete the files."""
        remove_tree(self.folder)

    def variables(self, user: str, runtime_version: str) -> dict[str, str]:
        """Return the environment variables of the context's processes."""
        variables = machine_variables()
        java.ensure(variables)
        no_proxy = [variables.get("no_proxy"), variables.get("NO_PROXY"), "127.0.0.1,localhost"]
        direct = ",".join(dict.fromkeys(filter(None, no_proxy)))
        return {
            **variables,
            "NO_PROXY": direct,
            "no_proxy": direct,
            "PATH": os.pathsep.join([f"{self.prefix}/bin", *_machine_path()]),
            "HOME": str(self.home),
            "VIRTUAL_ENV": self.prefix,
            "IPYTHONDIR": f"{spark_defaults.LOCAL_DISK}/ipython",
            "JUPYTER_PLATFORM_DIRS": "1",
            "DATABRICKS_RUNTIME_VERSION": runtime_version,
            "PYSPARK_PYTHON": self.python,
            "PYSPARK_DRIVER_PYTHON": self.python,
            "SPARK_CONF_DIR": f"/databricks/{_SPARK_CONFIGURATION}",
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_USER": user,
            **({} if self.dbfs and self.dbfs_mount else {MISSING_VARIABLE: "1"}),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_ROOT_USER_ACTION": "ignore",
            "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        }

    def _share_pip_settings(self) -> None:
        """Link pip's settings of the user, so that %pip uses the same package indexes."""
        for folder in (".config/pip", ".pip"):
            source, link = Path.home() / folder, self.home / folder
            if source.is_dir() and not link.is_symlink():
                link.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                link.symlink_to(source)

    def _make_environment(self, prefix: Path) -> None:
        """Make an environment that can import what the runtime brings, and installs other packages itself."""
        runtime.make(self.runtime)
        _Environment(symlinks=True, with_pip=False).create(prefix)
        packages = runtime.site_packages(prefix)
        folders = [str(runtime.site_packages(runtime.PREFIX))]
        if self.libraries:
            # Python caches that a folder on its path is missing.
            runtime.site_packages(self.libraries).mkdir(mode=0o700, parents=True, exist_ok=True)
            folders.insert(0, str(runtime.site_packages(CLUSTER_LIBRARIES)))
        lines = [f"import site; site.addsitedir({folder!r})\n" for folder in folders]
        (packages / "sandbox.pth").write_text("".join(lines), encoding="utf-8")
        runtime.copy_programs(self.runtime, prefix / "bin", self.python)
        settings = Path(sys.prefix) / "pip.conf"
        if settings.is_file():
            shutil.copyfile(settings, prefix / "pip.conf")


class _Environment(venv.EnvBuilder):
    """A virtual environment without activation scripts, which would contain paths of this machine."""

    def setup_scripts(self, context: SimpleNamespace) -> None:
        """Write none."""


def _machine_path() -> list[str]:
    """Return the folders of the machine's programs, without those of the sandbox's own environment."""
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    own = sysconfig.get_path("scripts") if sys.prefix != sys.base_prefix else None
    return [folder for folder in folders if folder != own]
