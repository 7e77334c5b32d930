"""What a project wants installed: where it says so, and what of that a runtime must keep its own of. Pure."""

from __future__ import annotations

import hashlib
import re
import sys
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.project import requirements_file
from kedro_databricks_hybrid.project.requirements_file import Listing, Requirement
from kedro_databricks_hybrid.project.runtimes import Verdict, judge
from kedro_databricks_hybrid.project.scaffold import DISTRIBUTION

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import PurePosixPath

    Read = Callable[[str], bytes | None]

REQUIREMENTS_FILES = ("requirements.txt", "src/requirements.txt", "requirements.lock")
"""Files that pip reads as they are, relative to the project's folder; the first that is there counts."""

_PYPROJECT = "pyproject.toml"
_LOCKS = ("uv.lock", "poetry.lock", "pdm.lock")
FILES = (*REQUIREMENTS_FILES, _PYPROJECT, *_LOCKS)
"""Every file that is looked for."""

_INCLUDE = re.compile(r"^\s*(?:-r|--requirement|-c|--constraint)[\s=]*(?P<path>\S+)", re.MULTILINE)
_OPTION = re.compile(
    r"^\s*(--?(?!(?:[rce]|requirement|constraint|editable|hash)\b)[a-z][\w-]*.*)$", re.MULTILINE
)


@dataclass(frozen=True)
class Requirements:
    """What a project wants installed.

    Args:
        path: The file that says so, as the cluster sees it.
        digest: A hash of it, of all that it includes and of the options.
        listing: What it asks for.
        is_for_pip: Whether pip can read the file itself.
        file_options: What the file tells pip beside the requirements, such as an index.
        pip_options: The settings' own options for pip.
        own_wheel: A wheel of this package, installed in its place where no index has it.
    """

    path: PurePosixPath
    digest: str
    listing: Listing = field(default_factory=Listing)
    is_for_pip: bool = True
    file_options: tuple[str, ...] = ()
    pip_options: str = ""
    own_wheel: PurePosixPath | None = None

    @property
    def wants_own(self) -> bool:
        """Whether this package is among them, from an index."""
        return any(_is_own(each) for each in self.listing.requirements)

    def with_own(self, wheel: PurePosixPath) -> Requirements:
        """Return the same with a wheel in the place of this package."""
        digest = hashlib.sha256(f"{self.digest} {wheel}".encode()).hexdigest()
        return replace(self, own_wheel=wheel, digest=digest)


@dataclass(frozen=True)
class Fit:
    """What of some requirements a runtime may have installed.

    Args:
        lines: Lines for pip in place of the file; None where pip reads the file as it is.
        left_out: What the runtime has itself and must keep.
        replaced: What replaces a package of the runtime, as sentences.
    """

    lines: list[str] | None
    left_out: list[str]
    replaced: list[str]


def find_requirements(
    project: PurePosixPath, read: Read, pip_options: str | None = None
) -> Requirements | None:
    """Return the requirements of a project, None where it has none.

    They stand in a requirements file, or else in pyproject.toml, with the versions of a lock file beside it.

    Args:
        project: The project's folder as the cluster sees it.
        read: Returns the content of a file of the commit that will run, by its path in the project.
        pip_options: The settings' options for pip.
    """
    options = pip_options or ""
    for name in REQUIREMENTS_FILES:
        if read(name) is not None:
            texts = _with_included(name, read)
            said = tuple(line for text in texts.values() for line in _OPTION.findall(text))
            listing = requirements_file.read(name, read)
            return Requirements(
                project / name, _digest(texts, options), listing, file_options=said, pip_options=options
            )
    content = read(_PYPROJECT)
    lines = _declared(content.decode("utf-8", "replace"), read) if content else []
    if not lines:
        return None
    text = "\n".join(lines)
    listing = requirements_file.read(_PYPROJECT, {_PYPROJECT: text.encode()}.get)
    digest = _digest({_PYPROJECT: text}, options)
    return Requirements(project / _PYPROJECT, digest, listing, is_for_pip=False, pip_options=options)


