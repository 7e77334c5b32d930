"""Installed Python packages: find them, choose some with what they need, link them elsewhere."""

from __future__ import annotations

import csv
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_METADATA = (".dist-info", ".egg-info")
_MAX_FIRST_LINE = 512
_RUNS_PYTHON = re.compile(rb"#!\S*/python[0-9.]*\s*\n")


@dataclass(frozen=True)
class Package:
    """One installed distribution.

    Attributes:
        name: Its normalised name.
        version: Its version.
        information: Its `.dist-info` or `.egg-info`.
    """

    name: str
    version: Version
    information: Path

    def requirements(self, extras: Iterable[str] = ()) -> list[Requirement]:
        """Return what it needs on this machine, also for the given extras."""
        lines = _requires(self.information)
        if not extras:
            lines = [line for line in lines if "extra" not in line.partition(";")[2]]
        found = []
        for line in lines:
            with suppress(InvalidRequirement):  # of a broken package
                found.append(Requirement(line))
        return [each for each in found if applies(each, ("", *extras))]

    def files(self) -> list[str]:
        """Return its files, relative to the folder in which it is installed."""
        record = self.information / "RECORD"
        if record.is_file():
            with record.open(encoding="utf-8", newline="") as rows:
                return [row[0] for row in csv.reader(rows) if row]
        # Distributions of an operating system have no list of files.
        names = metadata.Distribution.at(self.information).read_text("top_level.txt")
        roots = [self.information.name]
        for name in (names or self.name.replace("-", "_")).split():
            roots += [name, f"{name}.py"]
        folder = self.information.parent
        below = [
            path
            for root in roots
            for path in ((folder / root).rglob("*") if (folder / root).is_dir() else [folder / root])
        ]
        return [path.relative_to(folder).as_posix() for path in below if path.is_file()]


@cache
def _requires(information: Path) -> list[str]:
    """Return the requirements in a distribution's metadata; much faster than importlib.metadata."""
    file = information / "METADATA"
    if not file.is_file():
        return metadata.Distribution.at(information).requires or []
    header = file.read_text(encoding="utf-8", errors="replace").partition("\n\n")[0]
    return [line.partition(":")[2] for line in header.splitlines() if line.startswith("Requires-Dist:")]


def applies(requirement: Requirement, extras: Iterable[str] = ("",)) -> bool:
    """Tell whether a requirement's condition holds on this machine, for any of the extras."""
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in extras)


def installed(folders: Iterable[str | os.PathLike[str]]) -> dict[str, Package]:
    """Return the packages in some folders by normalised name; the first folder wins."""
    found: dict[str, Package] = {}
    for folder in folders:
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            continue
        for entry in entries:
            stem, dot, suffix = entry.name.rpartition(".")
            parts = stem.split("-")
            if dot + suffix not in _METADATA or len(parts) < 2:
                continue
            name = canonicalize_name(parts[0])
            try:
                found.setdefault(name, Package(name, Version(parts[1]), Path(entry.path)))
            except InvalidVersion:
                continue
    return found


def choose(
    wanted: Requirement,
    offered: Mapping[str, Package],
    chosen: dict[str, Package],
    present: Mapping[str, Package] | None = None,
    constraints: Iterable[Requirement] = (),
) -> list[Requirement]:
    """Add the packages that a requirement needs to those chosen, and return what none of the offered fulfils.

    Args:
        wanted: The requirement.
        offered: The packages to choose from.
        chosen: The packages chosen so far, by normalised name; changed in place.
        present: The packages that need not be chosen.
        constraints: Versions that packages must have if they are needed.
    """
    given = present or {}
    allowed: dict[str, SpecifierSet] = {}
    for each in constraints:
        name = canonicalize_name(each.name)
        allowed[name] = each.specifier & allowed.get(name, SpecifierSet())
    unmet: list[Requirement] = []
    waiting, seen = [wanted], set()
    while waiting:
        each = waiting.pop()
        name = canonicalize_name(each.name)
        package = given.get(name) or chosen.get(name) or offered.get(name)
        versions = each.specifier & allowed.get(name, SpecifierSet())
        if package is None or each.url or not versions.contains(package.version, prereleases=True):
            unmet.append(each)
            continue
        key = (name, frozenset(each.extras))
        if key in seen or (name in given and not each.extras):
            continue
        seen.add(key)
        if name not in given:
            chosen[name] = package
        waiting += package.requirements(each.extras)
    return unmet


def link(package: Package, packages: Path, python: str, *, whole: bool) -> list[Path]:
    """Link a package's files into an environment, and return what was created.

    Files that exist are kept.

    Args:
        package: The package.
        packages: The folder `lib/python3.x/site-packages` of the environment.
        python: The interpreter of the environment's programs.
        whole: Whether to link folders where that is possible. Otherwise each file is linked, so that pip can
            replace and remove them without touching their targets.
    """
    folder = package.information.parent
    files = package.files()
    names = _folders(files, package.information.name) if whole else [*files, *_compiled(folder, files)]
    prefix, programs = f"{packages.parents[2]}/", f"{packages.parents[2]}/bin"
    created, made = [], set()
    for name in names:
        source, target = os.path.normpath(f"{folder}/{name}"), os.path.normpath(f"{packages}/{name}")
        parent = target.rpartition("/")[0]
        if not target.startswith(prefix) or not os.path.lexists(source) or os.path.lexists(target):
            continue
        if parent not in made:
            Path(parent).mkdir(mode=0o700, parents=True, exist_ok=True)
            made.add(parent)
        if parent == programs:
            add_program(Path(source), Path(target), python)
        else:
            os.symlink(source, target)  # noqa: PTH211 - for thousands of files, Path is slow
        created.append(Path(target))
    return created


def _folders(files: list[str], information: str) -> list[str]:
    """Return the outermost folders of packages instead of the files in them; other files stay."""
    whole = {name.rpartition("/")[0] for name in files if name.endswith("/__init__.py")} | {information}

    @cache
    def outermost(folder: str) -> str:
        above = folder.rpartition("/")[0]
        return (outermost(above) if above else "") or (folder if folder in whole else "")

    return list(dict.fromkeys(outermost(name.rpartition("/")[0]) or name for name in files))


def _compiled(folder: Path, files: list[str]) -> list[str]:
    """Return the compiled files that are not in a list of files, although their sources are."""
    known = set(files)
    found = []
    for parent in {name.rpartition("/")[0] for name in files if name.endswith(".py")}:
        inside = f"{parent}/" if parent else ""
        try:
            entries = list(os.scandir(f"{folder}/{inside}__pycache__"))
        except OSError:
            continue
        for entry in entries:
            name = f"{inside}__pycache__/{entry.name}"
            if f"{inside}{entry.name.partition('.')[0]}.py" in known and name not in known:
                found.append(name)
    return found


def add_program(source: Path, target: Path, python: str) -> None:
    """Copy a Python program, so that it runs with the interpreter of its new environment; link any other."""
    with source.open("rb") as file:
        if not _RUNS_PYTHON.fullmatch(file.readline(_MAX_FIRST_LINE)):
            target.symlink_to(source)
            return
        target.write_bytes(f"#!{python}\n".encode() + file.read())
    target.chmod(0o700)
