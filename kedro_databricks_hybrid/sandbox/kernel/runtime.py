"""What notebook processes see of the Python environment that the sandbox was started from.

A folder of links with the packages that a Databricks Runtime brings, what they need, and what a notebook
process itself needs. All environments share it, at `/databricks/python`. Other packages of that environment
can be installed from there; see `inside/pip_program`.
"""

from __future__ import annotations

import os
import shutil
import site
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from packaging.requirements import Requirement

from . import packages

PREFIX = "/databricks/python"
"""Where notebook processes see the folder, as on Databricks."""

MODULES = "databricks_sandbox"
"""Their name for the package `sandbox`: `kedro_databricks_hybrid` is there only if a user installs it."""

HOST_FOLDERS = "host-folders.txt"
"""The file in the folder that names those of the host's packages, one a line."""

_NAMES = "runtime_packages.txt"
_KERNEL = ("ipykernel", "packaging", "pip", "pyspark[connect]", "starlette")
_PIP = f"""\
import sys

from {MODULES}.kernel.inside import pip_program

sys.exit(pip_program.main(sys.argv[1:]))
"""
_INTERPRETER = f"{PREFIX}/bin/python"  # stands for that of the environments, which get copies of the programs


def site_packages(prefix: Path | str) -> Path:
    """Return the folder of an environment's packages."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return Path(prefix, "lib", version, "site-packages")


def make(folder: Path) -> None:
    """Create the folder of links, unless it exists."""
    if folder.is_dir():
        return
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    _fill(draft)
    try:
        draft.rename(folder)
    except OSError:  # another thread was faster
        shutil.rmtree(draft)


def copy_programs(folder: Path, programs: Path, python: str) -> None:
    """Copy the Python programs of the folder of links into an environment, so that they use its packages."""
    for program in (folder / "bin").iterdir():
        if program.is_file() and not program.is_symlink():  # pip also compiles modules there, in a folder
            packages.add_program(program, programs / program.name, python)


def _fill(prefix: Path) -> None:
    folder = site_packages(prefix)
    folder.mkdir(mode=0o700, parents=True)
    folders = _host_folders()
    offered = packages.installed(folders)
    chosen: dict[str, packages.Package] = {}
    for requirement in map(Requirement, _names()):
        packages.choose(requirement, offered, chosen)
    for package in chosen.values():
        packages.link(package, folder, _INTERPRETER, whole=True)
    (prefix / HOST_FOLDERS).write_text("".join(f"{each}\n" for each in folders), encoding="utf-8")
    modules = folder / MODULES
    modules.mkdir()
    sandbox = str(Path(__file__).resolve().parents[1])
    (modules / "__init__.py").write_text(f"__path__ = [{sandbox!r}]\n", encoding="utf-8")
    _link_coverage_plugins(folder)
    if (folder / "pip").is_symlink():
        _replace_pip(folder / "pip", prefix / "bin")


def _replace_pip(package: Path, programs: Path) -> None:
    """Let `python -m pip` and the programs run our program, which runs the original."""
    original = package.readlink()
    package.unlink()
    package.mkdir()
    for entry in original.iterdir():
        name = "original.py" if entry.name == "__main__.py" else entry.name
        (package / name).symlink_to(entry)
    (package / "__main__.py").write_text(_PIP, encoding="utf-8")
    for program in programs.glob("pip*"):
        program.write_text(f"#!{_INTERPRETER}\n{_PIP}", encoding="utf-8")


def _names() -> list[str]:
    text = Path(__file__).with_name(_NAMES).read_text(encoding="utf-8")
    names = [line for line in text.splitlines() if not line.startswith("#")]
    measured = ["coverage"] if any(name.startswith("COVERAGE_") for name in os.environ) else []
    return [*names, *_KERNEL, *measured]


def _link_coverage_plugins(folder: Path) -> None:
    """Link the modules of coverage.py's plugins, if this process is measured, for the processes below."""
    measuring = sys.modules.get("coverage")
    current = measuring.Coverage.current() if measuring else None
    for plugin in current.config.plugins if current else ():
        specification = find_spec(plugin)
        if specification is not None and specification.origin is not None:
            module = folder.joinpath(*plugin.split(".")).with_suffix(".py")
            module.parent.mkdir(exist_ok=True)
            module.symlink_to(specification.origin)


def _host_folders() -> list[str]:
    """Return the folders of the packages with which the sandbox runs."""
    folders = site.getsitepackages()
    if site.ENABLE_USER_SITE:
        folders = [*folders, site.getusersitepackages()]
    return [folder for folder in dict.fromkeys(folders) if Path(folder).is_dir()]
