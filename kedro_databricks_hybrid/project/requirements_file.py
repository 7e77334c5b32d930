"""Read requirements files as pip does: encodings, includes, constraints, continued lines, options. Pure.

The text of each line is kept, so that a copy of the file for a cluster differs only in what must differ.
"""

from __future__ import annotations

import codecs
import optparse
import posixpath
import re
import shlex
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NoReturn, Protocol
from urllib.parse import unquote, urlsplit

from packaging.markers import InvalidMarker, Marker
from packaging.requirements import InvalidRequirement
from packaging.requirements import Requirement as Line508
from packaging.specifiers import SpecifierSet
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CODING = re.compile(rb"coding[:=]\s*([-\w.]+)")
_COMMENT = re.compile(r"(^|\s+)#.*$")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+:", re.IGNORECASE)
_EXTRAS = re.compile(r"(?P<path>.+)(?P<extras>\[[^\]]+\])")
_EGG = re.compile(r"[#&]egg=(?P<name>[\w.-]+)")
ARCHIVES = (".whl", ".zip", ".tar.gz", ".tgz", ".tar", ".tar.bz2", ".tbz", ".tar.xz", ".txz", ".tlz")
_VARIABLE = re.compile(r"\$\{[A-Z0-9_]+\}")

_APPENDED = (
    ("-e", "--editable"), ("-r", "--requirement"), ("-c", "--constraint"), ("-f", "--find-links"),
    ("-C", "--config-settings", "--config-setting"), ("-i", "--index-url", "--pypi-url"),
    ("--extra-index-url",), ("--hash",), ("--no-binary",), ("--only-binary",), ("--trusted-host",),
    ("--use-feature",), ("--all-releases",), ("--only-final",), ("--global-option",), ("--install-option",),
)  # fmt: skip
_FLAGS = ("--no-index", "--prefer-binary", "--require-hashes", "--no-require-hashes", "--pre")
_WITH_FOLDERS = (
    ("find_links", "--find-links"),
    ("index_url", "--index-url"),
    ("extra_index_url", "--extra-index-url"),
)


class Files(Protocol):
    """The files of a project: of a commit, or those of its working tree.

    Paths are relative to the project's folder, with forward slashes; `..` leads above it.
    """

    def read(self, path: str) -> bytes | None:
        """Return a file's content; None if there is no such file."""

    def identify(self, path: str) -> str | None:
        """Return a text that changes with the content of a file or folder; None if it does not exist."""


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


@dataclass(frozen=True)
class Line:
    """One line of a requirements file, with the lines that continue it.

    Args:
        raw: Its text as it is in the file.
        requirement: The requirement; None for options, comments and lines that name no distribution.
        path: The file or folder that it names, relative to the project's folder.
        given: The part of the text that names it.
        option: The option whose value that is; empty if it is the requirement itself.
        has_hash: Whether it has a --hash.
    """

    raw: str
    requirement: Requirement | None = None
    path: str | None = None
    given: str = ""
    option: str = ""
    has_hash: bool = False

    @property
    def comment(self) -> str:
        """The comment at its end, with the space before it."""
        found = _COMMENT.search(self.raw.rpartition("\n")[2])
        return found[0] if found else ""

    def with_path(self, path: str) -> str:
        """Return its text with another path in place of the one that it names."""
        if self.given.lower().startswith("file:"):
            path = f"file://{path}"
        if not self.option:
            return self.raw.replace(self.given, path, 1)
        extras = _EXTRAS.fullmatch(self.given) if self.option == "-e" else None
        return f"{self.option} {shlex.quote(path + (extras['extras'] if extras else ''))}{self.comment}"


@dataclass
class Listing:
    """The requirements in a file and the files that it includes.

    Args:
        lines: The lines; those of an included file are in place of the line that includes it.
        requirements: The requirements, in order of appearance.
        missing: Included files that do not exist.
        unclear: What cannot be read: lines that name no distribution, such as `-e .` or a folder, files at an
            address, files in an unknown encoding.
        files: The content of each file that was read, by its path.
    """

    lines: list[Line] = field(default_factory=list)
    requirements: list[Requirement] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)

    @property
    def names(self) -> set[str]:
        """The normalised names of the distributions."""
        return {each.name for each in self.requirements}

    @property
    def paths(self) -> list[str]:
        """The files and folders that lines name, relative to the project's folder."""
        return [each.path for each in self.lines if each.path is not None]

    @property
    def needs_own_folder(self) -> bool:
        """Whether pip finds all that the lines name only if it runs in the project's folder."""
        return any(each.path is not None and each.option not in {"-c", "-r"} for each in self.lines)

    @property
    def has_hashes(self) -> bool:
        """Whether pip checks hashes: one line with a hash is enough for that."""
        return any(each.has_hash for each in self.lines)


