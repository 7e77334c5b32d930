"""Small Kedro projects, written from a dict of files and run in real sessions."""

from __future__ import annotations

import sys
import tempfile
import textwrap
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import pytest

_SETTINGS = """\
from kedro_databricks_hybrid.config_loader import DatabricksConfigLoader

CONFIG_LOADER_CLASS = DatabricksConfigLoader
"""
_PIPELINES = """\
import pandas as pd
from kedro.pipeline import node, pipeline


def double(raw: pd.DataFrame) -> pd.DataFrame:
    return raw * 2


def register_pipelines():
    return {"__default__": pipeline([node(double, "raw", "doubled", name="double")])}
"""
_CATALOG = """\
raw:
  type: pandas.CSVDataset
  filepath: data/01_raw/raw.csv
doubled:
  type: pandas.CSVDataset
  filepath: data/02_intermediate/doubled.csv
  save_args:
    index: false
"""
PACKAGE = "tiny_shop"


class Project:
    """A Kedro project on disk.

    Args:
        path: Its folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, files: Mapping[str, str]) -> Project:
        """Write files by their path in the project; return the project itself."""
        write_files(self.path, files)
        return self

    def run(self, env: str | None = None, **options: Any) -> dict[str, Any]:
        """Run the default pipeline in a new session in this process."""
        forget_project()
        bootstrap_project(self.path)
        with KedroSession.create(self.path, env=env) as session:
            return session.run(**options)


class MemoryFiles:
    """The files of a project, from a dict of their content."""

    folders_above: ClassVar[list[str]] = []

    def __init__(self, files: Mapping[str, bytes | str]) -> None:
        self.files = {name: text.encode() if isinstance(text, str) else text for name, text in files.items()}

    def read(self, path: str) -> bytes | None:
        """Return a file's content."""
        return self.files.get(path)

    def identify(self, path: str) -> str | None:
        """Return the content of a file, or of the files in a folder, if there are any."""
        inside = [self.files[name] for name in self.files if name == path or name.startswith(f"{path}/")]
        return repr(inside) if inside else None

    @contextmanager
    def copied(self, is_wanted: Callable[[str], bool]) -> Iterator[tuple[Path, Path]]:
        """Write the wanted files into a temporary folder."""
        with tempfile.TemporaryDirectory() as folder:
            top = Path(folder).resolve()
            for name, content in self.files.items():
                if is_wanted(Path(name).name):
                    (top / name).parent.mkdir(parents=True, exist_ok=True)
                    (top / name).write_bytes(content)
            yield top, top


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Write dedented text files below a folder; a path that ends in a slash makes an empty folder."""
    for name, text in files.items():
        path = folder / name
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")


def make_project(folder: Path) -> Project:
    """Write a project that doubles a table with pandas and uses DatabricksConfigLoader."""
    return Project(folder).write(
        {
            "pyproject.toml": f"""\
                [tool.kedro]
                package_name = "{PACKAGE}"
                project_name = "Tiny Shop"
                kedro_init_version = "1.0.0"
                source_dir = "src"
                """,
            f"src/{PACKAGE}/__init__.py": "",
            f"src/{PACKAGE}/settings.py": _SETTINGS,
            f"src/{PACKAGE}/pipeline_registry.py": _PIPELINES,
            "conf/base/catalog.yml": _CATALOG,
            "conf/base/parameters.yml": "{}\n",
            "conf/local/credentials.yml": "{}\n",
            "data/01_raw/raw.csv": "a,b\n1,2\n3,4\n",
        }
    )


def forget_project() -> None:
    """Remove the project's modules, so that the next project of the same name is imported again."""
    for package in (PACKAGE, "spaceflights"):
        for name in list(sys.modules):
            if name == package or name.startswith(f"{package}."):
                del sys.modules[name]
        sys.path[:] = [each for each in sys.path if not (Path(each) / package).is_dir()]


def clean_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Remove environment variables and modules of a developer's shell or another test."""
    for name in (
        "DATABRICKS_RUNTIME_VERSION",
        "KEDRO_ENV",
        "KEDRO_DATABRICKS_USER",
        "KEDRO_DATABRICKS_BRANCH",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DO_NOT_TRACK", "1")
    yield
    forget_project()
