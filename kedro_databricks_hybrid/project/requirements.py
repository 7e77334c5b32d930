"""Find a project's requirements, and leave out those that a runtime must keep its own version of."""

from __future__ import annotations

import hashlib
import posixpath
import re
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from packaging.requirements import Requirement as Line508
from packaging.utils import canonicalize_name

from kedro_databricks_hybrid.git.project_files import WorkingTreeFiles
from kedro_databricks_hybrid.project import locks, pyproject, requirements_file
from kedro_databricks_hybrid.project.requirements_file import Files, Line, Listing, Requirement
from kedro_databricks_hybrid.project.runtimes import Verdict, is_own, judge, marker_applies

if TYPE_CHECKING:
    from pathlib import Path

    from kedro_databricks_hybrid.project.locks import Copied, Tool
    from kedro_databricks_hybrid.project.runtimes import Judgement

DISTRIBUTION = "kedro-databricks-hybrid"
"""The name of this package in requirements."""

REQUIREMENTS_FILES = ("requirements.txt", "src/requirements.txt", "requirements.lock")
"""Files that pip can read itself, relative to the project's folder; the first one that exists is used."""

FILES = (*REQUIREMENTS_FILES, pyproject.PATH, *(tool.lock for tool in locks.TOOLS))
"""Every file of the project's folder that may contain requirements."""

EDIT = "Fix the requirements, commit, then `kedro databricks push`."
"""The next step after requirements that pip cannot install."""

_METADATA = ("pyproject.toml", "setup.py", "setup.cfg")
_REQUIRE_HASHES = "--require-hashes"


@dataclass(frozen=True)
class Requirements:
    """A project's requirements.

    Args:
        path: The file that declares them, below the project's folder that was given.
        digest: A hash of the file, the files and folders that it names, and the options.
        listing: The requirements in the file, parsed.
        project: The project's folder.
        is_for_pip: Whether pip can read the file itself.
        tool: The tool whose lock file they are from: then they are all that is to be installed.
        pip_options: The options for pip in the settings.
        own_wheel: A wheel of this package to install instead of the requirement; None to use the index.
        own_hash: The wheel's SHA-256 in hexadecimal digits, if pip checks hashes.
    """

    path: PurePosixPath
    digest: str
    listing: Listing = field(default_factory=Listing)
    project: PurePosixPath = field(default_factory=PurePosixPath)
    is_for_pip: bool = True
    tool: Tool | None = None
    pip_options: str = ""
    own_wheel: PurePosixPath | None = None
    own_hash: str = ""

    @property
    def includes_own_package(self) -> bool:
        """Whether they include this package, to be installed from an index."""
        return any(_is_own_package(each) for each in self.listing.requirements)

    def with_own_wheel(self, wheel: PurePosixPath, sha256: str = "") -> Requirements:
        """Return these requirements with a wheel instead of this package."""
        digest = hashlib.sha256(f"{self.digest} {wheel}".encode()).hexdigest()
        return replace(self, own_wheel=wheel, own_hash=sha256, digest=digest)

    def absolute(self, path: str) -> str:
        """Return the absolute form of a path that is relative to the project's folder."""
        return posixpath.normpath(posixpath.join(str(self.project), path))


@dataclass(frozen=True)
class Fit:
    """The requirements to install on a runtime.

    Args:
        lines: Lines for pip to install instead of the file; None if pip can read the file itself.
        left_out: Requirements that are not installed, as the runtime must keep its own version.
        replaced: One sentence for each requirement that replaces a package of the runtime.
        unhashed: Lines to install afterwards: pip cannot check the hashes of Git sources and folders, and
            installs them only where it checks none.
        is_complete: Whether the lines contain all dependencies, so that pip need not look for any.
    """

    lines: list[str] | None
    left_out: list[str]
    replaced: list[str]
    unhashed: list[str] = field(default_factory=list)
    is_complete: bool = False

    @property
    def needs_pip(self) -> bool:
        """Whether only calls of pip with options install them, and not an environment of lines."""
        return bool(self.unhashed or (self.is_complete and self.left_out))