def read(name: str, files: Files, base: str = "") -> Listing:
    """Read a requirements file and the files that it includes.

    Args:
        name: Its path.
        files: The files of the project.
        base: The folder in which pip would run, relative to the project's: the base of paths in the lines.
    """
    reader = _Reader(files, base)
    reader.read(name, is_constraint=False, above=())
    listing, limits = reader.listing, reader.limits

    def limited(wanted: Requirement) -> Requirement:
        return replace(wanted, specifier=wanted.specifier & limits.get(wanted.name, SpecifierSet()))

    listing.lines = [
        replace(each, requirement=limited(each.requirement)) if each.requirement else each
        for each in listing.lines
    ]
    listing.requirements = [each.requirement for each in listing.lines if each.requirement]
    return listing


def with_own_folder(text: str) -> str:
    """Return lines with relative paths for the variables by which PDM and Hatch name the project."""
    for variable in ("file:///${PROJECT_ROOT}/", "{root:uri}/"):
        text = text.replace(variable, "file:")
    return text


def without_comments(lines: list[str]) -> list[str]:
    """Return lines without comments, empty lines and continuations."""
    return [text for _, text in _joined("\n".join(lines)) if text]


class _Reader:
    """Reads a file and what it includes into a listing and the limits that constraints set."""

    def __init__(self, files: Files, base: str) -> None:
        self._files = files
        self._base = base
        self.listing = Listing()
        self.limits: dict[str, SpecifierSet] = {}

    def read(self, name: str, *, is_constraint: bool, above: tuple[str, ...]) -> bool:
        """Read one file, which those in `above` include; return whether that was possible."""
        if name in above:
            return False
        content = self.listing.files.get(name) or self._files.read(name)
        if content is None:
            self.listing.missing.append(name)
            return False
        self.listing.files[name] = content
        text = _decoded(content)
        if text is None:
            self.listing.unclear.append(f"{name} (its encoding)")
            return False
        for raw, line in _joined(text):
            self._read_line(raw, line, name, is_constraint=is_constraint, above=(*above, name))
        return True

    def _read_line(
        self, raw: str, text: str, file: str, *, is_constraint: bool, above: tuple[str, ...]
    ) -> None:
        parsed = _parsed(text)
        if parsed is None:
            self.listing.unclear.append(text)
            line: Line | None = Line(raw)
        elif parsed.requirement:
            line = self._requirement(raw, parsed.requirement, file, has_hash=bool(parsed.options.hash))
        elif parsed.options.editable:
            line = self._editable(raw, parsed.options.editable[0], file)
        elif parsed.options.requirement or parsed.options.constraint:
            line = self._include(raw, parsed.options, file, above)
        else:
            line = self._options(raw, parsed.options, file)
        if line and not is_constraint:
            self.listing.lines.append(line)
        elif line and line.requirement:
            name = line.requirement.name
            self.limits[name] = self.limits.get(name, SpecifierSet()) & line.requirement.specifier

    def _include(self, raw: str, options: optparse.Values, file: str, above: tuple[str, ...]) -> Line | None:
        """Read an included file; return the line if it must stay, None if the file's lines replace it."""
        is_constraint = not options.requirement
        given = str((options.constraint if is_constraint else options.requirement)[0])
        if _SCHEME.match(given) or _VARIABLE.search(given) or posixpath.isabs(given):
            self.listing.unclear.append(_COMMENT.sub("", raw).strip())
            return Line(raw)
        path = _joined_path(posixpath.dirname(file), given)
        was_read = self.read(path, is_constraint=is_constraint, above=above)
        if was_read and not is_constraint:
            return None
        return Line(raw, path=path, given=given, option="-c" if is_constraint else "-r")

    def _requirement(self, raw: str, text: str, file: str, *, has_hash: bool) -> Line:
        address, _, marker_text = text.partition("; " if _SCHEME.match(text) else ";")
        address = address.strip()
        if not (_SCHEME.match(address) or _looks_like_path(address)):
            try:
                parsed = Line508(f"{address} ; {marker_text}" if marker_text.strip() else address)
            except InvalidRequirement:
                self.listing.unclear.append(text)
                return Line(raw, has_hash=has_hash)
            wanted = Requirement(
                name=canonicalize_name(parsed.name),
                text=text,
                file=file,
                specifier=parsed.specifier,
                extras=frozenset(canonicalize_name(extra) for extra in parsed.extras),
                marker=parsed.marker,
                address=parsed.url,
            )
            path = self._path(parsed.url) if parsed.url else None
            return Line(raw, wanted, path, parsed.url or "", has_hash=has_hash)
        extras = None if _SCHEME.match(address) else _EXTRAS.fullmatch(address)
        given = extras["path"] if extras else address
        try:
            marker = Marker(marker_text) if marker_text.strip() else None
        except InvalidMarker:
            self.listing.unclear.append(text)
            return Line(raw, has_hash=has_hash)
        named = _named(given)
        found = None
        if named:
            listed = extras["extras"].strip("[]").split(",") if extras else []
            names = frozenset(canonicalize_name(each.strip()) for each in listed)
            found = Requirement(named[0], text, file, named[1], names, marker, given)
        else:
            self.listing.unclear.append(text)
        return Line(raw, found, self._path(given), given, has_hash=has_hash)

    def _editable(self, raw: str, given: str, file: str) -> Line:
        path = self._path(_EXTRAS.sub(r"\g<path>", given))
        try:
            parsed = Line508(given)
        except InvalidRequirement:
            named = _named(given)
        else:
            named = (canonicalize_name(parsed.name), parsed.specifier) if parsed.url else None
        if named is None:
            self.listing.unclear.append(f"-e {given}")
            return Line(raw, None, path, given, "-e")
        found = Requirement(named[0], given, file, named[1], address=given)
        return Line(raw, found, path, given, "-e")

    def _options(self, raw: str, options: optparse.Values, file: str) -> Line:
        """Return a line of options; a folder of packages may be relative to the file that names it."""
        for dest, option in _WITH_FOLDERS:
            for given in getattr(options, dest) or ():
                path = self._path(given)
                if path is None:
                    continue
                beside = _joined_path(posixpath.dirname(file), given)
                return Line(raw, None, beside if self._files.identify(beside) else path, given, option)
        return Line(raw)

    def _path(self, given: str) -> str | None:
        """Return a relative path, also of a `file:` URL, from the project's folder; None for an address."""
        if given.lower().startswith("file:"):
            given = unquote(urlsplit(given).path) if not given[5:].startswith("/") else "/"
        if _SCHEME.match(given) or posixpath.isabs(given):
            return None
        return _joined_path(self._base, given)