def fit(requirements: Requirements, runtime: str) -> Fit:
    """Return what pip shall install on a runtime, given by its key, such as 17.3.x-scala2.13."""
    lines: list[str] = []
    left_out: list[str] = []
    replaced: list[str] = []
    for judged in judge(requirements.listing, runtime):
        wanted = judged.requirement
        if judged.verdict is Verdict.CONFLICTS:
            replaced.append(judged.reason)
        if judged.verdict is not Verdict.REPLACES:
            lines.append(_line(wanted, wanted.extras, requirements.own_wheel))
            continue
        kept = frozenset(each for each in wanted.extras if not _replaces(wanted, {each}, runtime))
        if _replaces(wanted, set(), runtime):
            left_out.append(wanted.text)
        else:
            lines.append(_line(wanted, kept, requirements.own_wheel))
            left_out.append(f"{wanted.name}[{','.join(sorted(wanted.extras - kept))}]")
    if requirements.is_for_pip and not left_out and requirements.own_wheel is None:
        return Fit(None, [], replaced)
    return Fit([*requirements.file_options, *lines, *requirements.listing.unclear], left_out, replaced)


def _replaces(wanted: Requirement, extras: set[str], runtime: str) -> bool:
    alone = Listing([replace(wanted, extras=frozenset(extras))])
    return any(each.verdict is Verdict.REPLACES for each in judge(alone, runtime))


def _is_own(wanted: Requirement) -> bool:
    return wanted.name == DISTRIBUTION and not wanted.address


def _line(wanted: Requirement, extras: frozenset[str], own_wheel: PurePosixPath | None = None) -> str:
    """Write a requirement as one line; one that has an address stays as it was written."""
    if own_wheel and _is_own(wanted):
        return f"{own_wheel}[{','.join(sorted(extras))}]" if extras else str(own_wheel)
    if wanted.address:
        return wanted.text
    return _written(wanted, extras, str(wanted.specifier))


def _written(wanted: Requirement, extras: frozenset[str], specifier: str) -> str:
    some = f"[{','.join(sorted(extras))}]" if extras else ""
    marker = f"; {wanted.marker}" if wanted.marker else ""
    return f"{wanted.name}{some}{specifier}{marker}"


def _declared(pyproject: str, read: Read) -> list[str]:
    """Return the dependencies that pyproject.toml declares, each at its version in a lock file."""
    content = _toml(pyproject)
    lines = [str(line) for line in content.get("project", {}).get("dependencies", [])]
    poetry = content.get("tool", {}).get("poetry", {}).get("dependencies", {})
    lines = lines or [str(name) for name in poetry if name != "python"]
    locked = next((_versions(found) for name in _LOCKS if (found := read(name))), {})
    listing = requirements_file.read("lines", {"lines": "\n".join(lines).encode()}.get)
    return [_pinned(each, locked) for each in listing.requirements]


def _pinned(wanted: Requirement, locked: dict[str, str]) -> str:
    version = locked.get(wanted.name)
    if version is None or wanted.address:
        return _line(wanted, wanted.extras)
    return _written(wanted, wanted.extras, f"=={version}")


def _versions(lock: bytes) -> dict[str, str]:
    packages = _toml(lock.decode("utf-8", "replace")).get("package", [])
    return {str(each["name"]).lower(): str(each["version"]) for each in packages if "version" in each}


def _toml(text: str) -> dict[str, Any]:
    """Parse TOML; what cannot be parsed says nothing."""
    toml = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")  # Kedro brings tomli
    try:
        found: dict[str, Any] = toml.loads(text)
    except ValueError:
        return {}
    return found


def _with_included(name: str, read: Read) -> dict[str, str]:
    """Return a file and, in the order of their mention, the files that it includes."""
    found: dict[str, str] = {}
    waiting = [name]
    while waiting:
        name = waiting.pop(0)
        content = None if name in found else read(name)
        if content is None:
            continue
        found[name] = content.decode("utf-8", "replace")
        folder = name.rpartition("/")[0]
        paths = [match["path"] for match in _INCLUDE.finditer(found[name])]
        waiting += [f"{folder}/{path}" if folder else path for path in paths]
    return found


def _digest(texts: dict[str, str], options: str) -> str:
    digest = hashlib.sha256(options.encode())
    for name, text in texts.items():
        digest.update(name.encode() + b"\0" + text.encode() + b"\0")
    return digest.hexdigest()
