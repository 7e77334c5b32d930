"""Generated requirements files are read as pip reads them, compared with pip's dry run."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from kedro_databricks_hybrid.git.project_files import WorkingTreeFiles
from kedro_databricks_hybrid.project import requirements_file
from kedro_databricks_hybrid.project.requirements_file import Listing
from tests.wheels import write_wheel

if TYPE_CHECKING:
    from collections.abc import Callable

VERSIONS = ("1.0", "1.5", "2.0", "2.1.post1", "3.0rc1")
PACKAGES = 60
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-32", "latin-1")
pytestmark = pytest.mark.processes


@dataclass
class Generated:
    """A project with a requirements file that uses pip's line forms, chosen at random.

    Args:
        folder: The project; the packages are next to it.
        random: The source of random choices.
        hashed: Whether pip checks hashes, so that each line needs one.
        files: The lines of each file.
    """

    folder: Path
    random: random.Random
    hashed: bool = False
    files: dict[str, list[str]] = field(default_factory=dict)

    def write(self) -> None:
        """Write the packages, and the files in random encodings."""
        index = self.folder / "wheels"
        options = ["--prefer-binary", "--only-binary :all:", "--trusted-host=example.com", "--no-index"]
        self.random.shuffle(options)
        self.files = {"requirements.txt": [f"--find-links {index.as_posix()}", *options]}
        for number in range(PACKAGES):
            name = f"pack-{number}"
            for version in VERSIONS:
                write_wheel(index, name, version, extras=("one", "two"))
            self._add(name)
        for name, lines in self.files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            encoding = self.random.choice(ENCODINGS)
            first = f"# -*- coding: {encoding} -*-" if encoding == "latin-1" else "# \u00e9"
            end = self.random.choice(("\n", "\r\n"))
            path.write_bytes(end.join([first, *lines, ""]).encode(encoding))

    def _add(self, name: str) -> None:
        """Add one package in a random form to a random file."""
        spelled = self.random.choice((name, name.replace("-", "_"), name.upper(), name.replace("-", ".")))
        form = self.random.choice(HASHED if self.hashed else FORMS)
        file = self.random.choice(("requirements.txt", "requirements.txt", "more.txt", "deep/even more.txt"))
        if file not in self.files:
            self.files[file] = []
            self.files["requirements.txt"].append(self.random.choice(INCLUDE).format(file))
        pins = "deep/pins.txt"
        if form is _constrained and pins not in self.files:
            self.files[pins] = []
            self.files["requirements.txt"].append(self.random.choice(CONSTRAIN).format(pins))
        self.files[file] += form(spelled, self)


INCLUDE = ("-r '{}'", '--requirement "{}"', "--requirement='{}'", "  -r  '{}'  # more", "--requirem '{}'")
CONSTRAIN = ("-c {}", "--constraint={}", "-c{}")


def _plain(name: str, made: Generated) -> list[str]:
    return [name]


def _version(name: str, made: Generated) -> list[str]:
    space = made.random.choice(("", " "))
    wanted = made.random.choice(
        ("==1.0", "==1.*", ">=1,<2", "~=2.0", "!=2.0", ">1.0", "<=1.5", "===2.0", "==3.0rc1")
    )
    return [f"{name}{space}{wanted}"]


def _extras(name: str, made: Generated) -> list[str]:
    return [f"{name} [one{made.random.choice(('', ', TWO'))}]>=1 # why"]


def _continued(name: str, made: Generated) -> list[str]:
    return [f"{name}>=1, \\", "    <2 \\", "# within", ""]


def _marker(name: str, made: Generated) -> list[str]:
    python = made.random.choice((">= '3'", "< '3'"))
    return [f"{name} ; python_version {python}{made.random.choice(('', ' # all'))}"]


def _setting(name: str, made: Generated) -> list[str]:
    return [f"{name} --config-settings a=b"]


def _constrained(name: str, made: Generated) -> list[str]:
    limit = made.random.choice(("<2", "==1.5", ">=2.0"))
    made.files["deep/pins.txt"].append(f"{name}{limit}")
    return [name]


def _wheel(name: str, made: Generated) -> list[str]:
    file = f"wheels/{canonicalize_name(name).replace('-', '_')}-1.5-py3-none-any.whl"
    address = (made.folder / file).as_uri()
    forms = (f"./{file}", file, f"{file}[one]", f"file:{file}", address, f"{name} @ {address}",
             f"{name}[two]@{address} ; os_name == 'posix'", f"{address} ; python_version > '3'")  # fmt: skip
    return [made.random.choice(forms)]


def _comment(name: str, made: Generated) -> list[str]:
    return [f"#{name}==9", f"   # {name} \\", name]


FORMS: tuple[Callable[[str, Generated], list[str]], ...] = (
    *(_plain, _version, _version, _version, _extras, _continued, _marker, _setting, _constrained),
    *(_wheel, _wheel, _comment),
)


def _digest(name: str, made: Generated) -> str:
    wheel = made.folder / "wheels" / f"{canonicalize_name(name).replace('-', '_')}-1.5-py3-none-any.whl"
    return hashlib.sha256(wheel.read_bytes()).hexdigest()


def _hashed(name: str, made: Generated) -> list[str]:
    return [f"{name}[one]==1.5 --hash=sha256:{_digest(name, made)} --hash=sha256:{'0' * 64}  # two"]


def _hashed_below(name: str, made: Generated) -> list[str]:
    return [f"{name}==1.5 ; python_version > '3' \\", f"    --hash=sha256:{_digest(name, made)}"]


def _hashed_wheel(name: str, made: Generated) -> list[str]:
    file = f"wheels/{canonicalize_name(name).replace('-', '_')}-1.5-py3-none-any.whl"
    return [f"./{file} --hash=sha256:{_digest(name, made)}"]


HASHED = (_hashed, _hashed_below, _hashed_wheel)


def expected(listing: Listing) -> dict[str, tuple[str, set[str]]]:
    """Return version and extras of each package that was read from the files."""
    found = {}
    for each in listing.requirements:
        if each.marker is not None and not each.marker.evaluate():
            continue
        fitting = list(each.specifier.filter(VERSIONS))
        if each.address:
            fitting = ["1.5"]
        found[each.name] = (max(fitting, key=Version), set(each.extras))
    return found


def report(project: Path) -> list[dict[str, Any]]:
    """Return what pip would install, from the report of a dry run."""
    command = [
        "install",
        "--dry-run",
        "--ignore-installed",
        "--quiet",
        "--report=-",
        "-r",
        "requirements.txt",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pip", *command], cwd=project, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)["install"]
    return found


@pytest.mark.parametrize(("seed", "hashed"), [(0, False), (1, False), (2, True)])
def test_what_is_read_is_what_pip_would_take(seed: int, hashed: bool, tmp_path: Path) -> None:
    """Each package is read with the version and extras that pip would install, in any form and encoding."""
    Generated(tmp_path, random.Random(seed), hashed).write()  # noqa: S311 - chooses forms
    listing = requirements_file.read("requirements.txt", WorkingTreeFiles(tmp_path))
    assert (listing.unclear, listing.missing, listing.has_hashes) == ([], [], hashed)
    taken = {
        canonicalize_name(each["metadata"]["name"]): (
            each["metadata"]["version"],
            {canonicalize_name(extra) for extra in each.get("requested_extras", [])},
        )
        for each in report(tmp_path)
    }
    assert expected(listing) == taken
    assert len(taken) > PACKAGES / 2
