"""The environment's pip, which installs a package that this machine has in a fitting version from there.

`pip install` first links those packages, with what they need, into the environment. If nothing is left to do,
the original pip does not run, so a machine without a network can install what it has. Other commands, and
options that say where or how to install, go to the original pip as they are.
"""

from __future__ import annotations

import argparse
import os
import re
import runpy
import sys
import zipfile
from contextlib import suppress
from dataclasses import dataclass, field
from email.parser import HeaderParser
from pathlib import Path
from typing import NoReturn

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from .. import packages, runtime

_FLAGS = (
    *("--verbose", "-v", "--no-input", "--no-color", "--no-index", "--no-cache-dir", "--pre"),
    *("--disable-pip-version-check", "--no-warn-script-location", "--no-warn-conflicts", "--prefer-binary"),
    *("--no-build-isolation", "--no-python-version-warning", "--compile", "--no-compile"),
)
_OPTIONS = (
    *("--index-url", "-i", "--extra-index-url", "--find-links", "-f", "--trusted-host", "--timeout"),
    *("--retries", "--cert", "--client-cert", "--proxy", "--cache-dir", "--root-user-action"),
    *("--progress-bar", "--only-binary", "--no-binary", "--log", "--upgrade-strategy", "--keyring-provider"),
)
_COMMENT = re.compile(r"(^|\s+)#.*$")
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")


class UnknownError(Exception):
    """Only the original pip understands these arguments."""


@dataclass
class _Lines:
    """The requirements of a call.

    Attributes:
        wanted: The requirements that name a package.
        needed: What the given wheels need.
        constraints: The requirements that versions must fulfil.
        is_for_pip: Whether the original pip must run, whatever the machine has.
    """

    wanted: list[Requirement] = field(default_factory=list)
    needed: list[Requirement] = field(default_factory=list)
    constraints: list[Requirement] = field(default_factory=list)
    is_for_pip: bool = False

    def add(self, text: str) -> None:
        """Add one requirement: a package with a version, or the path of a wheel."""
        if text.endswith(".whl") and Path(text).is_file():
            self.needed += _needed_by_wheel(Path(text))
            self.is_for_pip = True
            return
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            raise UnknownError from error
        if packages.applies(requirement):
            self.wanted.append(requirement)

    def read(self, file: Path) -> None:
        """Add the lines of a requirements file, and of the files that it names."""
        for line in _lines_of(file):
            option, _, value = line.replace("=", " ", 1).partition(" ")
            if option in {"-r", "--requirement"}:
                self.read(file.parent / value.strip())
            elif option in {"-c", "--constraint"}:
                self.constrain(file.parent / value.strip())
            elif option in {"-e", "--editable"}:
                raise UnknownError
            elif not line.startswith("-"):
                self.add(line.partition(" --")[0].strip())  # without --hash

    def constrain(self, file: Path) -> None:
        """Add the lines of a constraints file."""
        other = _Lines()
        other.read(file)
        self.constraints += other.wanted


def main(arguments: list[str]) -> int:
    """Run pip with the given arguments and return its exit status."""
    if sys.path[0] in {"", str(Path.cwd())}:  # as pip does
        del sys.path[0]
    request = None
    if arguments[:1] == ["install"]:
        with suppress(UnknownError, OSError, UnicodeDecodeError):
            request = read(arguments[1:])
    if request is None:
        return _original()
    options, lines = request
    return _install(options, lines)


def _install(options: argparse.Namespace, lines: _Lines) -> int:
    target = runtime.site_packages(sys.prefix)
    present = packages.installed(sys.path)
    chosen, is_complete = _chosen(lines, present)
    linked = [
        path for one in chosen.values() for path in packages.link(one, target, sys.executable, whole=False)
    ]
    status = 1
    try:
        runs = lines.is_for_pip or options.upgrade or options.dry_run or not is_complete
        status = _original() if runs else 0
    finally:
        if status != 0 or options.dry_run:
            _unlink(linked, target)
    if status == 0 and not options.quiet:
        if not runs:
            _say_satisfied(lines.wanted, present, chosen)
        kept = [one for one in chosen.values() if (target / one.information.name).exists()]
        if kept:
            names = " ".join(sorted(f"{one.name}-{one.version}" for one in kept))
            sys.stdout.write(f"Successfully installed {names}\n")
    return status


