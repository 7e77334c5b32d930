"""Find a project's requirements, and leave out those that a runtime must keep its own version of."""

from __future__ import annotations

import hashlib
import re
import sys
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from kedro_databricks_hybrid.project import requirements_file
from kedro_databricks_hybrid.project.requirements_file import Listing, Requirement
from kedro_databricks_hybrid.project.runtimes import Verdict, judge

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Read = Callable[[str], bytes | None]

DISTRIBUTION = "kedro-databricks-hybrid"
"""The name of this package in requirements."""

REQUIREMENTS_FILES = ("requirements.txt", "src/requirements.txt", "requirements.lock")
"""Files that pip can read itself, relative to the project's folder; the first one that exists is used."""

_PYPROJECT = "pyproject.toml"
_LOCKS = ("uv.lock", "poetry.lock", "pdm.lock")
FILES = (*REQUIREMENTS_FILES, _PYPROJECT, *_LOCKS)
"""Every file that may contain requirements."""

_INCLUDE = re.compile(r"^\s*(?:-r|--requirement|-c|--constraint)[\s=]*(?P<path>\S+)", re.MULTILINE)
_OPTION = re.compile(
    r"^\s*(--?(?!(?:[rce]|requirement|constraint|editable|hash)\b)[a-z][\w-]*.*)$", re.MULTILINE
)


@dataclass(frozen=True)
class Requirements:
    """A project's requirements.

    Args:
        path: The file that declares them, below the project's folder that was given.
        digest: A hash of the file, the files that it includes and the options.
        listing: The requirements in the file, parsed.
        is_for_pip: Whether pip can read the file itself.
        file_options: The file's own options for pip, such as an index.
        pip_options: The options for pip in the settings.
        own_wheel: A wheel of this package to install instead of the requirement; None to use the index.
    """

    path: PurePosixPath
    digest: str
    listing: Listing = field(default_factory=Listing)
    is_for_pip: bool = True
    file_options: tuple[str, ...] = ()
    pip_options: str = ""
    own_wheel: PurePosixPath | None = None

    @property
    def includes_own_package(self) -> bool:
        """Whether they include this package, to be installed from an index."""
        return any(_is_own_package(each) for each in self.listing.requirements)

    def with_own_wheel(self, wheel: PurePosixPath) -> Requirements:
        """Return these requirements with a wheel instead of this package."""
        digest = hashlib.sha256(f"{self.digest} {wheel}".encode()).hexdigest()
        return replace(self, own_wheel=wheel, digest=digest)


@dataclass(frozen=True)
class Fit:
    """The requirements to install on a runtime.

    Args:
        lines: Lines for pip to install instead of the file; None if pip can read the file itself.
        left_out: Requirements that are not installed, as the runtime must keep its own version.
        replaced: One sentence for each requirement that replaces a package of the runtime.
    """

    lines: list[str] | None
    left_out: list[str]
    replaced: list[str]


def find_requirements(
    project: PurePosixPath, read: Read, pip_options: str | None = None
) -> Requirements | None:
    """Return a project's requirements; None if it has none.

    They are in a requirements file or else in pyproject.toml, then pinned to the versions of a lock file.

    Args:
        project: The project's folder, to which `path` of the result is relative.
        read: Returns the content of a file by its path in the project; None if there is no such file.
        pip_options: The options for pip in the settings.
    """
    options = pip_options or ""
    for name in REQUIREMENTS_FILES:
        if read(name) is not None:
            texts = _with_included(name, read)
            options_in_file = tuple(line for text in texts.values() for line in _OPTION.findall(text))
            listing = requirements_file.read(name, read)
            return Requirements(
                project / name,
                _digest(texts, options),
                listing,
                file_options=options_in_file,
                pip_options=options,
            )
    content = read(_PYPROJECT)
    lines = _declared(content.decode("utf-8", "replace"), read) if content else []
    if not lines:
        return None
    text = "\n".join(lines)
    listing = requirements_file.read(_PYPROJECT, {_PYPROJECT: text.encode()}.get)
    digest = _digest({_PYPROJECT: text}, options)
    return Requirements(project / _PYPROJECT, digest, listing, is_for_pip=False, pip_options=options)


def local_requirements(project: Path) -> Requirements | None:
    """Return the requirements in the working tree of a project, with a path relative to it; None without any.

    Args:
        project: The project's folder on this machine.
    """

    def read(path: str) -> bytes | None:
        try:
            return (project / path).read_bytes()
        except OSError:
            return None

    return find_requirements(PurePosixPath(), read)


def fit(requirements: Requirements, runtime: str) -> Fit:
    """Return what pip installs on a runtime, given by its key, such as 17.3.x-scala2.13."""
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
    single = Listing([replace(wanted, extras=frozenset(extras))])
    return any(each.verdict is Verdict.REPLACES for each in judge(single, runtime))


def _is_own_package(wanted: Requirement) -> bool:
    """Tell whether a requirement is this package, to be installed from an index."""
    return wanted.name == DISTRIBUTION and not wanted.address


def _line(wanted: Requirement, extras: frozenset[str], own_wheel: PurePosixPath | None = None) -> str:
    """Write a requirement as one line; one with an address is not changed."""
    if own_wheel and _is_own_package(wanted):
        return f"{own_wheel}[{','.join(sorted(extras))}]" if extras else str(own_wheel)
    if wanted.address:
        return wanted.text
    return _written(wanted, extras, str(wanted.specifier))


def _written(wanted: Requirement, extras: frozenset[str], specifier: str) -> str:
    some = f"[{','.join(sorted(extras))}]" if extras else ""
    marker = f"; {wanted.marker}" if wanted.marker else ""
    return f"{wanted.name}{some}{specifier}{marker}"


def _declared(pyproject: str, read: Read) -> list[str]:
    """Return the dependencies in pyproject.toml, pinned to their versions in a lock file."""
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
    """Parse TOML; an invalid file counts as empty."""
    toml = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")  # Kedro brings tomli
    try:
        found: dict[str, Any] = toml.loads(text)
    except ValueError:
        return {}
    return found


def _with_included(name: str, read: Read) -> dict[str, str]:
    """Return the texts of a file and the files that it includes, in order of inclusion."""
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