@dataclass(frozen=True)
class _Parsed:
    requirement: str
    options: optparse.Values


class _InvalidOptionError(Exception):
    pass


class _Parser(optparse.OptionParser):
    """The options that pip allows in a requirements file; abbreviations too, as pip uses optparse."""

    def __init__(self) -> None:
        super().__init__(add_help_option=False)
        for names in _APPENDED:
            self.add_option(*names, action="append")
        for name in _FLAGS:
            self.add_option(name, action="store_true")

    def error(self, msg: str) -> NoReturn:
        raise _InvalidOptionError(msg)


def _parsed(text: str) -> _Parsed | None:
    """Split a line into the requirement and its options as pip does; None if pip would refuse the options."""
    words = text.split(" ")
    start = next((number for number, word in enumerate(words) if word.startswith("-")), len(words))
    try:
        options, _ = _Parser().parse_args(shlex.split(" ".join(words[start:])))
    except (ValueError, _InvalidOptionError):
        return None
    return _Parsed(" ".join(words[:start]).strip(), options)


def _decoded(content: bytes) -> str | None:
    """Decode a file as pip does on Linux; None if it cannot be decoded."""
    encoding, start = "utf-8", 0
    for mark, name in _BOMS:
        if content.startswith(mark):
            encoding, start = name, len(mark)
            break
    else:
        for line in content.split(b"\n")[:2]:
            if line.startswith(b"#") and (found := _CODING.search(line)):
                encoding = found[1].decode("ascii")
                break
    try:
        return content[start:].decode(encoding)
    except (UnicodeDecodeError, LookupError):
        return None


def _joined(text: str) -> Iterator[tuple[str, str]]:
    """Yield each line with the lines that continue it, as they are and as one without comments."""
    raw: list[str] = []
    parts: list[str] = []
    for line in text.splitlines():
        raw.append(line)
        is_comment = _COMMENT.match(line)
        if line.endswith("\\") and not is_comment:
            parts.append(line.strip("\\"))
            continue
        parts.append(f" {line}" if is_comment else line)
        yield "\n".join(raw), _COMMENT.sub("", "".join(parts)).strip()
        raw, parts = [], []
    if raw:
        yield "\n".join(raw), _COMMENT.sub("", "".join(parts)).strip()


def _joined_path(folder: str, path: str) -> str:
    return posixpath.normpath(posixpath.join(folder, path))


def _looks_like_path(text: str) -> bool:
    """Tell whether pip takes a requirement for a path: a slash, a dot at its start, or an archive's name."""
    if re.match(r"[\w.-]+\s*(\[[^\]]*\])?\s*@", text):
        return False
    return "/" in text or text.startswith(".") or _EXTRAS.sub(r"\g<path>", text).lower().endswith(ARCHIVES)


def _named(address: str) -> tuple[str, SpecifierSet] | None:
    """Return the distribution and version that an archive's URL or path, or `#egg=`, names; None if none."""
    if egg := _EGG.search(address):
        return canonicalize_name(egg["name"]), SpecifierSet()
    file = posixpath.basename(unquote(urlsplit(address).path))
    try:
        name, version = (
            parse_wheel_filename(file)[:2] if file.endswith(".whl") else parse_sdist_filename(file)
        )
    except (InvalidWheelFilename, InvalidSdistFilename, ValueError):
        return None
    return name, SpecifierSet(f"=={version}")