def find_requirements(
    project: PurePosixPath, files: Copied, pip_options: str | None = None
) -> Requirements | None:
    """Return a project's requirements; None if it has none.

    They are in a requirements file, or else in a lock file, or else in pyproject.toml.

    Args:
        project: The project's folder, to which `path` of the result is relative.
        files: The files of the project.
        pip_options: The options for pip in the settings.

    Raises:
        SettingsError: pip would install something else than what the project declares.
    """
    options = pip_options or ""
    for name in REQUIREMENTS_FILES:
        if files.read(name) is not None:
            listing = requirements_file.read(name, files)
            digest = _digest(listing, files, options)
            return Requirements(project / name, digest, listing, project, pip_options=options)
    path, text, tool = pyproject.PATH, None, None
    if found := locks.find(files):
        tool, path = found
        text = locks.export(files, tool, path)
    if text is None:
        path, tool, text = pyproject.PATH, None, "\n".join(pyproject.lines(files))
    if not text:
        return None
    listing = requirements_file.read(path, _Exported(files, path, text), posixpath.dirname(path))
    if tool:
        locks.refuse_confusion(tool, listing)
    return Requirements(
        PurePosixPath(posixpath.normpath(project / path)),
        _digest(listing, files, options),
        listing,
        project,
        is_for_pip=False,
        tool=tool,
        pip_options=options,
    )


def local_requirements(project: Path) -> Requirements | None:
    """Return the requirements in the working tree of a project, with a path relative to it; None without any.

    Args:
        project: The project's folder on this machine.

    Raises:
        SettingsError: As `find_requirements`.
    """
    return find_requirements(PurePosixPath(), WorkingTreeFiles(project))


def fit(requirements: Requirements, runtime: str) -> Fit:
    """Return what pip installs on a runtime, given by its key, such as 17.3.x-scala2.13.

    All but the lines that must differ stay as they are: constraints, hashes, options, comments and order.
    """
    listing = requirements.listing
    judged = {id(each.requirement): each for each in judge(listing, runtime)}
    replaced = [each.reason for each in judged.values() if each.verdict is Verdict.CONFLICTS]
    lines: list[tuple[Line, str]] = []
    left_out: list[str] = []
    for line in listing.lines:
        judgement = judged.get(id(line.requirement))
        if judgement and judgement.verdict is Verdict.REPLACES:
            texts, name = _without_own(line, judgement, requirements, runtime)
            lines += [(line, text) for text in texts]
            left_out.append(name)
        else:
            lines.append((line, _text(line, requirements)))
    is_changed = left_out or requirements.own_wheel or listing.needs_own_folder
    if requirements.is_for_pip and not is_changed:
        return Fit(None, [], replaced)
    first = [_REQUIRE_HASHES] if listing.has_hashes else []
    loose = {id(line) for line, _ in lines if _is_loose(line, requirements)}
    texts = [*first, *(text for line, text in lines if id(line) not in loose)]
    unhashed = [text for line, text in lines if id(line) in loose or (loose and _is_option(line))]
    return Fit(texts, left_out, replaced, unhashed, is_complete=requirements.tool is not None)


def conflict_with_own(listing: Listing) -> str | None:
    """Return why pip cannot install them together with this package, as a clause; None if it can."""
    own = {
        str(canonicalize_name(each.name)): each
        for each in map(Line508, metadata.requires(DISTRIBUTION) or [])
    }
    for given in listing.requirements:
        needed = own.get(given.name)
        if needed is None or needed.marker or given.address or given.marker:
            continue
        both = given.specifier & needed.specifier
        if getattr(both, "is_unsatisfiable", lambda: False)():  # older versions of packaging cannot tell
            return f"{given.file} requires {given.name}{given.specifier}, and {DISTRIBUTION} needs {needed}"
    return None


class _Exported:
    """The files of a project with another text in place of one of them."""

    def __init__(self, files: Files, path: str, text: str) -> None:
        self._files = files
        self._path = path
        self._content = text.encode()

    def read(self, path: str) -> bytes | None:
        return self._content if path == self._path else self._files.read(path)

    def identify(self, path: str) -> str | None:
        return self._files.identify(path)