def _chosen(lines: _Lines, present: dict[str, packages.Package]) -> tuple[dict[str, packages.Package], bool]:
    """Return the packages of this machine to link, and whether they fulfil all requirements."""
    folders = Path(runtime.PREFIX, runtime.HOST_FOLDERS).read_text(encoding="utf-8").splitlines()
    offered = packages.installed(folders)
    chosen: dict[str, packages.Package] = {}
    is_complete = True
    for requirement in [*lines.wanted, *lines.needed]:
        trial = dict(chosen)
        if packages.choose(requirement, offered, trial, present, lines.constraints):
            is_complete = False
        else:
            chosen = trial
    return chosen, is_complete


def _say_satisfied(
    wanted: list[Requirement], present: dict[str, packages.Package], chosen: dict[str, packages.Package]
) -> None:
    for requirement in wanted:
        package = present.get(canonicalize_name(requirement.name))
        if package is not None and package.name not in chosen:
            folder = package.information.parent
            sys.stdout.write(
                f"Requirement already satisfied: {requirement} in {folder} ({package.version})\n"
            )


def _unlink(linked: list[Path], target: Path) -> None:
    """Remove links, and the folders that are then empty: Python would import an empty folder."""
    for path in reversed(linked):
        path.unlink(missing_ok=True)
        with suppress(OSError):
            for folder in path.parents:
                if folder == target:
                    break
                folder.rmdir()


def _original() -> int:
    """Run the original pip with the arguments of this process."""
    try:
        runpy.run_module("pip.original", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Leave it to the original pip to say what is wrong."""
        raise UnknownError(message)


def read(arguments: list[str]) -> tuple[argparse.Namespace, _Lines]:
    """Return the options and the requirements of `pip install`.

    Raises:
        UnknownError: An option or a line is none of those that name packages and indexes.
        OSError: A file cannot be read.
    """
    parser = _Parser(prog="pip install", add_help=False, allow_abbrev=False)
    parser.add_argument("requirements", nargs="*")
    parser.add_argument("--requirement", "-r", action="append", default=[])
    parser.add_argument(
        "--constraint", "-c", action="append", default=os.getenv("PIP_CONSTRAINT", "").split()
    )
    parser.add_argument("--upgrade", "-U", action="store_true")
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--quiet", "-q", action="store_true")
    for flag in _FLAGS:
        parser.add_argument(flag, action="store_true")
    for option in _OPTIONS:
        parser.add_argument(option)
    options = parser.parse_intermixed_args(arguments)
    lines = _Lines()
    for text in options.requirements:
        lines.add(text)
    for file in options.requirement:
        lines.read(Path(file))
    for file in options.constraint:
        lines.constrain(Path(file))
    return options, lines


def _lines_of(file: Path) -> list[str]:
    text = file.read_text(encoding="utf-8-sig").replace("\\\n", " ")
    lines = [_COMMENT.sub("", line).strip() for line in text.splitlines()]
    return [_VARIABLE.sub(lambda found: os.getenv(found[1], found[0]), line) for line in lines if line]


def _needed_by_wheel(file: Path) -> list[Requirement]:
    try:
        with zipfile.ZipFile(file) as wheel:
            name = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
            facts = HeaderParser().parsestr(wheel.read(name).decode())
    except (zipfile.BadZipFile, StopIteration, UnicodeDecodeError) as error:
        raise UnknownError from error
    found = map(Requirement, facts.get_all("Requires-Dist", []))
    return [each for each in found if packages.applies(each)]
