"""Parse requirements files as pip does: includes, constraints, comments, continued lines, options. Pure."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from packaging.requirements import InvalidRequirement
from packaging.requirements import Requirement as Line
from packaging.specifiers import SpecifierSet
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

if TYPE_CHECKING:
    from collections.abc import Callable

    from packaging.markers import Marker

_FILE = re.compile(r"(?P<option>-r|--requirement|-c|--constraint)(?:\s*=\s*|\s*)(?P<path>\S+)")
_COMMENT = re.compile(r"(^|\s+)#.*$")
_LINE_OPTION = re.compile(r"\s--?[A-Za-z][\w-]*([ =].*)?$")


@dataclass(frozen=True)
class Requirement:
    """One requirement in a requirements file.

    Args:
        name: The distribution's name, normalised.
        text: The line without comments and options.
        file: The file that contains it.
        specifier: The allowed versions, constraints included.
        extras: Its extras, normalised.
        marker: The environment marker that limits where it applies.
        address: Its URL or path, if it does not come from the index.
    """

    name: str
    text: str
    file: str
    specifier: SpecifierSet
    extras: frozenset[str] = frozenset()
    marker: Marker | None = None
    address: str | None = None


@dataclass
class Listing:
    """The requirements in a file and the files that it includes.

    Args:
        requirements: The requirements, in order of appearance.
        missing: Included files that do not exist.
        unclear: Lines that do not name a distribution, such as `-e .` or a folder.
    """

    requirements: list[Requirement] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)

    @property
    def names(self) -> set[str]:
        """The normalised names of the distributions."""
        return {each.name for each in self.requirements}


def read(name: str, file: Callable[[str], bytes | None]) -> Listing:
    """Read a requirements file and the files that it includes.

    Args:
        name: Its path, with forward slashes, as `file` expects it.
        file: Returns a file's content; None if it does not exist.
    """
    listing, constraints = Listing(), Listing()
    _read(name, file, listing, constraints, set())
    limits: dict[str, SpecifierSet] = {}
    for each in constraints.requirements:
        limits[each.name] = limits.get(each.name, SpecifierSet()) & each.specifier
    listing.requirements = [
        replace(each, specifier=each.specifier & limits.get(each.name, SpecifierSet()))
        for each in listing.requirements
    ]
    listing.missing += constraints.missing
    return listing


def _read(
    name: str, file: Callable[[str], bytes | None], into: Listing, constraints: Listing, seen: set[str]
) -> None:
    content = file(name)
    if content is None:
        into.missing.append(name)
        return
    seen.add(name)
    for line in _lines(content.decode("utf-8-sig", "replace")):
        included = _FILE.fullmatch(line)
        if included is None:
            _read_line(line, name, into)
            continue
        path = posixpath.normpath(posixpath.join(posixpath.dirname(name), included["path"]))
        if path not in seen:
            limits = included["option"] in {"-c", "--constraint"}
            _read(path, file, constraints if limits else into, constraints, seen)


def _lines(text: str) -> list[str]:
    joined = re.sub(r"\\\r?\n", " ", text)
    return [line for each in joined.splitlines() if (line := _COMMENT.sub("", each).strip())]


def _read_line(line: str, file: str, into: Listing) -> None:
    if line.startswith("-"):
        if re.match(r"-e\b|--editable\b", line):
            into.unclear.append(line)
        return
    text = _LINE_OPTION.sub("", line).strip()
    try:
        parsed = Line(text)
    except InvalidRequirement:
        if wheel := _wheel(text, file):
            into.requirements.append(wheel)
        else:
            into.unclear.append(text)
        return
    into.requirements.append(
        Requirement(
            name=canonicalize_name(parsed.name),
            text=text,
            file=file,
            specifier=parsed.specifier,
            extras=frozenset(canonicalize_name(extra) for extra in parsed.extras),
            marker=parsed.marker,
            address=parsed.url,
        )
    )


def _wheel(text: str, file: str) -> Requirement | None:
    """Return the distribution that a wheel's URL or path names; None if it is not a wheel."""
    try:
        name, version, _, _ = parse_wheel_filename(posixpath.basename(unquote(urlsplit(text).path)))
    except (InvalidWheelFilename, ValueError):
        return None
    return Requirement(name, text, file, SpecifierSet(f"=={version}"), address=text)