def _is_loose(line: Line, requirements: Requirements) -> bool:
    """Tell whether a package of a lock file that has hashes has none, as a Git source or a folder."""
    if requirements.tool is None or not requirements.listing.has_hashes or line.has_hash:
        return False
    if line.requirement and requirements.own_wheel and _is_own_package(line.requirement):
        return False
    return line.requirement is not None or (line.path is not None and line.option in {"", "-e"})


def _is_option(line: Line) -> bool:
    return line.requirement is None and line.option != "-e" and not (line.path and not line.option)


def _text(line: Line, requirements: Requirements, extras: frozenset[str] | None = None) -> str:
    """Return a line for pip on a cluster: with absolute paths, and with the wheel of this package."""
    wanted = line.requirement
    if wanted and requirements.own_wheel and _is_own_package(wanted):
        named = _bracketed(wanted.extras if extras is None else extras)
        marker = f" ; {wanted.marker}" if wanted.marker else ""
        check = f" --hash=sha256:{requirements.own_hash}" if requirements.own_hash else ""
        return f"{requirements.own_wheel}{named}{marker}{check}{line.comment}"
    return line.raw if line.path is None else line.with_path(requirements.absolute(line.path))


def _without_own(
    line: Line, judgement: Judgement, requirements: Requirements, runtime: str
) -> tuple[list[str], str]:
    """Return the lines that keep the runtime's own packages, and what they leave out."""
    wanted, listing = judgement.requirement, requirements.listing
    if is_own(wanted.name):
        return ["\n".join(f"# {each}" for each in line.raw.split("\n"))], wanted.text
    kept = frozenset(each for each in wanted.extras if not _replaces(wanted, each, runtime))
    left_out = f"{wanted.name}{_bracketed(wanted.extras - kept)}"
    raw = re.sub(r"\[[^\]]*\]", _bracketed(kept), line.raw, count=1)
    texts = [_text(replace(line, raw=raw), requirements, kept)]
    is_listed = listing.has_hashes or requirements.tool is not None  # then the file has all dependencies
    if not is_listed and wanted.name != DISTRIBUTION:  # whose extras are for this machine
        texts += _rest(wanted, wanted.extras - kept, runtime)
    return texts, left_out


def _replaces(wanted: Requirement, extra: str, runtime: str) -> bool:
    single = Listing(requirements=[replace(wanted, extras=frozenset({extra}), marker=None)])
    return any(each.verdict is Verdict.REPLACES for each in judge(single, runtime))


def _rest(wanted: Requirement, extras: frozenset[str], runtime: str) -> list[str]:
    """Return what else extras install, as the distribution that is installed here says."""
    try:
        declared = [Line508(text) for text in metadata.requires(wanted.name) or []]
    except metadata.PackageNotFoundError:
        return []
    marker = f"; {wanted.marker}" if wanted.marker else ""
    found: dict[str, None] = {}
    waiting, seen = sorted(extras), set[str]()
    while waiting:
        extra = waiting.pop()
        seen.add(extra)
        for each in declared:
            if each.marker is None or marker_applies(each.marker, runtime):
                continue
            if not marker_applies(each.marker, runtime, extra=extra):
                continue
            if canonicalize_name(each.name) == wanted.name:
                waiting += sorted({canonicalize_name(name) for name in each.extras} - seen)
            elif not is_own(canonicalize_name(each.name)):
                found[f"{each.name}{_bracketed(frozenset(each.extras))}{each.specifier}{marker}"] = None
    return list(found)


def _bracketed(extras: frozenset[str]) -> str:
    return f"[{','.join(sorted(extras))}]" if extras else ""


def _is_own_package(wanted: Requirement) -> bool:
    """Tell whether a requirement is this package, to be installed from an index."""
    return wanted.name == DISTRIBUTION and not wanted.address


def _digest(listing: Listing, files: Files, options: str) -> str:
    digest = hashlib.sha256(options.encode())
    for name, content in listing.files.items():
        digest.update(name.encode() + b"\0" + content + b"\0")
    for line in listing.lines:
        # Code of an editable installation is used where it is: only its metadata is installed.
        names = [f"{line.path}/{name}" for name in _METADATA] if line.option == "-e" else [line.path]
        for path in names if line.path is not None else []:
            digest.update(f"{path}\0{files.identify(str(path))}\0".encode())
    return digest.hexdigest()
